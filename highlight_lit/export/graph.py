"""A network as a graph that needs nothing of this package: features of whole videos in, z and p of their clips out.

Videos (B) and clips (T_n) are free. The input standardisation, and the rounding to the type that a corpus stores, are in the
graph: it takes features as an extractor makes them.
"""

from __future__ import annotations

import copy
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from highlight_lit.data.video import STREAMS
from highlight_lit.errors import InputError, first_line
from highlight_lit.inference.detector import Detector

OPSET = 20
OUTPUTS = ("z", "p")
MOST = 1 << 30  # videos or clips at once
MOST_REASON = 200  # characters of what a library says in an error
EXTRA = "highlight_lit.json"  # the file of metadata in a program of torch.export
_EXAMPLE = (3, 7)  # videos and clips to trace with: sizes that nothing in a network takes for a constant
_FREE = ("videos", "clips")  # the first two axes of every input
_LOUD = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
Values = Mapping[str, Tensor]


class _Graph(nn.Module):
    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.network = copy.deepcopy(detector.network).requires_grad_(False)
        self.types = {name: getattr(torch, stream.dtype) for name, stream in detector.streams.items()}

    def scores(self, visual: Tensor | None, audio: Tensor | None, valid: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        z: Tensor = self.network(self._stored("visual", visual), self._stored("audio", audio), valid, mask).z
        return z, torch.sigmoid(z)

    def _stored(self, name: str, rows: Tensor | None) -> Tensor | None:
        """Rows (B, T_n, D) with the rounding of a corpus."""
        return None if rows is None else rows.to(self.types[name]).float()


class _Both(_Graph):
    def forward(self, visual: Tensor, audio: Tensor, audio_mask: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        return self.scores(visual, audio, valid, audio_mask & valid)


class _Visual(_Graph):
    def forward(self, visual: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        return self.scores(visual, None, valid, torch.zeros_like(valid))


class _Audio(_Graph):
    def forward(self, audio: Tensor, audio_mask: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        return self.scores(None, audio, valid, audio_mask & valid)


_KINDS: dict[frozenset[str], type[_Graph]] = {
    frozenset({"visual", "audio"}): _Both,
    frozenset({"visual"}): _Visual,
    frozenset({"audio"}): _Audio,
}


def inputs_of(detector: Detector) -> dict[str, str]:
    """The graph's inputs in their order, and what each is."""
    streams = detector.streams
    inputs = {name: f"float32 (B, T_n, {streams[name].width})" for name in STREAMS if name in streams}
    if "audio" in inputs:
        inputs["audio_mask"] = "bool (B, T_n), True where a clip has audio; all False for a video without"
    return {**inputs, "valid": "bool (B, T_n), True where a clip exists; at least one a video"}


def traced(detector: Detector) -> torch.export.ExportedProgram:
    """The network as a program of torch.export; its inputs are `inputs_of`, its outputs z and p, (B, T_n).

    Raises:
        InputError: It cannot be traced, such as one that looks at the values of its inputs.
    """
    graph = _KINDS[frozenset(detector.streams)](detector).eval()
    example = example_of(detector, *_EXAMPLE)
    sizes = {axis: torch.export.Dim(name, min=1, max=MOST) for axis, name in enumerate(_FREE)}
    with _quiet():
        try:
            with torch.no_grad():
                program = torch.export.export(
                    graph, tuple(example.values()), dynamic_shapes=dict.fromkeys(example, sizes), strict=False
                )
        except OSError:  # of a temporary file
            raise
        except Exception as error:  # whatever a network of the user's does that cannot be traced
            raise InputError(
                f"{detector.source}: {_name(detector)} cannot be traced ({first_line(error)[:MOST_REASON]})"
            ) from error
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # paths of this machine
    return program


def example_of(detector: Detector, videos: int, clips: int, audio: bool = True, seed: int = 0) -> dict[str, Tensor]:
    """Inputs of the graph: features of the scale it was trained on, videos of different lengths."""
    rng = np.random.default_rng(seed)
    valid = np.arange(clips) < rng.integers((clips + 1) // 2, clips + 1, size=(videos, 1))
    valid[0] = True
    inputs: dict[str, Any] = {}
    for name, stream in detector.streams.items():
        rows = rng.normal(size=(videos, clips, stream.width))
        entry = getattr(detector.network, "embeddings", {})
        if name in entry and hasattr(entry[name], "std"):
            rows = rows * entry[name].std.double().numpy() + entry[name].mean.double().numpy()
        most = float(np.finfo(stream.dtype).max)
        inputs[name] = np.clip(rows, -most, most).astype(np.float32) * (audio or name == "visual")
    if "audio" in inputs:
        inputs["audio_mask"] = (rng.random((videos, clips)) < 0.8) & audio
    inputs["valid"] = valid
    return {name: torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in inputs_of(detector)}


def write_program(path: Path, program: torch.export.ExportedProgram, facts: Mapping[str, Any]) -> None:
    """Write a program of torch.export, with what it is beside it as `EXTRA`."""
    buffer = io.BytesIO()  # PyTorch ends the process where a disk is full
    torch.export.save(program, buffer, extra_files={EXTRA: json.dumps(facts, ensure_ascii=False)})
    path.write_bytes(buffer.getbuffer())


def write_onnx(path: Path, program: torch.export.ExportedProgram, detector: Detector, facts: Mapping[str, Any]) -> None:
    """Write an ONNX model, with what it is in its metadata, each value as text or JSON.

    Raises:
        InputError: A part of the network has no form in ONNX.
    """
    sizes = dict(enumerate(_FREE))
    names = list(inputs_of(detector))
    with _quiet():
        try:
            made = torch.onnx.export(
                program, (), input_names=names, output_names=list(OUTPUTS), opset_version=OPSET, dynamo=True, verbose=False,
                dynamic_shapes=dict.fromkeys(names, sizes),
            )  # fmt: skip
            assert made is not None
            model = made.model_proto
        except OSError:  # of a temporary file
            raise
        except Exception as error:  # of a part that the exporter does not know
            raise InputError(
                f"{detector.source}: {_name(detector)} has no form in ONNX ({first_line(error)[:MOST_REASON]})"
            ) from error
    for each in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output, model.graph):
        del each.metadata_props[:]  # paths of this machine
    for function in model.functions:
        for node in function.node:
            del node.metadata_props[:]
    for key, value in facts.items():
        model.metadata_props.add(
            key=key, value=value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        )
    path.write_bytes(model.SerializeToString())


def runner_of(path: Path, form: str) -> Any:
    """A function from the graph's inputs by name to z and p, run as a user would."""
    if form == "torch-export":
        with open(path, "rb") as file:
            program = torch.export.load(file).module()
        return lambda values: [each.detach().numpy() for each in program(*values.values())]
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda values: session.run(list(OUTPUTS), {name: value.numpy() for name, value in values.items()})


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the remarks of exporters about themselves."""
    before = {name: logging.getLogger(name).level for name in _LOUD}
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _name(detector: Detector) -> str:
    return type(detector.network).__name__
