"""The networks as published, and the features that need no weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("av")
from highlight_lit.errors import InputError
from highlight_lit.media.extractors import audio_extractor, visual_extractor
from highlight_lit.media.extractors.classic import ClassicVisual
from highlight_lit.media.extractors.log_mel import log_mel
from highlight_lit.media.extractors.resnet3d34 import ResNet3d34
from highlight_lit.media.extractors.vggish import Vggish
from tests.tolerance import assert_near, rounding


def resnet_shapes(shortcut: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the public Kinetics-400 checkpoints, written out from the paper's table."""
    norms = ("weight", "bias", "running_mean", "running_var")
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7, 7)}
    shapes.update({f"bn1.{name}": (64,) for name in norms})
    before = 64
    for layer, blocks, width in ((1, 3, 64), (2, 4, 128), (3, 6, 256), (4, 3, 512)):
        for block in range(blocks):
            prefix = f"layer{layer}.{block}"
            shapes[f"{prefix}.conv1.weight"] = (width, before, 3, 3, 3)
            shapes[f"{prefix}.conv2.weight"] = (width, width, 3, 3, 3)
            for norm in ("bn1", "bn2"):
                shapes.update({f"{prefix}.{norm}.{name}": (width,) for name in norms})
            if shortcut == "B" and layer > 1 and block == 0:
                shapes[f"{prefix}.downsample.0.weight"] = (width, before, 1, 1, 1)
                shapes.update({f"{prefix}.downsample.1.{name}": (width,) for name in norms})
            before = width
    return {**shapes, "fc.weight": (400, 512), "fc.bias": (400,)}


VGGISH = {
    "features.0": (64, 1, 3, 3),
    "features.3": (128, 64, 3, 3),
    "features.6": (256, 128, 3, 3),
    "features.8": (256, 256, 3, 3),
    "features.11": (512, 256, 3, 3),
    "features.13": (512, 512, 3, 3),
    "embeddings.0": (4096, 12288),
    "embeddings.2": (4096, 4096),
    "embeddings.4": (128, 4096),
}


def filled(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    """Random tensors of a size that keeps activations alive."""
    source = torch.Generator().manual_seed(seed)
    tensors = {}
    for key, shape in shapes.items():
        values = torch.randn(shape, generator=source)
        if key.endswith("running_var"):
            values = values.abs() + 0.5
        elif len(shape) > 1:
            values *= (2 / np.prod(shape[1:])) ** 0.5
        else:
            values = 1 + 0.1 * values if key.endswith(("bn1.weight", "bn2.weight", "1.weight")) else 0.1 * values
        tensors[key] = values
    return tensors


def vggish_tensors() -> dict[str, torch.Tensor]:
    weights = filled({f"{name}.weight": shape for name, shape in VGGISH.items()})
    return {**weights, **filled({f"{name}.bias": (shape[0],) for name, shape in VGGISH.items()}, seed=1)}


@pytest.fixture(scope="module")
def save(tmp_path_factory) -> Callable[[object], Path]:
    """Write a checkpoint and give its path."""
    folder = tmp_path_factory.mktemp("weights")

    def write(value: object) -> Path:
        path = folder / f"{len(list(folder.iterdir()))}.pth"
        torch.save(value, path)
        return path

    return write


@pytest.fixture(scope="module")
def vggish_file(save) -> Path:
    return save(vggish_tensors())


def clips(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 16, 112, 112, 3)).astype(np.uint8)


def waves(count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (count, 16_000)).astype(np.float32)


@pytest.mark.parametrize(("shortcut", "parameters"), [("A", 63_339_712), ("B", 63_513_536)])
def test_resnet3d34_has_the_published_tensors_and_parameter_count(shortcut, parameters):
    network = ResNet3d34(shortcut)
    ours = {name: tuple(t.shape) for name, t in network.state_dict().items() if "num_batches" not in name}
    assert ours == {name: shape for name, shape in resnet_shapes(shortcut).items() if not name.startswith("fc.")}
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_vggish_has_the_published_tensors_and_parameter_count():
    with torch.device("meta"):
        network = Vggish()
    shapes = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    assert shapes == {
        **{f"{name}.weight": shape for name, shape in VGGISH.items()},
        **{f"{name}.bias": shape[:1] for name, shape in VGGISH.items()},
    }
    assert sum(p.numel() for p in network.parameters()) == 72_141_184


def test_resnet3d34_layers_halve_time_and_space_as_published():
    network, shapes = ResNet3d34("A").eval(), {}
    for name in ("conv1", "layer1", "layer2", "layer3", "layer4"):
        network.get_submodule(name).register_forward_hook(
            lambda _, __, out, name=name: shapes.update({name: tuple(out.shape[1:])})
        )
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 16, 112, 112)).shape == (1, 512)
    assert shapes == {
        "conv1": (64, 16, 56, 56),
        "layer1": (64, 8, 28, 28),
        "layer2": (128, 4, 14, 14),
        "layer3": (256, 2, 7, 7),
        "layer4": (512, 1, 4, 4),
    }


