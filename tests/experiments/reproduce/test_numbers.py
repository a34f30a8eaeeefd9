"""What the report says of a ledger: means, intervals, holes, claims; and how it says it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.analyses import cost, planted
from experiments.reproduce import claims, tables
from experiments.reproduce.document import Figure, Heading, Table, Text, latex, markdown, page
from experiments.reproduce.numbers import Row, StudyResult, _row
from experiments.reproduce.report import _opening
from experiments.reproduce.study import studies
from tests.tolerance import FUNCTION, assert_near

STUDY = {study.name: study for study in studies()}
CORPUS = {"name": "real", "benchmark": "youtube-highlights", "synthetic": False, "topics": ["dog", "surf"]}


def record(topic: str, values: Mapping[str, float]) -> dict[str, object]:
    def of(mean: float) -> dict[str, object]:
        return {
            "m": {"mean": mean, "description": "a measure", "n_videos": len(values), "videos": {topic: dict(values)}}
        }

    levels = {name: {"measures": of(at)} for name, at in (("chance", 0.4), ("middle", 0.45), ("annotators", 1.0))}
    evaluation = {"primary": "m", "measures": of(float(np.mean(list(values.values())))), "levels": levels}
    return {"topic": topic, "evaluation": evaluation, "environment": {"commit": "abc"}}


def row(tau: str, at: float, seeds: int = 3, without: tuple[tuple[str, int], ...] = (), noise: float = 0.01) -> Row:
    """A system whose videos reach `at`, seeds and videos straying by `noise`."""
    rng = np.random.default_rng(0)
    keys = [(topic, seed) for topic in CORPUS["topics"] for seed in range(seeds)]
    there = {
        key: record(key[0], {f"{key[0]}{v}": at + noise * rng.normal() for v in range(20)})
        for key in keys
        if key not in without
    }
    system = {"tau": tau}
    paper = STUDY["table2"].published(system, "youtube-highlights")
    return Row(
        f"tau = {tau}",
        system,
        paper,
        CORPUS["topics"],
        range(seeds),
        there,
        {key: [str(key)] for key in keys},
        frozenset(map(str, without)),
    )


def result(*rows: Row) -> StudyResult:
    return StudyResult(STUDY["table2"], CORPUS, "f" * 64, rows)


def test_a_table_shows_each_mean_with_its_interval_beside_the_paper_and_the_levels() -> None:
    table = tables.study_table(result(row("20", 0.5), row("60", 0.7)))
    assert table.columns == ["", "mean over topics", "paper", "dog", "surf"]
    assert [line[0] for line in table.rows] == ["tau = 20", "tau = 60", "chance", "middle of the video", "annotators"]
    assert table.rows[1][1].startswith("70")
    assert "±" in table.rows[1][1]
    assert table.rows[1][2] == "63.0"
    assert table.rows[2][1] == "40.0"
    for said in ("`m` in percent", "40 videos", "seeds 0 to 2", "commit abc", "real", "ffffffffffff"):
        assert said in table.caption


def test_a_study_with_a_system_to_compare_with_shows_the_difference_and_its_interval() -> None:
    study = replace(STUDY["table2"], against={"tau": "20"})
    table = tables.study_table(StudyResult(study, CORPUS, "f" * 64, [row("20", 0.5), row("60", 0.7)]))
    assert table.columns[2:4] == ["paper", "less tau = 20"]
    assert table.rows[0][3] == "-"
    assert re.fullmatch(r"\+20\.\d \[\d+\.\d, \d+\.\d\]", table.rows[1][3])
    assert len({len(line) for line in (table.columns, *table.rows)}) == 1
    assert "less tau = 20: with its 95 % interval over videos" in table.caption


def test_a_hole_is_shown_as_one_and_a_seed_without_a_topic_does_not_count() -> None:
    holed = row("20", 0.5, without=(("dog", 0), ("dog", 1), ("dog", 2), ("surf", 0)))
    half = row("60", 0.7, without=(("dog", 1),))
    assert holed.holes == 4
    assert holed.mean("m") is None
    assert set(half.by_seed("m")) == {0, 2}
    table = tables.study_table(result(holed, half))
    assert table.rows[0][1] == table.rows[0][3] == "-"
    assert table.rows[0][4] != "-"
    assert "5 cells are missing" in table.caption


def test_what_is_made_up_says_so_and_never_stands_beside_the_paper() -> None:
    cells = [{"id": "a", "system": {"tau": "60"}, "topic": "dog", "seed": 0}]
    made_up, real = (
        _row(STUDY["table2"], {**CORPUS, "synthetic": synthetic}, "tau = 60", cells, {"a": None})
        for synthetic in (True, False)
    )
    assert made_up.paper is None
    assert real.paper == 0.6297
    assert (
        "SYNTHETIC"
        in tables.study_table(
            StudyResult(STUDY["table2"], {**CORPUS, "synthetic": True}, "f" * 64, [row("60", 0.7)])
        ).caption
    )


def test_a_video_that_is_left_out_is_not_counted() -> None:
    made = row("60", 0.7)
    for of in made.records.values():
        of["evaluation"]["measures"]["m"]["videos"]["dog"] = {"dog0": 0.5, "dog1": None}  # type: ignore[index,call-overload]
    assert [result(made).n_videos(topic) for topic in ("dog", "surf")] == [1, 20]
    assert "; 21 videos; " in tables.caption(result(made))


def test_folds_are_one_record_and_one_that_is_missing_leaves_a_hole() -> None:
    cells = [
        {"id": f"{seed}{k}", "system": {"tau": "60"}, "topic": "dog", "seed": seed} for seed in (0, 1) for k in (1, 2)
    ]
    read: dict[str, Any] = {}
    for number, cell in enumerate(cells):
        made = record("dog", {f"{cell['id']}{v}": number / 10 for v in range(3)})
        config = {"data": {"fold": f"{cell['id'][1]}/2"}}
        made |= {"config": config, "corpus": {"fingerprint": "f"}}
        evaluation: Any = made["evaluation"]
        for of in [evaluation, *evaluation["levels"].values()]:
            of["measures"]["m"] |= {"labellings": 3, "without_positive": 0, "std": 0.1}
        read[cell["id"]] = made
    corpus = {**CORPUS, "topics": ["dog"], "folds": 2}
    whole = _row(STUDY["table2"], corpus, "tau = 60", cells, read)
    assert whole.by_seed("m") == {0: pytest.approx(0.05), 1: pytest.approx(0.25)}
    assert (len(whole.videos("m")), whole.holes, whole.paper) == (6 * 2, 0, None)
    holed = _row(STUDY["table2"], corpus, "tau = 60", cells, {**read, "12": None})
    assert (list(holed.by_seed("m")), holed.holes) == ([0], 1)
    found = StudyResult(STUDY["table2"], corpus, "f" * 64 + "/2", [whole])
    assert found.fingerprint == "f" * 64
    assert tables.heading(found) == "real, cross-fitted in 2 folds"


def test_the_report_opens_with_what_holds_what_does_not_and_what_cannot_be_told() -> None:
    rows = [row("60", 0.7), row("20", 0.5), row("40", 0.5), row("80", 0.5)]
    found = claims.findings(
        [result(*rows), StudyResult(STUDY["table2"], {**CORPUS, "name": "other"}, "e" * 64, rows[:2])]
    )
    said = [part.text for part in _opening(found) if not isinstance(part, Table | Figure)]
    assert said[0] == "What holds, what does not, what cannot be told"
    assert said[1].startswith("4 comparisons of claims, their p corrected together (Holm)")
    assert said[2:] == [
        "Holds",
        "- tau = 60 is best: on real; other",
        "Does not hold",
        "- nothing",
        "Cannot be told",
        "- nothing",
    ]
    assert "all 4 comparisons" in tables.claims_table(found).caption


def test_the_csv_holds_every_number_of_the_table() -> None:
    lines = list(csv.DictReader(io.StringIO(tables.numbers_csv([result(row("60", 0.7))]))))
    assert {line["topic"] for line in lines} == {"dog", "surf", "mean over topics"}
    mean = next(line for line in lines if line["topic"] == "mean over topics")
    assert float(mean["low"]) < float(mean["mean"]) < float(mean["high"])
    assert (mean["paper"], mean["seeds"], mean["videos"]) == ("0.629700", "3", "40")


@pytest.mark.parametrize(
    ("best", "verdict"), [(0.7, "holds"), (0.3, "does not hold"), (0.5, "cannot be told with 40 videos and 3 seeds")]
)
def test_a_claim_holds_where_the_videos_and_the_seeds_say_so(best: float, verdict: str) -> None:
    found = claims.findings([result(row("60", best), row("20", 0.5), row("40", 0.5), row("80", 0.5))])
    assert [each.verdict for each in found] == [verdict] * 3
    assert claims.verdict_of(found) == verdict
    assert all(each.p >= each.videos.p for each in found)


def test_a_claim_needs_every_comparison_and_one_seed_proves_nothing() -> None:
    found = claims.findings([result(row("60", 0.7), row("20", 0.5), row("40", 0.7), row("80", 0.9))])
    assert [each.verdict.split()[0] for each in found] == ["holds", "cannot", "does"]
    assert claims.verdict_of(found) == "does not hold"
    [single] = claims.findings([result(row("60", 0.7, seeds=1), row("20", 0.5, seeds=1))])
    assert single.verdict == "cannot be told with 40 videos and 1 seeds"


def test_a_difference_between_two_topics_seeds_is_not_taken_for_one() -> None:
    """Two systems that differ by chance alone are seldom told apart: the correction holds the share of false claims."""
    rng = np.random.default_rng(1)
    told = 0
    for _ in range(40):
        rows = []
        for tau in ("60", "20", "40", "80"):
            made = row(tau, 0.5, noise=0.0)
            for (topic, _seed), of in made.records.items():
                shift = 0.02 * rng.normal()
                values = {f"{topic}{v}": 0.5 + shift + 0.2 * rng.normal() for v in range(20)}
                of["evaluation"] = record(topic, values)["evaluation"]  # type: ignore[index]
            rows.append(made)
        told += any(not each.verdict.startswith("cannot") for each in claims.findings([result(*rows)]))
    assert told <= 6  # 5 % of 40 is 2


def test_the_papers_table_4_is_shown_with_its_averages_recomputed() -> None:
    table = tables.printed_table4()
    recomputed, printed = (dict(zip(table.columns, line, strict=True)) for line in table.rows[-2:])
    assert (recomputed["SM"], printed["SM"]) == ("73.0", "73.5")
    assert (recomputed["MBF"], printed["MBF"]) == ("60.6", "60.2")
    assert (recomputed["Ours"], printed["Ours"]) == ("93.0", "93.0")


def test_operations_grow_as_the_supplement_says() -> None:
    measured = {
        "full": [{"d": d, **cost._cost(cost.FullTensorFusion(d), d)} for d in (8, 16, 32)],
        "low_rank": [{"d": d, **cost._cost(cost.LowRankFusion(d, 4), d)} for d in (8, 16, 32)],
        "ranks": [{"R": R, **cost._cost(cost.LowRankFusion(16, R), 16)} for R in (1, 2, 4)],
    }
    fits = [cost.exponent(measured[rows], over, "operations") for rows, over in (("full", "d"), ("low_rank", "d"), ("ranks", "R"))]  # fmt: skip
    assert_near(fits, [3, 2, 1], 3, 3 * FUNCTION)


def test_a_fitted_fusion_stops_gaining_at_the_planted_rank() -> None:
    left = {R: planted.fit(R) for R in (4, 8, 16)}
    assert left[4] > 0.05
    assert left[8] < 0.005
    assert left[16] > left[8] / 2


def test_markdown_takes_text_as_text_but_for_code(tmp_path: Path) -> None:
    name = "a|b `<i>` *c*\n# d"
    parts = [Heading(2, name), Text(f"- {name} `x*y`"), Table("x", name, ["", name], [[name, "1"]]),
             Figure(tmp_path / "a b).svg", "A name <b>")]  # fmt: skip
    made = markdown(parts, tmp_path)
    cell = r"a\|b \`\<i>\` \*c\*\n# d".replace("\\n", r"\\n")
    assert f"## {cell}\n" in made
    assert f"| {cell} | 1 |" in made
    assert "`x*y`" in made
    assert r"![A name \<b>](a%20b%29.svg)" in made


def test_latex_and_html_take_text_as_text() -> None:
    table = Table("x", "50 % of a_b & <c> ± 1", ["", "R^2"], [["a_b", "1 ± 2"]])
    assert r"50 \% of a\_b \& $<$c$>$ $\pm$ 1" in latex(table)
    assert r"R\textasciicircum{}2" in latex(table)
    shown = page("<script>", [Heading(1, "<b>"), Text("a `<i>` b"), table])
    assert "<title>&lt;script&gt;</title>" in shown
    assert "<b>" not in shown
    assert "<code>&lt;i&gt;</code>" in shown


def test_a_figure_of_a_page_keeps_its_size_and_is_scrolled_where_it_is_wider_than_a_phone(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text("<svg/>")
    shown = page("x", [Heading(1, "x"), Figure(tmp_path / "a.svg", "seen")])
    assert '<figure><div class="scroll"><img ' in shown
    assert "img { max-width" not in shown
