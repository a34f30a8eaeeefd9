"""Tables of a sweep can be read at any width, and hold names as text."""

from __future__ import annotations

import re
from typing import Any

import pytest

from highlight_lit import text
from highlight_lit.runs.sweep_table import heading, sweep_table


def record(topic: str, seed: int, value: float = 0.5, **config: Any) -> dict[str, Any]:
    def of(mean: float) -> dict[str, Any]:
        return {"measures": {"ap": {"mean": mean, "std": 0.02, "n_videos": 7}}}

    levels = {"chance": of(0.3), "middle": of(0.4), "annotators": of(1.0)}
    evaluation = {"primary": "ap", **of(value), "levels": levels}
    whole = {"topic": topic, "seed": seed, "modality": "av", "rank": 8, "model": {"_target_": "a.Net"}, **config}
    return {"topic": topic, "modality": whole["modality"], "seed": seed, "config": whole, "corpus": {"name": "c"},
            "evaluation": evaluation}  # fmt: skip


def printed(capsys: pytest.CaptureFixture[str], records: list[dict[str, Any]], columns: int) -> list[str]:
    text.say_table(sweep_table(records, columns))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    return lines


@pytest.fixture(params=[80, 100, 120])
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    return int(request.param)


@pytest.mark.parametrize(
    "systems",
    [
        [{"rank": rank} for rank in (1, 2, 4, 8, 10, 16, 32, 64, 128, 256)],
        [{"beta": beta} for beta in (0.0, 1e-05, 0.0001, 0.5, 1.0, 2.0, 10.0, 11.0, 20.0, 100.0)],
        [{"rank": rank, "tau": tau} for rank in (2, 16) for tau in (5, 20, 60, 100, 120)],
    ],
)
def test_ten_systems_can_be_told_apart_and_numbers_stand_in_their_order(
    systems: list[dict[str, Any]], columns: int, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [record(topic, 0, **system) for topic in ("dog", "ski") for system in reversed(systems)]
    lines = printed(capsys, records, columns)
    names = [" ".join(f"{key}={value}" for key, value in system.items()) for system in systems]
    found = [line for line in lines if any(re.search(rf"{re.escape(name)}(?![\d.])", line) for name in names)]
    expected = names * 3  # two topics and their mean
    assert len(found) == len(expected)
    assert all(name in line for name, line in zip(expected, found, strict=True))
    assert sum("mean over topics" in line for line in lines) == 1


def test_few_systems_stand_side_by_side(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    records = [record("dog", seed, value, rank=r) for r in (2, 10) for seed, value in ((0, 0.5), (1, 0.52))]
    lines = printed(capsys, records, columns)
    assert re.search(r"rank=2 .* rank=10 .* annotators", lines[1])
    assert "51.0 (1.4)" in lines[3]


def test_systems_that_differ_beside_their_modality_have_rows_of_their_own(
    columns: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def system(modality: str, fusion: str, net: str = "Net", **more: Any) -> dict[str, Any]:
        streams = ["visual", "audio"] if modality == "av" else [modality]
        return {"modality": modality, "streams": streams, "fusion": {"_target_": f"a.{fusion}", **more},
                "model": {"_target_": f"a.{net}", "d": 8}}  # fmt: skip

    alone, low, one = (
        system("visual", "VisualOnly"),
        system("av", "LowRank", R=8),
        system("av", "Residual", R=8, scale=0.0),
    )
    for systems, names in (
        ([alone, low, one], ["visual fusion=VisualOnly", "av fusion=LowRank", "av fusion=Residual"]),
        ([alone, low], ["visual", "av"]),
        ([alone, low, system("av", "LowRank", "Mini")], ["visual model=Net", "av model=Net", "av model=Mini"]),
    ):
        records = [record("dog", 0, value, **each) for value, each in zip((0.61, 0.62, 0.63), systems, strict=False)]
        text.say_table(sweep_table(records, 20))
        lines = capsys.readouterr().out.splitlines()
        found = {
            re.sub(r"[│ ]+", " ", line).strip().removeprefix("dog 7 ")
            for line in lines
            if re.search(r"6[123]\.0", line)
        }
        assert found == {f"{name} {61 + place}.0" for place, name in enumerate(names)}


@pytest.mark.parametrize("name", ["[/b] dogs", "[dog]", "[link=http://x]x[/link]", ":smile:", "\x1b[2Jx", "a\nforged"])
def test_names_are_text(name: str, columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    records = [record(name, 0, rank=rank, context=name) for rank in (1, 2)] + [record("b", 0, rank=1, context="c")]
    records[0]["corpus"]["name"] = name
    text.say(heading(records))
    lines = printed(capsys, records, columns)
    assert any(text.shown(name) in line for line in lines)
    assert all(line.isprintable() for line in lines)


def test_a_terminal_without_box_drawing_gets_ascii(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    with (tmp_path / "out").open("w", encoding="ascii") as file:
        monkeypatch.setattr("sys.stdout", file)
        text.say_table(sweep_table([record("滑雪", 0)], 80))
    assert "\\u6ed1\\u96ea" in (tmp_path / "out").read_text()
    assert "+---" in (tmp_path / "out").read_text()
