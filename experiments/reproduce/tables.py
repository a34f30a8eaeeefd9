"""Numbers as tables: a study on a corpus, table 4 by topic, the claims, the cost; and everything as one csv."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from highlight_lit.evaluation.intervals import Interval
from highlight_lit.runs.record_schema import LEVELS
from highlight_lit.text import HOLE, percent, shown

from ..analyses import cost
from .claims import Finding, by_claim, verdict_of
from .document import Table
from .numbers import Row, StudyResult
from .study import paper_rows


def cell(interval: Interval | None) -> str:
    """Percent: the mean, with half the width of its 95 % interval where there are several seeds.

    >>> cell(Interval(0.5, 0.02, 0.45, 0.55, 3)), cell(None)
    ('50.0 ± 5.0', '-')
    """
    if interval is None:
        return HOLE
    half = "" if interval.n == 1 else f" ± {50 * (interval.high - interval.low):.1f}"
    return percent(interval.mean) + half


def heading(result: StudyResult) -> str:
    """A result's corpus in a heading: what is made up says so."""
    corpus = result.corpus
    name = f"a SYNTHETIC corpus in the shape of {corpus['benchmark']}" if corpus["synthetic"] else str(corpus["name"])
    return name + judged(corpus)


def judged(corpus: Mapping[str, Any]) -> str:
    """On what a corpus' numbers are, where that is not its lists."""
    return f", cross-fitted in {corpus.get('folds')} folds" if corpus.get("folds") else ""


def _named(result: StudyResult) -> str:
    """A table of a result, as a file."""
    return f"{result.study.name}-{result.corpus['benchmark']}" + ("-cross-fitted" if result.corpus.get("folds") else "")


def short(result: StudyResult) -> str:
    """A result's corpus in a line of a table: what is made up says so."""
    corpus = result.corpus
    name = f"SYNTHETIC ({corpus['benchmark']})" if corpus["synthetic"] else str(corpus["name"])
    return name + judged(corpus)


def study_table(result: StudyResult) -> Table:
    """Systems down; average, the paper's number and the difference where there are any, topics across; then the levels."""
    measure, topics = result.primary, result.corpus["topics"]
    extra: dict[str, list[str]] = {}
    if any(row.paper is not None for row in result.rows):
        extra["paper"] = [percent(row.paper) for row in result.rows]
    if (other := result.row(result.study.against)) is not None:
        extra[f"less {other.label}"] = [_less(row, other, measure) for row in result.rows]
    rows = [
        [row.label, cell(row.mean(measure)), *beside_it, *(cell(row.of_topic(measure, t)) for t in topics)]
        for row, *beside_it in zip(result.rows, *extra.values(), strict=True)
    ]
    beside = []
    for level in LEVELS:
        by_topic = result.level(level, measure)
        mean = float(np.mean([by_topic[t] for t in topics])) if set(topics) <= set(by_topic) else None
        label = "middle of the video" if level == "middle" else level
        beside.append([label, percent(mean), *("" for _ in extra), *(percent(by_topic.get(t)) for t in topics)])
    columns = ["", "mean over topics", *extra, *topics]
    return Table(_named(result), caption(result), columns, [*rows, *beside], frozenset({len(rows) - 1}))


def _less(row: Row, other: Row, measure: str) -> str:
    test = None if row is other or not row.by_seed(measure) else row.less(other, measure)
    return HOLE if test is None else f"{100 * test.difference:+.1f} [{100 * test.low:.1f}, {100 * test.high:.1f}]"


