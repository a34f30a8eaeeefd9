"""A folder of a reproduction that somebody has edited: one line that names the file, or a report; nothing is written elsewhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.reproduce import figures, plan, report
from highlight_lit.errors import InputError
from highlight_lit.text import shown
from tests.experiments.reproduce.test_reproduce import Ended, run_here

STUDIES = ("table2", "figure3")


@pytest.fixture(scope="module")
def kept(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reproduction of a table and of a figure with examples, to be copied."""
    out = tmp_path_factory.mktemp("kept")
    words = [word for study in STUDIES for word in ("--study", study)]
    ended: Ended = run_here(["-m", "x", "--profile", str(tiny / "tiny.yaml"), "--corpus", str(tiny / "corpus"), *words,
                             "--out", str(out), "--workers", "2"])  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return out / "tiny"


@pytest.fixture
def out(kept: Path, tmp_path: Path) -> Path:
    shutil.copytree(kept, tmp_path / "tiny")
    return tmp_path / "tiny"


def cells(out: Path, study: str = "table2") -> list[dict[str, Any]]:
    [of_study] = json.loads((out / plan.FILE).read_text())["studies"][study].values()
    return list(of_study)


def record_of(out: Path, cell: dict[str, Any]) -> Path:
    return out / "runs" / str(cell["id"]) / "record.json"


def rewrite(path: Path, change: Callable[[Any], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_a_record_of_another_run_is_named_and_is_no_number(out: Path, tiny: Path) -> None:
    one, other = (record_of(out, cell) for cell in cells(out)[:2])
    shutil.copy(other, one)
    line = f"{one}: id: {other.parent.name}, another run's; expected {one.parent.name}; move it away and run again"
    with pytest.raises(InputError) as refused:
        report.write_report(out)
    assert str(refused.value) == line
    words = ["--profile", str(tiny / "tiny.yaml"), "--corpus", str(tiny / "corpus"), "--study", "table2"]
    assert run_here(["-m", "x", *words, "--out", str(out.parent)]).stderr == f"reproduce: {line}\n"


def test_train_takes_no_other_runs_record_for_its_own(quick_train: Callable[..., int], tmp_path: Path) -> None:
    assert quick_train("seed=0") == 0
    [one] = tmp_path.glob("runs/*/record.json")
    assert quick_train("seed=1") == 0
    [other] = set(tmp_path.glob("runs/*/record.json")) - {one}
    shutil.copy(other, one)
    with pytest.raises(InputError, match=f"{one}: id: {other.parent.name}, another run's"):
        quick_train("seed=0")


def _measures(record: dict[str, Any]) -> list[dict[str, Any]]:
    evaluation = record["evaluation"]
    return [evaluation["measures"], *(level["measures"] for level in evaluation["levels"].values())]


def _of_another_topic(record: dict[str, Any]) -> None:
    record["topic"] = "cat"
    for measures in _measures(record):
        for measure in measures.values():
            measure["topics"] = {"cat": {"mean": 0.5, "std": 0.1} if "std" in measure else 0.5}
            measure["videos"] = {"cat": {"a": 0.5}}


def _with_another_measure(record: dict[str, Any]) -> None:
    for measures in _measures(record):
        measures["other"] = measures["youtube/step"]


def _without_a_measure(record: dict[str, Any]) -> None:
    for measures in _measures(record):
        del measures["youtube/step"]


def _without_a_mean(record: dict[str, Any]) -> None:
    record["evaluation"]["levels"]["chance"]["measures"]["youtube/step"]["mean"] = None


@pytest.mark.parametrize("number", [0, 3])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_of_another_topic, "topic: cat; the plan has topic0"),
        (_with_another_measure, "evaluation: other measures than those of the runs beside it"),
        (_without_a_measure, "evaluation: other measures than those of the runs beside it"),
        (_without_a_mean, "evaluation: youtube/step: a mean over no video"),
    ],
)
def test_a_record_that_cannot_stand_beside_the_others_is_named(
    change: Callable[[Any], None], says: str, number: int, out: Path
) -> None:
    rewrite(record_of(out, cells(out)[number]), change)
    with pytest.raises(InputError, match=rf"record\.json: {says}"):
        report.write_report(out)


def _with_another_seed(record: dict[str, Any]) -> None:
    record["seed"] = 77


def test_a_record_of_another_seed_than_its_cell_is_named(out: Path) -> None:
    rewrite(record_of(out, cells(out)[0]), _with_another_seed)
    with pytest.raises(InputError, match=r"record\.json: seed: 77; the plan has 0"):
        report.write_report(out)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_that_a_plan_names_twice_is_counted_in_no_table(seed: int, out: Path) -> None:
    def change(planned: Any) -> None:
        [of_study] = planned["studies"]["table2"].values()
        of_study.append({**of_study[0], "seed": seed})

    rewrite(out / plan.FILE, change)
    with pytest.raises(InputError, match=r"plan\.json: studies\.table2: run [0-9a-f]+ twice in a system"):
        report.write_report(out)


def test_an_example_without_scores_is_named(out: Path) -> None:
    for cell in cells(out, "figure3"):
        path = record_of(out, cell).with_name("scores.csv")
        path.write_text("video,start,end,score\nother,0,1,0.5\n")
    with pytest.raises(InputError, match=r"scores\.csv: no scores of video synthetic-\d+, which the plan has as an ex"):
        report.write_report(out)


