"""`highlight-lit export`: a checkpoint to a graph or a folder of safetensors, checked before it appears."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from highlight_lit.errors import InputError
from highlight_lit.files import atomic_write, not_an_input
from highlight_lit.installation import need
from highlight_lit.text import say
from highlight_lit.untrusted.arguments import trust_argument

FORMS = {"torch-export": ".pt2", "onnx": ".onnx", "safetensors": ".detector"}
CHECKED = (1, 60, 1000)  # clips
TOLERANCE = 1e-5  # of z and p beside the network's own, in units of the largest


def export_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `export`."""
    parser.add_argument("source", metavar="RUN", help="a checkpoint, a run's folder, or what --to safetensors wrote")
    parser.add_argument("--to", required=True, choices=tuple(FORMS), help="the form")
    parser.add_argument("--out", type=Path, help="file, or folder of safetensors (default: beside the checkpoint)")
    parser.add_argument(
        "--push-to-hub", metavar="OWNER/NAME", help="upload the folder of safetensors to the Hugging Face hub"
    )
    trust_argument(parser)


def run_export(args: argparse.Namespace) -> int:
    """Write the form that is asked for.

    Raises:
        InputError: A checkpoint that cannot be used, a network that has no such form, or a missing extra; nothing has
            been written then.
    """
    from highlight_lit.hub import is_repository_name, push
    from highlight_lit.inference.loading.load import load_detector
    from highlight_lit.runs.ledger import read_record

    if args.push_to_hub is not None and args.to != "safetensors":
        raise InputError("--push-to-hub: of --to safetensors alone; leave it out")
    if args.push_to_hub is not None and not is_repository_name(args.push_to_hub):
        raise InputError(f"--push-to-hub {args.push_to_hub}: expected OWNER/NAME of letters, digits, '_', '-', '.'")
    detector = load_detector(args.source, args.trust)
    beside = detector.source if detector.source.is_dir() else detector.source.parent
    record = read_record(beside)
    if record is not None and record["status"] != "done":
        record = None
    out = args.out or detector.source.with_name(f"{detector.source.stem}{FORMS[args.to]}")
    not_an_input(out, detector.source)
    if args.out is None and out.is_symlink():  # whoever made the folder of the checkpoint may have laid it there
        raise InputError(f"{out}: a link; expected a new name, or --out")
    if args.to == "safetensors":
        from highlight_lit.export.card import card_of
        from highlight_lit.inference.loading.model_folder import write_model_folder

        tensors = detector.network.state_dict()
        write_model_folder(out, detector.parts, tensors, card_of(detector, record, args.push_to_hub))
        say(out)
        if args.push_to_hub is not None:
            say(push(out, args.push_to_hub))
        return 0
    if args.to == "onnx":
        need("export", "--to onnx", "onnx", "onnxscript", "onnxruntime")
    with atomic_write(out) as temporary:
        temporary.write_bytes(b"\n")  # where there is no room, exporters say that a network has no such form
        apart = _write_graph(temporary, detector, args.to, record)
    say(f"{out}: z and p as the checkpoint's within {apart:.1g}, at {', '.join(map(str, CHECKED))} clips")
    return 0


def _write_graph(path: Path, detector: Any, form: str, record: Mapping[str, Any] | None) -> float:
    """Write a graph and run it; by how much its z and p differ from the detector's at most, in units of the largest.

    Raises:
        InputError: It has no such form, or its z or p differ by more than `TOLERANCE`.
    """
    from highlight_lit import __version__
    from highlight_lit.export import graph
    from highlight_lit.export.card import facts_of

    program = graph.traced(detector)
    facts = {
        "format": f"highlight-lit {form}", "highlight_lit": __version__, **facts_of(detector, record),
        "inputs": graph.inputs_of(detector),
        "outputs": {"z": "float32 (B, T_n), logits, by which a video's clips are ranked; arbitrary where valid is False", "p": "sigmoid(z)"},
    }  # fmt: skip
    if form == "onnx":
        graph.write_onnx(path, program, detector, facts)
    else:
        graph.write_program(path, program, facts)
    run, worst = graph.runner_of(path, form), 0.0
    for clips in CHECKED:
        for audio in (True, False):
            values = graph.example_of(detector, 2, clips, audio, seed=clips)  # the second is shorter
            outputs = [each.astype(float) for each in run(values)]
            for video, valid in enumerate(values["valid"].numpy()):
                rows = {name: value[video].numpy()[valid] for name, value in values.items()}
                z = detector.logits(rows.get("visual"), rows.get("audio"), rows.get("audio_mask"))
                for own, graphs in ((z, outputs[0]), (1 / (1 + np.exp(-z)), outputs[1])):
                    apart = abs(graphs[video][valid] - own).max() / max(1.0, abs(own).max())
                    worst = max(worst, float(apart)) if np.isfinite(apart) else np.inf
    if not worst <= TOLERANCE:
        raise InputError(
            f"{detector.source}: as {form} its scores differ by {worst:.1g}; expected {TOLERANCE:g} at most"
        )
    return worst