def caption(result: StudyResult) -> str:
    """What the numbers are: definition, seeds, videos, corpus, commit."""
    counts = [result.n_videos(topic) for topic in result.corpus["topics"]]
    videos = sum(count for count in counts if count is not None)
    seeds = sorted({seed for row in result.rows for seed in row.seeds})
    text = (
        f"`{result.primary}` in percent ({result.measures[result.primary]}); mean over seeds {seeds[0]} to {seeds[-1]}"
    )
    text += " ± half of its 95 % interval (Student's t)" if len(seeds) > 1 else ""
    if (other := result.row(result.study.against)) is not None:
        text += (
            f"; less {other.label}: with its 95 % interval over videos (paired bootstrap within topics, seeds averaged)"
        )
    text += f"; {videos} videos; {heading(result)}, contents {result.fingerprint[:12]}; "
    text += f"commit {', '.join(result.commits)}."
    if result.corpus["synthetic"]:
        text += " Made-up videos: no number of the paper stands beside them."
    if result.holes:
        text += (
            f" {result.holes} cells are missing: {HOLE} where nothing can be said, else the mean of the whole seeds."
        )
    return text


def topics_table(result: StudyResult) -> Table:
    """Table 4's layout: topics down, systems across, beside the paper's columns where the topics are the paper's."""
    measure, topics = result.primary, result.corpus["topics"]
    printed = _printed(result)
    labels, papers = [row.label for row in result.rows], [f"paper: {name}" for name in printed]
    columns = ["topic", *labels, *papers, "chance", "annotators"]
    chance, annotators = (result.level(level, measure) for level in ("chance", "annotators"))
    rows = [
        [topic, *(cell(row.of_topic(measure, topic)) for row in result.rows),
         *(percent(column[number]) for column in printed.values()),
         percent(chance.get(topic)), percent(annotators.get(topic))]
        for number, topic in enumerate(topics)
    ]  # fmt: skip
    mean = ["mean over topics", *(cell(row.mean(measure)) for row in result.rows)]
    mean += [percent(float(np.mean(column))) for column in printed.values()]
    mean += [
        percent(float(np.mean([level[t] for t in topics])) if set(topics) <= set(level) else None)
        for level in (chance, annotators)
    ]
    return Table(_named(result), caption(result), columns, [*rows, mean], frozenset({len(rows) - 1}))


def _printed(result: StudyResult) -> dict[str, list[float]]:
    """The paper's columns of our systems, if the corpus has the paper's topics."""
    rows = paper_rows(result.study.paper["file"])[:-1]
    topics = [topic.lower().lstrip("0123456789_ ") for topic in result.corpus["topics"]]
    same = [topic[:3] == row["topic"][:3].lower() for topic, row in zip(topics, rows, strict=False)]
    if result.corpus["synthetic"] or len(topics) != len(rows) or not all(same):
        return {}
    return {row.label: [float(printed_row[row.label]) for printed_row in rows] for row in result.rows}


def printed_table4() -> Table:
    """The paper's table 4, its averages recomputed from its cells."""
    rows = paper_rows("table4_cosum.csv")
    names = [name for name in rows[0] if name != "topic"]
    *topics, average = rows
    lines = [[row["topic"], *(f"{100 * float(row[name]):.1f}" for name in names)] for row in topics]
    mean = {name: float(np.mean([float(row[name]) for row in topics])) for name in names}
    lines.append(["average, recomputed", *(f"{100 * mean[name]:.1f}" for name in names)])
    lines.append(["average, as printed", *(f"{100 * float(average[name]):.1f}" for name in names)])
    about = (
        "The paper's table 4 (top-5 mAP in percent), on features that are not public; first four columns supervised."
    )
    return Table("table4-paper", about, ["topic", *names], lines, frozenset({len(topics) - 1}))


