"""The model card of an exported detector: its topic and streams, its measures beside the levels, how it was trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from highlight_lit.inference.detector import Detector
from highlight_lit.markup import in_markdown
from highlight_lit.runs.record_schema import LEVELS
from highlight_lit.text import one_line, percent


def facts_of(detector: Detector, record: Mapping[str, Any] | None) -> dict[str, Any]:
    """What must be known to use a detector, plain values; none of it names a path or a machine.

    Args:
        detector: The detector.
        record: Of the run that it came of; None where there is none.
    """
    streams = detector.parts["streams"]
    facts: dict[str, Any] = {"topic": detector.topic, "streams": streams, "fold": detector.fold}
    if record is not None:
        facts["run"] = {
            "id": record["id"], "seed": record["seed"], "corpus": record["corpus"]["name"],
            "fingerprint": record["corpus"]["fingerprint"], "commit": record["environment"]["commit"],
        }  # fmt: skip
    return facts


def card_of(detector: Detector, record: Mapping[str, Any] | None, repository: str | None = None) -> str:
    """A model card in Markdown; every text in it that a file gave is text, whatever it looks like."""
    name = repository or "FOLDER"
    streams = "\n".join(
        f"| {stream} | {facts.width} | {_text(facts.extractor)} | {_text(facts.version) or '-'} | {facts.dtype} |"
        for stream, facts in detector.streams.items()
    )
    lines = [
        "---\nlibrary_name: highlight-lit\ntags:\n- highlight-lit\n- video-highlight-detection\n---",
        f"# Highlights of “{_text(detector.topic)}”",
        "A detector of highlight-lit, trained from tagged videos without a label of a "
        "single second. It scores each clip of a video: features in, `p = sigmoid(z)` out.",
        f'```python\nfrom highlight_lit import Detector\n\nscores = Detector.load("{name}").score(visual, audio)  # one a clip\n```',
        f"## What it reads\n\n| stream | width | extractor | version | stored as |\n| --- | --- | --- | --- | --- |\n{streams}",
    ]
    if record is None:
        return (
            "\n\n".join([*lines, "## What it reaches\n\nNo record of its run was at hand when it was exported."]) + "\n"
        )
    return "\n\n".join([*lines, _measures(detector, record), _origin(detector, record)]) + "\n"


def _measures(detector: Detector, record: Mapping[str, Any]) -> str:
    """Every measure beside its levels, in percent."""
    kept = record.get("kept", {}).get("checkpoint", detector.source.name)
    if kept != detector.source.name:
        return f"## What it reaches\n\nNot judged: the run kept {_text(kept)}, of another epoch, and its measures are of that one."
    evaluation = record.get("evaluation")
    if evaluation is None:
        return "## What it reaches\n\nThe corpus has no labels of this topic to judge it by."
    topic, rows = record["topic"], []
    for name, measure in evaluation["measures"].items():
        values = [measure["topics"][topic]]
        for level in LEVELS:
            value = evaluation["levels"][level]["measures"][name]["topics"].get(topic)
            values.append(value["mean"] if isinstance(value, Mapping) else value)
        cells = " | ".join(map(percent, values))
        rows.append(f"| {_text(name)} | {cells} | {measure['n_videos']} |")
    return (
        "## What it reaches\n\nIn percent, beside chance, the middle of the video and what annotators reach against each other.\n\n"
        f"| measure | this detector | {' | '.join(LEVELS)} | videos |\n| --- | --- | --- | --- | --- | --- |\n"
        + "\n".join(rows)
    )


def _origin(detector: Detector, record: Mapping[str, Any]) -> str:
    environment, training = record["environment"], record.get("training", {})
    facts = {
        "corpus": f"{record['corpus']['name']} (fingerprint {record['corpus']['fingerprint']})",
        "videos": ", ".join(f"{training[kind]} {kind}" for kind in training) if isinstance(training, Mapping) else "",
        "fold left out": detector.fold,
        "modality": record["modality"],
        "seed": record["seed"],
        "epochs": record.get("epochs"),
        "commit": environment["commit"],
        "highlight-lit": environment.get("highlight_lit"),
        "torch": environment.get("torch"),
        "run": record["id"],
    }
    rows = "\n".join(f"| {name} | {_text(value)} |" for name, value in facts.items() if value not in (None, ""))
    return f"## How it was made\n\nOne run with one seed; another seed reaches other numbers.\n\n| | |\n| --- | --- |\n{rows}"


def _text(value: object) -> str:
    """Text for a cell of Markdown."""
    return in_markdown(one_line(value)[:300])