@pytest.mark.parametrize(
    ("study", "key", "value", "says"),
    [
        ("figure3", "modality", None, "studies.figure3: a system without modality"),
        ("table2", "tau", None, "studies.table2: a system without tau"),
        ("figure1", "rank", None, "studies.figure1: a system without rank"),
        ("figure1", "method", "labelled", "studies.figure1: a system without rank"),
        ("when", "data.audio", "shuffled", "studies.when: a system without fusion"),
        ("figure1", "rank", "1e9", "studies.figure1: rank 1e9; expected a whole number"),
        ("figure1", "rank", {}, "studies.figure1.*.system.rank: expected text"),
    ],
)
def test_a_system_of_a_plan_that_no_study_has_is_named(
    study: str, key: str, value: object, says: str, out: Path
) -> None:
    def change(planned: Any) -> None:
        [(corpus, of_study)] = planned["studies"].get(study, planned["studies"]["table2"]).items()
        system = {"rank": "8"} if study == "figure1" and key == "rank" else of_study[0]["system"]
        of_study[0]["system"] = (
            {**system, key: value} if value is not None else {k: v for k, v in system.items() if k != key}
        )
        planned["studies"] = {study: {corpus: of_study[:1]}}

    rewrite(out / plan.FILE, change)
    with pytest.raises(InputError, match=rf"plan\.json: {says}"):
        report.write_report(out)


@pytest.mark.parametrize("place", ["report", "report/figures", "report/tables"])
def test_a_link_in_the_place_of_the_report_is_not_followed(place: str, out: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / ".precious.tmp").write_text("kept")
    shutil.rmtree(out / place, ignore_errors=True)
    (out / place).symlink_to(victim)
    with pytest.raises(InputError, match=f"{place}: a link, through which the report would be written elsewhere"):
        report.write_report(out)
    assert [path.name for path in victim.iterdir()] == [".precious.tmp"]


def test_a_folder_in_the_place_of_a_temporary_file_is_left(out: Path) -> None:
    (out / "report/.a.tmp").mkdir()
    assert report.write_report(out) == 0


def test_no_text_of_a_plan_or_a_record_reaches_a_report_with_control_characters(out: Path) -> None:
    ill, topic = "\x1b[2J\u202e\n# ", "topic0"
    label = cells(out)[0]["label"]

    def ill_record(record: Any) -> None:
        text = json.dumps(record).replace(f'"{topic}"', json.dumps(ill + topic))
        record.update(json.loads(text.replace('"youtube/step"', json.dumps(ill + "step"))))

    def ill_plan(planned: Any) -> None:
        planned.update(json.loads(json.dumps(planned).replace(f'"{topic}"', json.dumps(ill + topic))))
        planned["profile"].update(name=ill, about=ill, overrides=[ill])
        for corpus in planned["corpora"].values():
            corpus.update(name=ill, synthetic=False, overrides=[ill])
        for cell in (cell for of_study in planned["studies"].values() for of in of_study.values() for cell in of):
            cell["label"] = ill + cell["label"]

    for study in STUDIES:
        for cell in cells(out, study):
            rewrite(record_of(out, cell), ill_record)
    rewrite(out / plan.FILE, ill_plan)
    shutil.rmtree(out / "report")
    assert report.write_report(out) == 0
    files = [path for path in (out / "report").rglob("*") if path.is_file()]
    assert any("figure3" in path.name for path in files)
    for path in files:
        written = path.read_text()
        assert shown(written.replace("\n", "")) == written.replace("\n", ""), path
        assert shown(path.name) == path.name
    assert "\n# \n" not in (out / "report" / "report.md").read_text()
    assert label in (out / "report" / "numbers.csv").read_text()


def test_names_of_systems_and_measures_are_text_in_figures(tmp_path: Path) -> None:
    name, there = r"$\nosuch$", [(1.0, 0.5, 2.0)]
    span = np.array([[0.0, 1.0], [1.0, 2.0]])
    figures.score_curves(tmp_path / "s.svg", name, [(name, span, np.array([0.1, 0.2]))], span[:1], name)
    figures.rank_curves(tmp_path / "r.svg", [figures.Curve(name, [1], [1], [1], [1], 1.0)], "R", [name])
    figures.ways_of_reading(tmp_path / "w.svg", [figures.Ways(name, [name], {name: there}, {name: 1.0})], "x", [name])
    assert all(name in path.read_text() for path in tmp_path.glob("*.svg"))


def test_control_characters_do_not_reach_a_figure(tmp_path: Path) -> None:
    """As they are no XML, nothing would show it."""
    ill, there = "\x1b[2J\u202e", [(1.0, 0.5, 2.0)]
    span = np.array([[0.0, 1.0], [1.0, 2.0]])
    figures.score_curves(tmp_path / "s.svg", ill, [(ill, span, np.array([0.1, 0.2]))], span[:1], ill)
    figures.rank_curves(tmp_path / "r.svg", [figures.Curve(ill, [1], [1], [1], [1], 1.0)], "R", [ill])
    figures.ways_of_reading(tmp_path / "w.svg", [figures.Ways(ill, [ill], {ill: there}, {ill: 1.0})], "x", [ill])
    for path in tmp_path.glob("*.svg"):
        lines = path.read_text().split("\n")
        assert list(map(shown, lines)) == lines, path


@pytest.mark.filterwarnings("error")
def test_logits_as_far_apart_as_numbers_go_are_drawn() -> None:
    assert report._scaled(np.array([-1.7e308, 0.0, 1.7e308])).tolist() == [0.0, 0.5, 1.0]
