"""The report of a reproduction, made from its plan and ledger alone.

    python -m experiments.reproduce.report reproduce/quick

writes `report/report.html` (one page, the figures inside), `report.md`, `numbers.csv`, `tables/*.tex` and `figures/*.svg`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.errors import InputError, command
from highlight_lit.evaluation.intervals import Interval
from highlight_lit.evaluation.scores_csv import read_scores
from highlight_lit.files import cut_name, write_text
from highlight_lit.text import ArgumentParser, say, shown

from ..analyses import cost, gradients, planted
from . import claims, figures, plan, tables
from .document import Figure, Heading, Part, Table, Text, latex, markdown, page
from .numbers import StudyResult, results
from .study import HERE, Study, studies

TITLE = "Temporal Cue Guided Video Highlight Detection: tables and figures, reproduced"


class Missing(Exception):
    """The report has holes."""


def write_report(out: Path) -> int:
    """Write every file of the report.

    Args:
        out: Folder of the reproduction.

    Returns:
        How many cells are missing.

    Raises:
        InputError: The plan or a record is damaged, or a file cannot be written.
    """
    planned = plan.read(out)
    known = [study for study in studies() if study.name in planned["studies"]]
    numbers = results(out, planned, known)
    folder = out / "report"
    for place in (folder, folder / "figures", folder / "tables"):
        if place.is_symlink():  # whoever made the folder of the reproduction may have laid it there
            raise InputError(f"{place}: a link, through which the report would be written elsewhere; remove it")
    for left in folder.rglob(".*.tmp"):  # of one that was killed as it wrote
        with suppress(OSError):
            left.unlink()
    parts = list(_parts(planned, known, numbers, out, folder))
    write_text(folder / "report.md", markdown(parts, folder))
    write_text(folder / "report.html", page(TITLE, parts))
    write_text(folder / "numbers.csv", tables.numbers_csv(numbers))
    for part in parts:
        if isinstance(part, Table):
            write_text(folder / "tables" / f"{part.name}.tex", latex(part))
    return len({name for result in numbers for row in result.rows for name in row.missing})


def _parts(
    planned: dict[str, Any], known: Sequence[Study], numbers: Sequence[StudyResult], out: Path, folder: Path
) -> Iterator[Part]:
    yield Heading(1, TITLE)
    findings = claims.findings(numbers)
    yield from _opening(findings)
    yield from _provenance(planned)
    for study in known:
        yield Heading(2, study.title)
        yield Text(f"{study.about} ({study.source}).")
        yield from _shown(study, [result for result in numbers if result.study is study], out, folder)
    yield Heading(2, "Claims")
    yield from _claims(findings, out)
    yield Heading(2, "Notes on the supplement")
    yield Text((HERE / "paper" / "notes.md").read_text(encoding="utf-8").strip())


def _opening(findings: Sequence[claims.Finding]) -> Iterator[Part]:
    """What holds, what does not, and what cannot be told, each claim by corpus."""
    if not findings:
        return
    by_verdict: dict[str, dict[str, list[str]]] = {"holds": {}, "does not hold": {}, "cannot be told": {}}
    for comparisons in claims.by_claim(findings):
        verdict = claims.verdict_of(comparisons)
        kind = verdict if verdict in by_verdict else "cannot be told"
        by_verdict[kind].setdefault(comparisons[0].claim.text, []).append(tables.short(comparisons[0].result))
    yield Heading(2, "What holds, what does not, what cannot be told")
    yield Text(f"{len(findings)} comparisons of claims, their p corrected together (Holm); each stands under Claims.")
    for kind, of_kind in by_verdict.items():
        lines = [f"- {text}: on {'; '.join(corpora)}" for text, corpora in of_kind.items()] or ["- nothing"]
        yield Heading(3, kind[0].upper() + kind[1:])
        yield Text("\n".join(lines))


def _provenance(planned: dict[str, Any]) -> Iterator[Part]:
    profile = planned["profile"]
    last = {word.partition("=")[0]: word for word in (*profile["overrides"], *planned["overrides"])}
    overrides = " ".join(last.values()) or "none"
    name, about, overrides = map(shown, (profile["name"], profile["about"], overrides))  # no line break makes a heading
    yield Text(f"Profile `{name}`: {about}. Seeds 0 to {profile['seeds'] - 1}; set for every cell: `{overrides}`.")
    lines = []
    used = {key for cells in planned["studies"].values() for key in cells}
    for corpus in (corpus for key, corpus in planned["corpora"].items() if key in used):
        kind = "SYNTHETIC videos in the shape of" if corpus["synthetic"] else "labels and measures of"
        extra = f"; set here: `{shown(' '.join(corpus['overrides']))}`" if corpus["overrides"] else ""
        lines.append(
            f"- {shown(corpus['name'])}: {kind} {corpus['benchmark']}; topics {', '.join(map(shown, corpus['topics']))}"
            f"{tables.judged(corpus)}{extra}"
        )
    yield Text("\n".join(lines))


def _shown(study: Study, numbers: Sequence[StudyResult], out: Path, folder: Path) -> Iterator[Part]:
    if study.show == "gradients":
        yield from _gradients(folder)
    elif study.show == "cost":
        measured = cost.measured(out)
        yield tables.cost_table(measured)
        path = folder / "figures" / "cost.svg"
        figures.cost_curves(path, measured)
        yield Figure(path, "Full core tensor against low rank, over d (above) and R (below).")
    elif not numbers:
        yield Text(f"Not run: no corpus of {' or '.join(study.benchmarks)} was given.")
    elif empty := [result for result in numbers if not result.records]:
        yield Text(f"Nothing is there yet: {sum(result.holes for result in empty)} cells are missing.")
    elif study.show == "examples":
        yield from _examples(study, numbers, out, folder)
    else:
        yield from _measured(study, numbers, folder)
    if study.show == "curve":
        yield from _planted(out, folder)


def _measured(study: Study, numbers: Sequence[StudyResult], folder: Path) -> Iterator[Part]:
    path, ylabels = folder / "figures" / f"{study.name}.svg", [f"{result.primary} mAP (%)" for result in numbers]
    if study.show == "curve":
        figures.rank_curves(path, [_curve(result) for result in numbers], "rank R of the core tensor", ylabels)
        yield Figure(path, f"{study.about}; bands are 95 % intervals over seeds.")
    if study.show == "ways":
        figures.ways_of_reading(path, [_ways(result) for result in numbers], "audio is read", ylabels)
        yield Figure(path, f"{study.about}; bars are 95 % intervals over seeds.")
    for result in numbers:
        yield Heading(3, f"{study.title} on {tables.heading(result)}")
        yield tables.topics_table(result) if study.show == "topics" else tables.study_table(result)
    if study.show == "topics":
        if all(result.corpus["synthetic"] for result in numbers):
            yield Text("No features of CoSum are public: what is measured here is the synthetic corpus in its shape.")
        yield tables.printed_table4()


def _curve(result: StudyResult) -> figures.Curve:
    measure = result.primary
    points = [(float(row.system["rank"]), row.mean(measure)) for row in result.rows]
    there = [(x, interval) for x, interval in points if interval is not None]
    mean, low, high = ([_bounds(interval)[n] for _, interval in there] for n in range(3))
    return figures.Curve(tables.heading(result), [x for x, _ in there], mean, low, high, _chance(result))


def _chance(result: StudyResult) -> float:
    """Chance in percent, the mean over topics."""
    chance = result.level("chance", result.primary)
    return 100 * sum(chance.values()) / len(chance)


def _ways(result: StudyResult) -> figures.Ways:
    """A series a fusion, over the ways in which audio is read; each stream alone and chance are levels."""
    measure, names = result.primary, result.study.names
    ways: dict[str, None] = {}
    series: dict[str, dict[str, tuple[float, float, float] | None]] = {}
    levels = {}
    for row in result.rows:
        interval = row.mean(measure)
        if "data.audio" in row.system:
            fusion, way = (names[key].get(row.system[key], row.system[key]) for key in ("fusion", "data.audio"))
            ways[way] = None
            series.setdefault(fusion, {})[way] = interval and _bounds(interval)
        elif interval is not None:
            levels[row.label] = 100 * interval.mean
    levels["chance"] = _chance(result)
    over_ways = {fusion: [points.get(way) for way in ways] for fusion, points in series.items()}
    return figures.Ways(tables.heading(result), list(ways), over_ways, levels)


def _bounds(interval: Interval) -> tuple[float, float, float]:
    """Mean and bounds in percent; those of a single seed are its mean."""
    low, high = (interval.mean, interval.mean) if interval.n == 1 else (interval.low, interval.high)
    return 100 * interval.mean, 100 * low, 100 * high


def _planted(out: Path, folder: Path) -> Iterator[Part]:
    """What the rank does where the truth is known; see `experiments.analyses.planted`."""
    fits = planted.measured(out)
    path = folder / "figures" / "planted.svg"
    figures.planted_rank(path, fits, planted.PLANTED)
    left = ", ".join(f"{100 * fit['left']:.1f} % at R = {fit['R']}" for fit in fits)
    yield Heading(3, "A core whose slices have a known rank")
    yield Figure(
        path,
        f"Low-rank fusions fitted to a random core (d = {planted.WIDTH}) whose slices have rank {planted.PLANTED}.",
    )
    yield Text(f"Variance of the fused vector left unexplained on new clips: {left}. A clip's score cannot show this: the head "
               "adds up d slices of the core, so that already at R = 1 it can be a form of rank d.")  # fmt: skip


def _gradients(folder: Path) -> Iterator[Part]:
    path = folder / "figures" / "figure2.svg"
    figures.gradient_surfaces(path)
    yield Figure(path, "Size of the gradient of a positive bag's cross entropy: in a clip's probability for bags of two, "
                 "in the logits of all clips together for bags of 60 that score alike.")  # fmt: skip
    shares = "; ".join(f"{name} {100 * share:.0f} %" for name, share in gradients.vanished().items())
    yield Text(
        f"Share of the scores p at which the gradient of a bag of 60 clips has vanished (below {gradients.VANISHED:g}): {shares}."
    )


def _examples(study: Study, numbers: Sequence[StudyResult], out: Path, folder: Path) -> Iterator[Part]:
    """Scores of both systems on visual and audio, of seed 0, over the true highlights."""
    for result in numbers:
        for example in result.corpus["examples"]:
            curves = []
            for row in result.rows:
                key = (example["topic"], 0)
                if row.system["modality"] == "av" and key in row.records:
                    path = out / "runs" / row.ids[key][0] / "scores.csv"
                    if (scores := read_scores(path).get(example["video"])) is None:
                        raise InputError(
                            f"{path}: no scores of video {shown(example['video'])}, which the plan has as an example"
                        )
                    curves.append((row.label, scores.span, _scaled(scores.ranking)))
            if not curves:
                continue
            name = f"{study.name}-{result.corpus['benchmark']}-{example['topic']}"
            path = folder / "figures" / f"{cut_name(shown(name).replace('/', '_'), 200)}.svg"  # a topic is any text
            title = f"Topic {example['topic']}: video {example['video']}, {tables.heading(result)}"
            figures.score_curves(path, title, curves[::-1], example["highlights"], "score, scaled")
            yield Figure(
                path, f"{title}; seed 0; logits, scaled to the video's lowest and highest: what ranks its clips."
            )


def _scaled(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logits from 0, the video's lowest, to 1, its highest: once a detector is sure of a video, every p is near 1."""
    z = z / 2  # the difference of two numbers may be too large for one
    return np.asarray((z - z.min()) / max(float(z.max() - z.min()), 0.5e-12))