@pytest.mark.parametrize(("shortcut", "prefix"), [("A", "module."), ("B", "")])
def test_resnet3d34_loads_public_key_names_and_does_not_depend_on_the_batching(save, shortcut, prefix):
    tensors = {prefix + key: value for key, value in filled(resnet_shapes(shortcut)).items()}
    if shortcut == "A":
        tensors[f"{prefix}conv1.weight"] /= 100  # its frames are in 0..255, B's have a deviation of one
    tensors[f"{prefix}bn1.num_batches_tracked"] = torch.tensor(7)
    path = save({"epoch": 200, "arch": "resnet-34", "state_dict": tensors})
    extractor, seen = visual_extractor("resnet3d34", path), clips(3)
    together = extractor(seen)
    alone = np.concatenate([extractor(seen[i : i + 1]) for i in range(3)])
    assert together.shape == (3, 512)
    assert together.dtype == np.float32
    assert together.std(0).mean() > 1e-3
    terms = (int(np.prod(shape[1:])) for shape in resnet_shapes(shortcut).values() if len(shape) == 5)
    assert_near(together, alone, *terms)
    assert extractor.version.startswith(f"{shortcut}-")


def test_resnet3d34_shortcuts_are_padding_or_convolution():
    network = ResNet3d34("A")
    shortcut = network.get_submodule("layer2.0.downsample")
    x = torch.randn(1, 64, 4, 6, 6)
    padded = shortcut(x)
    assert torch.equal(padded[:, :64], x[:, :, ::2, ::2, ::2])
    assert not padded[:, 64:].any()
    assert isinstance(ResNet3d34("B").get_submodule("layer2.0.downsample"), nn.Sequential)


@pytest.mark.parametrize(
    ("shortcut", "mean", "std"), [("A", (114.7748, 107.7354, 99.4750), 1.0), ("B", (110.7975, 103.3005, 96.2625), None)]
)
def test_resnet3d34_sees_each_family_normalised_as_it_was_trained(save, monkeypatch, shortcut, mean, std):
    extractor = visual_extractor("resnet3d34", save(filled(resnet_shapes(shortcut))))
    given = []
    monkeypatch.setattr(extractor, "_network", lambda x: given.append(x) or torch.zeros(len(x), 512))
    extractor(np.full((1, 16, 112, 112, 3), 200, np.uint8))
    expected = (200 - np.array(mean)) / (np.array([70.584, 69.1815, 69.7935]) if std is None else std)
    apart = rounding(2, 4, dtype=torch.float32, scale=200 / (1.0 if std else 69.0))
    np.testing.assert_allclose(given[0][0, :, 0, 0, 0].cpu(), expected, rtol=0, atol=apart)


def test_vggish_loads_public_key_names_and_does_not_depend_on_the_batching(vggish_file):
    extractor, audio_mask = audio_extractor("vggish", vggish_file), waves(5)
    together = extractor(audio_mask)
    alone = np.concatenate([extractor(audio_mask[i : i + 1]) for i in range(5)])
    assert together.shape == (5, 128)
    assert together.std() > 1e-3
    assert_near(together, alone, *(int(np.prod(shape[1:])) for shape in VGGISH.values()))


def test_vggish_reads_96_frames_from_the_middle_of_the_clip_and_flattens_channels_last(vggish_file):
    tensors, audio_mask = vggish_tensors(), waves(1)
    x = torch.from_numpy(log_mel(audio_mask[0, 200:15_800]))[None, None]
    assert x.shape == (1, 1, 96, 64)
    for name in VGGISH:
        weight, bias = tensors[f"{name}.weight"].double(), tensors[f"{name}.bias"].double()
        if name == "embeddings.0":
            x = torch.stack([x[:, :, t, band] for t in range(6) for band in range(4)], dim=1).reshape(1, -1)
        x = torch.relu(nn.functional.conv2d(x, weight, bias, padding=1) if x.ndim == 4 else x @ weight.T + bias)
        if name in ("features.0", "features.3", "features.8", "features.13"):
            x = nn.functional.max_pool2d(x, 2)
    found = audio_extractor("vggish", vggish_file)(audio_mask)
    assert_near(found, x.float(), *(int(np.prod(shape[1:])) for shape in VGGISH.values()))


def test_vggish_pca_step_whitens_cuts_off_and_rounds_to_a_byte(save, vggish_file):
    rng = np.random.default_rng(3)
    vectors, means = rng.normal(size=(128, 128)).astype(np.float32), rng.normal(size=(128, 1)).astype(np.float32)
    pca = save({"pca_eigen_vectors": torch.from_numpy(vectors), "pca_means": torch.from_numpy(means)})
    plain, reduced = audio_extractor("vggish", vggish_file), audio_extractor("vggish", vggish_file, pca)
    expected = np.clip((plain(waves(2)) - means[:, 0]) @ vectors.T, -2, 2)
    np.testing.assert_allclose(
        reduced(waves(2)), np.round((expected + 2) * 63.75), atol=1.0
    )  # a byte may round either way
    assert set(np.unique(reduced(waves(2)))) <= set(range(256))
    assert plain.version != reduced.version