def claims_table(findings: Sequence[Finding]) -> Table:
    """Every comparison, with both intervals and its verdict; the claim's own verdict where it has several."""
    rows: list[list[str]] = []
    ends = set()
    for comparisons in by_claim(findings):
        for finding in comparisons:
            v, s = finding.videos, finding.seeds
            over_seeds = f"{100 * s.low:+.1f} to {100 * s.high:+.1f}" if s.n > 1 else HOLE
            claim = ["", ""]
            if finding is comparisons[0]:
                claim = [f"{finding.claim.text} ({finding.claim.source})", short(finding.result)]
            rows.append([*claim, f"{finding.ours.label} against {finding.theirs.label}", f"{100 * v.difference:+.1f}",
                         f"{100 * v.low:+.1f} to {100 * v.high:+.1f}", over_seeds, f"{finding.p:.3f}", finding.verdict])  # fmt: skip
        if len(comparisons) > 1:
            rows.append(["", "", "all of these", "", "", "", "", verdict_of(comparisons)])
        ends.add(len(rows) - 1)
    about = (
        "Difference of the means in points, first system less second: 95 % interval over videos (paired bootstrap within "
        "topics, seeds averaged) and over seeds (Student's t); p over videos, "
        f"corrected for all {len(findings)} comparisons of this table (Holm). A claim holds, or does not, where p < 0.05 and the interval over seeds excludes 0 on the same side."
    )
    columns = ["claim", "corpus", "comparison", "difference", "over videos", "over seeds", "p", "verdict"]
    return Table("claims", about, columns, rows, frozenset(ends))


def cost_table(measured: Mapping[str, Any]) -> Table:
    """Fitted exponents of each quantity over d and R."""
    rows = []
    for quantity, unit in cost.QUANTITIES.items():
        fits = [
            cost.exponent(measured[rows_], over, quantity)
            for rows_, over in (("full", "d"), ("low_rank", "d"), ("ranks", "R"))
        ]
        last = measured["full"][-1][quantity] / measured["low_rank"][-1][quantity]
        rows.append([f"{quantity} ({unit})", *(f"{fit:.2f}" for fit in fits), f"{last:.1f}"])
    about = (
        f"Exponents fitted on logarithmic axes over d = {', '.join(map(str, cost.WIDTHS))} and R = "
        f"{', '.join(map(str, cost.RANKS))}; {measured['clips']} clips, one thread of {measured['device']}. The paper "
        "has d^3 against R d^2. Operations are counted, memory is what autograd keeps, time is a median."
    )
    columns = ["", "full core, over d", "low rank, over d", "low rank, over R", "full / low rank at d = 128, R = 8"]
    return Table("cost", about, columns, rows)


def numbers_csv(results: Sequence[StudyResult]) -> str:
    """Every number under every definition as csv, a line a study, corpus, system, measure and topic."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["study", "corpus", "synthetic", "contents", "folds", "system", "measure", "topic", "mean", "std", "low", "high",
                  "seeds", "videos", "paper", "chance", "annotators", "commits"])  # fmt: skip
    for result in results:
        for measure in result.measures if result.records else ():
            levels = [result.level(level, measure) for level in ("chance", "annotators")]
            for row in result.rows:
                for topic in [*result.corpus["topics"], None]:
                    line = _line(result, row, measure, topic, levels)
                    out.writerow(["" if value is None else shown(value) for value in line])
    return text.getvalue()


def _line(
    result: StudyResult, row: Row, measure: str, topic: str | None, levels: Sequence[Mapping[str, float]]
) -> list[object]:
    interval = row.mean(measure) if topic is None else row.of_topic(measure, topic)
    numbers = [None] * 4 if interval is None else [interval.mean, interval.std, interval.low, interval.high]
    topics = result.corpus["topics"] if topic is None else [topic]
    beside = [float(np.mean([level.get(t, math.nan) for t in topics])) for level in levels]
    videos = sum(result.n_videos(t) or 0 for t in topics)
    paper = row.paper if topic is None and measure == result.primary else None
    texts = ["" if x is None or math.isnan(x) else f"{x:.6f}" for x in (*numbers, paper, *beside)]
    corpus = result.corpus
    where = [result.study.name, corpus["name"], corpus["synthetic"], result.fingerprint[:12], corpus.get("folds")]
    return [*where, row.label, measure, topic or "mean over topics", *texts[:4], interval.n if interval else 0, videos,
            *texts[4:], " ".join(result.commits)]  # fmt: skip