def _claims(findings: Sequence[claims.Finding], out: Path) -> Iterator[Part]:
    if findings:
        yield tables.claims_table(findings)
    else:
        yield Text("No comparison could be made: its cells are missing.")
    shares = gradients.vanished()
    gate = shares["softmax gate"] < shares["noisy-or"]
    yield Text(
        f"The gate has gradient where noisy-or has none (section 4, figure 2): {'holds' if gate else 'does not hold'}, by "
        f"computation: it vanishes on {100 * shares['noisy-or']:.0f} % of the scores under noisy-or, on "
        f"{100 * shares['softmax gate']:.1f} % under the softmax gate, and on "
        f"{100 * shares['product of odds (every alpha 1)']:.0f} % with every alpha 1, as in the supplement's proof."
    )
    if (out / cost.FILE).exists():
        measured = cost.measured(out)
        full, low = (cost.exponent(measured[rows], "d", "operations") for rows in ("full", "low_rank"))
        over_rank = cost.exponent(measured["ranks"], "R", "operations")
        holds = abs(full - 3) < 0.1 and abs(low - 2) < 0.1 and abs(over_rank - 1) < 0.1
        yield Text(
            f"R d^2 against d^3 (section 2): {'holds' if holds else 'does not hold'} for operations, which grow as "
            f"d^{full:.2f} in full and as R^{over_rank:.2f} d^{low:.2f} at low rank."
        )


@command("report")
def main() -> int:
    """Write the report again; returns an exit status."""
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of a reproduction: reproduce/PROFILE")
    options = parser.parse_args()
    holes = write_report(options.folder)
    say(f"{options.folder / 'report' / 'report.html'}: {holes} cells missing")
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
