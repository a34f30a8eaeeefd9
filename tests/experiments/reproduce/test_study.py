"""A study names its cells through Hydra and stands beside the paper's own numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.reproduce.cells import cells_of, cross_fitted, site
from experiments.reproduce.study import HERE, Profile, Study, paper_rows, profile, studies
from highlight_lit.data.audio_ablation import AUDIO_ABLATIONS
from highlight_lit.errors import InputError

STUDIES = {study.name: study for study in studies()}


def test_every_table_and_figure_of_the_supplement_has_a_study() -> None:
    assert list(STUDIES) == ["table1", "table2", "table3", "table4", "figure1", "figure2", "figure3",
                             "context", "cost", "fusion", "guided", "loss", "pooling", "when"]  # fmt: skip


@pytest.mark.parametrize("name", [name for name, study in STUDIES.items() if study.sweep])
def test_every_cell_of_every_study_composes(name: str, tiny: Path) -> None:
    study = STUDIES[name]
    where = site(tiny / "corpus", None)
    systems = study.systems()
    cells = cells_of(study, systems, where, profile("full"), [])
    assert len(cells) == len(systems) * 2 * 5
    assert len({cell.id for cell in cells}) == len(cells)
    assert not any("{" in cell.label for cell in cells)


def test_the_sweeps_are_the_papers() -> None:
    assert STUDIES["figure1"].axes() == {"rank": ["1", "2", "4", "8", "16", "32", "64"]}
    assert STUDIES["table2"].axes() == {"tau": ["20", "40", "60", "80"]}
    assert len(STUDIES["table1"].systems()) == 6


@pytest.mark.parametrize("name", ["table1", "table2", "table3"])
def test_every_number_of_a_table_of_the_paper_finds_its_system(name: str) -> None:
    study = STUDIES[name]
    for benchmark, column in (("youtube-highlights", "youtube_map"), ("tvsum", "tvsum_top5_map")):
        found = [study.published(system, benchmark) for system in study.systems()]
        assert sorted(found) == sorted(float(row[column]) for row in paper_rows(study.paper["file"]))  # type: ignore[type-var]


def test_each_stream_alone_stands_beside_the_ways_to_read_audio() -> None:
    study = STUDIES["when"]
    called = [study.called(system) for system in study.systems({"fusion": "low_rank"})]
    assert called == ["visual alone", "audio alone", *(f"low rank, audio {way}" for way in ("as it is", "centred", "as its mean", "shuffled"))]  # fmt: skip
    assert study.against in study.systems()
    assert study.axes()["data.audio"] == list(AUDIO_ABLATIONS)


def test_a_benchmark_can_have_settings_of_its_own(tiny: Path) -> None:
    study, where = STUDIES["table4"], site(tiny / "corpus", None)
    chosen = Profile("x", "", 1, 1, ["tau=30"], {}, {}, {"youtube-highlights": ["tau=8"], "ave": ["tau=9"]})
    assert {cell.config["tau"] for cell in cells_of(study, study.systems(), where, chosen, [])} == {8}
    assert {cell.config["tau"] for cell in cells_of(study, study.systems(), where, chosen, ["tau=7"])} == {7}


def test_the_papers_headline_stands_beside_our_default() -> None:
    ours = {"model": "highlight_net", "modality": "av"}
    assert STUDIES["table1"].published(ours, "youtube-highlights") == 0.6297
    assert STUDIES["table1"].published(ours, "tvsum") == 0.7682


def test_studies_share_the_cells_they_have_in_common(tiny: Path) -> None:
    where = site(tiny / "corpus", None)
    ids = {
        name: {cell.id for cell in cells_of(STUDIES[name], STUDIES[name].systems(), where, profile("full"), [])}
        for name in ("table1", "table2", "table3")
    }
    assert len(ids["table1"] & ids["table2"] & ids["table3"]) == 10  # the default: two topics, five seeds


@pytest.mark.parametrize("name", sorted(path.stem for path in (HERE / "profiles").glob("*.yaml")))
def test_every_profile_names_keys_that_its_studies_have(name: str) -> None:
    chosen = profile(name)
    for study in STUDIES.values():
        assert study.sweep is None or study.systems(chosen.only.get(study.sweep))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("title: X\nabout: Y\nsource: Z\nshow: rows\ncolour: red\n", "colour: no such key"),
        ("title: X\nabout: Y\nsource: Z\n", "show: missing"),
        ("title: X\nabout: Y\nsource: Z\nshow: pie\n", "show: pie: expected one of"),
        ("[1, 2", "not readable as YAML"),
        ("words", "expected keys and values"),
    ],
)
def test_a_study_that_is_not_one_is_refused_by_file_and_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies/mine.yaml").write_text(text)
    monkeypatch.setattr("experiments.reproduce.study.HERE", tmp_path)
    with pytest.raises(InputError, match="mine.yaml") as refused:
        studies()
    assert says in str(refused.value)


def test_a_sweep_that_does_not_exist_and_a_profile_that_does_not_are_refused() -> None:
    with pytest.raises(InputError, match=r"studies/x\.yaml: sweep: nosuch"):
        Study("x", "X", "", "", "rows", sweep="nosuch").axes()
    with pytest.raises(InputError, match="profile nosuch: no such profile; expected one of full, quick"):
        profile("nosuch")
    with pytest.raises(InputError, match=r"only.table2.rank: no such key; the sweep has tau"):
        STUDIES["table2"].systems({"rank": "1"})


def test_a_cell_that_cannot_compose_is_refused_by_study_and_override(tiny: Path) -> None:
    chosen = Profile("x", "", 1, 1, ["rank=none"], {}, {})
    with pytest.raises(InputError, match=r"study table2: .*rank=none.*rank"):
        cells_of(STUDIES["table2"], STUDIES["table2"].systems(), site(tiny / "corpus", 1), chosen, [])


def test_what_an_experiment_sets_is_kept_and_other_cells_have_what_the_profile_sets(tiny: Path) -> None:
    chosen = Profile("x", "", 1, 1, ["trainer.max_epochs=200", "data.pairs=7", "tau=9"], {}, {})
    study = STUDIES["guided"]
    cells = cells_of(study, study.systems(), site(tiny / "corpus", 1), chosen, ["data.pairs=8"])
    found = {
        cell.label: (
            cell.config["trainer"].get("max_epochs"),
            cell.config["data"].get("pairs"),
            cell.config.get("tau"),
        )
        for cell in cells
    }
    for streams in ("visual and audio", "visual alone"):
        assert found[f"guided, {streams}"] == (-1, 16, 9)
        assert found[f"bag labels, {streams}"] == (200, 8, 9)
        assert found[f"with clip labels, {streams}"] == (None, None, None)  # a method, which no trainer trains


def test_a_cross_fitted_corpus_has_a_cell_a_fold_and_its_lists_keep_theirs(tiny: Path) -> None:
    study, lists = STUDIES["table4"], site(tiny / "corpus", None)
    folds = cross_fitted(lists, 3)
    assert folds.key == f"{lists.key}/3"
    one, other = (cells_of(study, study.systems(), where, profile("quick"), []) for where in (lists, folds))
    assert (len(other), len({cell.id for cell in [*one, *other]})) == (3 * len(one), 4 * len(one))
    assert [cell.config["data"]["fold"] for cell in other[:3]] == ["1/3", "2/3", "3/3"]
    for count in (1, 21):
        with pytest.raises(InputError, match=f"--folds {count}: "):
            cross_fitted(lists, count)