@pytest.mark.parametrize("numpy_name", ["numpy._core", "numpy.core"])
def test_vggish_pca_parameters_may_be_arrays_as_the_public_file_has_them(tmp_path, vggish_file, numpy_name):
    rng = np.random.default_rng(3)
    arrays = {"pca_eigen_vectors": rng.normal(size=(128, 128)), "pca_means": rng.normal(size=(128, 1))}
    path, other = tmp_path / "arrays.pth", tmp_path / "tensors.pth"
    torch.save(arrays, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"numpy._core", numpy_name.encode()))
    torch.save({key: torch.from_numpy(value) for key, value in arrays.items()}, other)
    rows = [audio_extractor("vggish", vggish_file, file)(waves(2)) for file in (path, other)]
    np.testing.assert_array_equal(*rows)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("layer3.2.conv1.weight"), "layer3.2.conv1.weight: missing"),
        (
            lambda t: t.update({"conv1.weight": torch.zeros(64, 3, 3, 7, 7)}),
            r"conv1.weight: shape \(64, 3, 3, 7, 7\), expected",
        ),
        (lambda t: t.update({"head.weight": torch.zeros(3)}), "head.weight: not a tensor of"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_key(save, change, said):
    tensors = filled(resnet_shapes("B"))
    change(tensors)
    with pytest.raises(InputError, match=said):
        visual_extractor("resnet3d34", save(tensors))


def test_nothing_in_a_weights_file_is_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    path = tmp_path / "trap.pth"
    torch.save({"state_dict": Trap()}, path)
    with pytest.raises(InputError, match="not a PyTorch checkpoint"):
        visual_extractor("resnet3d34", path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: visual_extractor("resnet3d34"), "--visual-weights"),
        (lambda folder: audio_extractor("vggish"), "--audio-weights"),
        (lambda folder: audio_extractor("vggish", folder / "none.pth"), "no such file"),
        (
            lambda folder: visual_extractor("inception"),
            "expected classic, resnet3d34, resnet3d34_spread, torchvision:NAME or timm:NAME",
        ),
        (lambda folder: audio_extractor("resnet3d34"), "expected classic, vggish or hf:NAME"),
    ],
)
def test_an_extractor_that_cannot_be_made_says_what_it_needs(tmp_path, make, said):
    with pytest.raises(InputError, match=said):
        make(tmp_path)


def test_versions_name_the_weights(save):
    first = visual_extractor("resnet3d34", save(filled(resnet_shapes("A"))))
    other = visual_extractor("resnet3d34", save(filled(resnet_shapes("A"), seed=5)))
    assert first.version != other.version


def moving_bar(direction: int) -> np.ndarray:
    frames = np.full((8, 32, 32, 3), 40, np.uint8)
    for at in range(8):
        start = 4 + 2 * (at if direction > 0 else 7 - at)
        frames[at, :, start : start + 6] = 220
    return frames


def test_classic_pictures_tell_colour_edges_and_motion_apart():
    grey, red = np.full((8, 32, 32, 3), 90, np.uint8), np.full((8, 32, 32, 3), 90, np.uint8)
    red[..., 0] = 230
    still = np.repeat(moving_bar(1)[:1], 8, axis=0)
    rows = ClassicVisual()(np.stack([grey, red, still, moving_bar(1), moving_bar(-1)]))
    assert rows.shape == (5, 512)
    colours, edges, brightness, change, moved = np.split(rows[:, :256], [64, 192, 208, 224], axis=1)
    assert np.abs(colours[0] - colours[1]).max() > 0.9
    assert np.abs(edges[:2]).max() == 0
    assert edges[2].max() > 0.3
    assert brightness[1, 0] > brightness[0, 0]
    assert np.abs(change[:3]).max() == 0
    assert change[3].max() > 0.1
    assert np.abs(moved[3] - moved[4]).max() > 0.01  # which way it moves
    apart = rounding(8, dtype=torch.float32, scale=rows.max())
    np.testing.assert_allclose(rows[2, 256:], 0, atol=apart)  # nothing varies in a still


def test_classic_rows_do_not_depend_on_the_batching():
    seen = np.random.default_rng(0).integers(0, 256, (4, 8, 32, 32, 3)).astype(np.uint8)
    extractor = ClassicVisual()
    np.testing.assert_array_equal(extractor(seen), np.concatenate([extractor(seen[i : i + 1]) for i in range(4)]))
    assert np.abs(extractor(seen)).max() < 4  # of a size that a half-precision shard keeps
