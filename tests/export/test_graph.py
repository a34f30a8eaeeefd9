"""A graph scores as the checkpoint it is of, in torch and in onnxruntime, for every fusion and context of conf/."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from highlight_lit.errors import InputError
from highlight_lit.export import graph
from highlight_lit.inference.detector import Detector
from tests.real_processes import exit_status, forked

pytest.importorskip("onnxruntime", reason="NO EXPORT TESTED: the extra export is not installed")
Drawn = Callable[..., Detector]
CONF = Path(__file__).parents[2] / "conf"
# Every fusion; the contexts, poolings and other networks beside them. Tracing takes as long as there are steps T: several,
# where they are what is new.
SYSTEMS = [
    ("fusion=residual",), ("fusion=low_rank", "context.T=0"),
    ("fusion=low_rank_one", "context.shared=true", "context.global_state=true"), ("fusion=full_tensor", "context.T=3"),
    ("fusion=concat", "context.global_state=true", "context.T=1"), ("fusion=concat_dropout", "pooling=noisy_or", "context.T=1"),
    ("fusion=product", "pooling=max", "context.T=1"), ("modality=visual", "context.T=1"), ("modality=audio", "context.T=1"),
    ("model=mini_net",), ("model=lim",),
]  # fmt: skip


def test_the_systems_are_all_fusions_of_conf() -> None:
    named = {word.partition("=")[2] for words in SYSTEMS for word in words if word.startswith("fusion=")}
    assert named | {"visual_only", "audio_only"} == {path.stem for path in (CONF / "fusion").glob("*.yaml")}
    assert {path.stem for path in (CONF / "context").glob("*.yaml")} == {"gated"}


def near(found: object, expected: object) -> None:
    """Within 1e-5 of the largest value, and of 1."""
    wanted = np.asarray(expected, float)
    np.testing.assert_allclose(np.asarray(found, float), wanted, rtol=0, atol=1e-5 * max(1.0, np.abs(wanted).max()))


@pytest.mark.parametrize("words", SYSTEMS, ids=" ".join)
def test_a_graph_scores_any_length_as_its_checkpoint_does(drawn: Drawn, tmp_path: Path, words: tuple[str, ...]) -> None:
    detector = drawn(*words)
    program = graph.traced(detector)
    graph.write_program(tmp_path / "a.pt2", program, {})
    graph.write_onnx(tmp_path / "a.onnx", program, detector, {})
    for form, name in (("torch-export", "a.pt2"), ("onnx", "a.onnx")):
        run = graph.runner_of(tmp_path / name, form)
        silent = {}
        for clips in (1, 60, 1000):
            for audio in (True, False):
                values = graph.example_of(detector, 1, clips, audio)
                rows = {key: value[0].numpy() for key, value in values.items()}
                expected = detector.logits(rows.get("visual"), rows.get("audio"), rows.get("audio_mask"))
                z, p = run(values)
                near(z[0], expected)
                near(p[0], 1 / (1 + np.exp(-expected)))
                silent[clips, audio] = z
        if "audio" in detector.streams:
            assert np.abs(silent[60, True] - silent[60, False]).max() > 1e-3  # audio has a say
        # Videos of several lengths side by side, each as if it were alone: clips beyond its end have no say.
        values = graph.example_of(detector, 3, 20)
        z, _ = run(values)
        for video in range(3):
            length = int(values["valid"][video].sum())
            alone = {key: value[video : video + 1, :length] for key, value in values.items()}
            near(z[video, :length], run(alone)[0][0])


class LooksAtValues(nn.Module):
    """A network of a user's: its graph depends on what it is given."""

    def forward(self, visual: Tensor, audio: Tensor, mask: Tensor, audio_mask: Tensor) -> SimpleNamespace:
        z = visual.sum(-1)
        return SimpleNamespace(z=z if z.mean() > 0 else -z)


class Rare(nn.Module):
    """A network of a user's with an operation that ONNX has not."""

    def forward(self, visual: Tensor, audio: Tensor, mask: Tensor, audio_mask: Tensor) -> SimpleNamespace:
        return SimpleNamespace(z=torch.special.bessel_j0(visual.sum(-1)))


def test_a_network_that_has_no_such_form_is_refused_in_a_line_that_names_it(drawn: Drawn, tmp_path: Path) -> None:
    detector = drawn()
    with pytest.raises(InputError, match=r"last\.ckpt: LooksAtValues cannot be traced \("):
        graph.traced(dataclasses.replace(detector, network=LooksAtValues()))
    rare = dataclasses.replace(detector, network=Rare())
    with pytest.raises(InputError, match=r"last\.ckpt: Rare has no form in ONNX \("):
        graph.write_onnx(tmp_path / "a.onnx", graph.traced(rare), rare, {})
    assert not (tmp_path / "a.onnx").exists()


def test_a_disk_that_is_full_is_an_error_and_ends_no_process(drawn: Drawn) -> None:
    program = graph.traced(drawn("model=mini_net"))

    def work() -> int:
        with pytest.raises(OSError, match="No space left"):
            graph.write_program(Path("/dev/full"), program, {})
        return 0

    assert exit_status(forked(work)) == 0
