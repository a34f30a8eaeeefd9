"""Networks of other libraries: freshly drawn, of the smallest kinds, never downloaded; their own preprocessing, to the bit."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from urllib.error import URLError

import numpy as np
import pytest
import torch

pytest.importorskip("av")
from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.video import Stream
from highlight_lit.errors import InputError
from highlight_lit.files import sha256
from highlight_lit.inference import raw_video
from highlight_lit.media.extractors import audio_extractor, visual_extractor
from highlight_lit.media.extractors.library import is_plain
from highlight_lit.media.features import extract_features


def need(library: str) -> Any:
    """A library, or a loud skip: one that is of another PyTorch cannot be imported at all."""
    try:
        return pytest.importorskip(library, reason=f"NO {library.upper()}: the extra extractors is not installed")
    except RuntimeError as error:
        pytest.skip(f"NO {library.upper()}: it does not go with this PyTorch ({error})")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cache and no connection."""

    def refuse(*_: object, **__: object) -> None:
        raise URLError("no connection")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # else its clients try again for half a minute
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def frames(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 90, 120, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def r3d_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of torchvision's r3d_18, drawn."""
    need("torchvision")
    from torchvision.models.video import r3d_18

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "r3d.pth"
    torch.save(r3d_18(weights=None).state_dict(), path)
    return path


def test_torchvision_gives_what_its_network_has_before_the_classifier(r3d_file: Path) -> None:
    from torchvision.models.video import R3D_18_Weights, r3d_18

    extractor = visual_extractor("torchvision:r3d_18", r3d_file)
    network = r3d_18(weights=None)
    network.load_state_dict(torch.load(r3d_file, weights_only=True))
    network.fc = torch.nn.Identity()
    clip = frames(16)
    prepare = extractor.frames.prepare
    assert prepare is not None
    given = np.stack([np.stack([prepare(frame) for frame in clip])] * 2)
    # The weights' own transforms, of the whole clip at once.
    x = R3D_18_Weights.DEFAULT.transforms()(torch.from_numpy(clip).permute(0, 3, 1, 2))
    with torch.inference_mode():
        expected = network.eval()(x[None])[0].numpy()
    rows = extractor(given)
    assert (rows.shape, extractor.width, extractor.frames.per_clip) == ((2, 512), 512, 16)
    np.testing.assert_allclose(rows[0], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rows[1], rows[0], rtol=1e-4, atol=1e-5)  # a row does not hang on its batch
    assert extractor.version == visual_extractor("torchvision:r3d_18", r3d_file).version


def test_a_copy_of_published_weights_is_what_the_library_fetches(
    r3d_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.models.video import R3D_18_Weights

    def fetched(self: Any, **_: object) -> Any:
        return torch.load(r3d_file, weights_only=True)

    monkeypatch.setattr(R3D_18_Weights, "get_state_dict", fetched)
    url = property(lambda self: f"https://weights/r3d_18-{sha256(r3d_file)[:8]}.pth")
    monkeypatch.setattr(R3D_18_Weights, "url", url, raising=False)
    versions = {visual_extractor("torchvision:r3d_18", weights).version for weights in (None, r3d_file)}
    assert len(versions) == 1
    assert versions.pop().startswith("KINETICS400_V1-")


def test_other_weights_are_other_features(r3d_file: Path, tmp_path: Path) -> None:
    state = torch.load(r3d_file, weights_only=True)
    state["stem.0.weight"] = state["stem.0.weight"] * 2
    torch.save(state, tmp_path / "other.pth")
    versions = {visual_extractor("torchvision:r3d_18", path).version for path in (r3d_file, tmp_path / "other.pth")}
    assert len(versions) == 2


@pytest.mark.parametrize("name", ["mc3_18", "r2plus1d_18", "s3d", "swin3d_t", "mvit_v2_s"])
def test_the_classifier_of_each_kind_of_video_network_is_found(name: str, tmp_path: Path) -> None:
    torchvision = need("torchvision")
    from highlight_lit.media.extractors.of_torchvision import _cut_head

    with torch.device("meta"):
        network = torchvision.models.get_model(name, weights=None).eval()
        width = _cut_head(network)
        assert network(torch.zeros(1, 3, 16, 224, 224)).flatten(1).shape == (1, width)


def test_timm_gives_the_mean_of_what_its_network_pools(tmp_path: Path) -> None:
    timm = need("timm")
    need("torchvision")
    from PIL import Image

    torch.manual_seed(0)
    network = timm.create_model("tinynet_e", pretrained=False, num_classes=0).eval()
    torch.save(timm.create_model("tinynet_e", pretrained=False).state_dict() | network.state_dict(), tmp_path / "t.pth")
    extractor = visual_extractor("timm:tinynet_e", tmp_path / "t.pth")
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network), is_training=False)
    clip = frames(4)
    with torch.inference_mode():
        expected = network(torch.stack([transform(Image.fromarray(frame)) for frame in clip])).mean(0).numpy()
    prepare = extractor.frames.prepare
    assert prepare is not None
    rows = extractor(np.stack([prepare(frame) for frame in clip])[None])
    assert rows.shape == (1, extractor.width)
    np.testing.assert_allclose(rows[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("offline")
def test_weights_that_timm_fetched_before_are_taken_without_the_hub(tmp_path: Path) -> None:
    timm = need("timm")
    save = pytest.importorskip("safetensors.torch").save_file
    network = timm.create_model("tinynet_e", pretrained=False)
    repository = tmp_path / "hub" / "models--timm--tinynet_e.in1k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save(network.state_dict(), repository / "snapshots" / ("0" * 40) / "model.safetensors")
    torch.save(network.state_dict(), tmp_path / "t.pth")
    taken, given = visual_extractor("timm:tinynet_e"), visual_extractor("timm:tinynet_e", tmp_path / "t.pth")
    clips = np.ones((1, 4, 3, 106, 106), np.float32)
    np.testing.assert_array_equal(taken(clips), given(clips))
    assert taken.version == given.version


@pytest.fixture(scope="module")
def networks_of_audio(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders of the smallest AST and CLAP, drawn, and of a network of text."""
    library = need("transformers")
    folder = tmp_path_factory.mktemp("hf")
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    ast = library.ASTConfig(**small, max_length=128, num_mel_bins=32)
    library.ASTModel(ast).save_pretrained(folder / "ast")
    library.ASTFeatureExtractor(max_length=128, num_mel_bins=32).save_pretrained(folder / "ast")
    audio = {
        "hidden_size": 16, "patch_embeds_hidden_size": 8, "depths": [1, 1], "num_attention_heads": [1, 1], "num_hidden_layers": 2,
        "spec_size": 64, "num_mel_bins": 16, "patch_size": 4, "window_size": 4, "projection_dim": 12, "enable_fusion": False,
    }  # fmt: skip
    clap = library.ClapConfig(
        text_config={**small, "vocab_size": 50, "projection_dim": 12}, audio_config=audio, projection_dim=12
    )
    library.ClapModel(clap).save_pretrained(folder / "clap")
    library.ClapFeatureExtractor(
        feature_size=16, max_length_s=1, sampling_rate=48000, truncation="rand_trunc", padding="repeatpad"
    ).save_pretrained(folder / "clap")
    library.BertModel(library.BertConfig(**small, vocab_size=50)).save_pretrained(folder / "bert")
    return lambda name: folder / name


def test_ast_gives_what_it_pools(networks_of_audio: Callable[[str], Path]) -> None:
    from transformers import ASTFeatureExtractor, ASTModel

    waves = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 16_000))
    extractor = audio_extractor("hf:somebody/ast", networks_of_audio("ast"))
    given = ASTFeatureExtractor.from_pretrained(networks_of_audio("ast"))(
        list(waves.astype(np.float32)), sampling_rate=16_000, return_tensors="pt"
    )
    with torch.inference_mode():
        expected = ASTModel.from_pretrained(networks_of_audio("ast")).eval()(**given).pooler_output.numpy()
    np.testing.assert_allclose(extractor(waves), expected, rtol=1e-4, atol=1e-5)
    assert (extractor.name, extractor.width) == ("hf:somebody/ast", 16)
    assert extractor.version.startswith("audio-spectrogram-transformer-")


def test_clap_gives_its_embedding_of_audio_at_its_own_rate(networks_of_audio: Callable[[str], Path]) -> None:
    extractor = audio_extractor(f"hf:{networks_of_audio('clap')}")
    assert (extractor.name, extractor.width) == ("hf:clap", 12)
    time = np.arange(16_000) / 16_000
    waves = np.stack([np.sin(2 * np.pi * 440 * time), np.sin(2 * np.pi * 2000 * time)])
    rows = extractor(waves)
    assert rows.shape == (2, 12)
    assert np.abs(rows[0] - rows[1]).max() > 1e-3
    np.testing.assert_allclose(extractor(waves[:1])[0], rows[0], rtol=1e-4, atol=1e-5)


def test_a_folder_of_videos_is_extracted_trained_on_and_scored_alike(
    made, tmp_path: Path, r3d_file: Path, networks_of_audio: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "v").mkdir()
    made.write_video(tmp_path / "v" / "a.mp4", 2.0)
    ast = networks_of_audio("ast")
    words = ["extract", str(tmp_path / "v"), "--out", str(tmp_path / "c"), "--workers", "1"]
    words += ["--visual", "torchvision:r3d_18", "--visual-weights", str(r3d_file)]
    assert main([*words, "--audio", "hf:me/ast", "--audio-weights", str(ast)]) == 0
    told = capfd.readouterr().err
    assert "features: visual torchvision:r3d_18 file-" in told
    assert "classic" not in told
    corpus = Corpus(tmp_path / "c")
    assert corpus.streams["visual"].extractor == "torchvision:r3d_18"
    assert corpus.streams["audio"].extractor == "hf:me/ast"
    visual, audio = visual_extractor("torchvision:r3d_18", r3d_file), audio_extractor("hf:me/ast", ast)
    features = extract_features(tmp_path / "v" / "a.mp4", visual, audio)
    assert features.visual is not None
    np.testing.assert_allclose(corpus.rows(0, "visual"), features.visual, rtol=1e-2, atol=1e-3)  # float16 there
    assert main([*words, "--audio", "classic"]) == 2  # into a corpus of other features
    error = capfd.readouterr().err
    assert "features of visual torchvision:r3d_18" in error.splitlines()[-1]

    class Trained:
        source = tmp_path / "last.ckpt"
        streams = corpus.streams

    found = raw_video._extractors_of(Trained, r3d_file, ast, None)  # type: ignore[arg-type]
    assert [each.name for each in found if each is not None] == ["torchvision:r3d_18", "hf:me/ast"]


def test_a_checkpoint_has_nothing_of_a_hub_fetched_and_no_folder_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Trained:
        source = tmp_path / "last.ckpt"
        streams: ClassVar = {"audio": Stream(16, f"hf:{tmp_path}", "1")}

    with pytest.raises(InputError, match="trained on imported audio features"):
        raw_video._extractors_of(Trained, None, None, None)  # type: ignore[arg-type]
    library = need("transformers")
    asked: list[bool] = []

    def load(name: str, local_files_only: bool, trust_remote_code: bool) -> None:
        asked.append(not local_files_only or trust_remote_code)
        raise OSError("not kept here")

    monkeypatch.setattr(library.AutoConfig, "from_pretrained", load)
    Trained.streams["audio"] = Stream(16, "hf:nobody/nothing", "1")
    with pytest.raises(InputError, match=r"fetch it once: hf download nobody/nothing"):
        raw_video._extractors_of(Trained, None, None, None)  # type: ignore[arg-type]
    assert asked == [False]


def test_what_a_checkpoint_names_is_no_path_and_no_address() -> None:
    names = [
        "hf:../x",
        "hf:/etc/x",
        "hf:a/b/c",
        "timm:hf-hub:a/b",
        "timm:hf_hub:a/b",
        "timm:local-dir:/etc",
        "hf:a/..",
        "x:a",
    ]
    assert not any(map(is_plain, names))
    assert all(map(is_plain, ["hf:MIT/ast-finetuned-audioset-10-10-0.4593", "timm:vit_base.x_in1k", "torchvision:s3d"]))


@pytest.mark.parametrize(
    ("stream", "name", "library", "line"),
    [
        (
            "visual",
            "torchvision:r2plus1d_81",
            "torchvision",
            "has no such network of videos; expected such as r2plus1d_18",
        ),
        ("visual", "torchvision:resnet18", "torchvision", "no network of videos (timm:NAME takes networks of images)"),
        ("visual", "torchvision:fcn_resnet50", "torchvision", "no network of videos"),
        ("visual", "torchvision:", "torchvision", "has no such network of videos"),
        ("visual", "torchvision:r3d_18", "torchvision", "its weights cannot be had"),
        ("visual", "timm:resnet81", "timm", "timm has no such network; expected such as resnet"),
        ("visual", "timm:hf-hub:somebody/x", "timm", "timm has no such network"),
        ("visual", "timm:resnet18.nobodys_in1k", "timm", "timm has no such weights"),
        ("visual", "timm:tinynet_e", "timm", "its weights cannot be had"),
        ("visual", "hf:MIT/ast", "av", "visual extractor 'hf:MIT/ast': unknown"),
        ("audio", "hf:nobody/nothing", "transformers", "its weights cannot be had"),
        ("audio", "timm:resnet18", "av", "audio extractor 'timm:resnet18': unknown"),
    ],
)
@pytest.mark.usefixtures("offline")
def test_a_name_that_cannot_be_had_is_one_line_and_writes_nothing(
    made, tmp_path: Path, stream: str, name: str, library: str, line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    need(library)
    made.write_video(tmp_path / "a.mp4", 1.0)
    words = ["extract", str(tmp_path / "a.mp4"), "--out", str(tmp_path / "c"), f"--{stream}", name]
    assert main(words) == 2
    lines = [
        each for each in capfd.readouterr().err.splitlines() if not each.startswith("Downloading: ")
    ]  # torch.hub's
    assert len(lines) == 1
    assert line in lines[0]
    assert not (tmp_path / "c").exists()


def test_a_network_of_text_is_refused_as_audio(networks_of_audio: Callable[[str], Path]) -> None:
    with pytest.raises(InputError, match="hf:bert: a network of the kind 'bert'; expected one of audio: AST or CLAP"):
        audio_extractor(f"hf:{networks_of_audio('bert')}")


@pytest.mark.parametrize("name", ["torchvision:r3d_18", "timm:resnet18", "hf:MIT/ast"])
def test_a_missing_library_is_one_line_that_names_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("highlight_lit.installation.find_spec", lambda _: None)
    make = audio_extractor if name.startswith("hf:") else visual_extractor
    with pytest.raises(InputError, match=r"needs \w+: pip install 'highlight-lit\[extractors\]'"):
        make(name)


def test_a_library_of_another_pytorch_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("highlight_lit.installation.find_spec", lambda name: name)
    monkeypatch.setattr("highlight_lit.media.extractors.library.importlib.import_module", broken)
    with pytest.raises(
        InputError, match="cannot be imported beside PyTorch .* pip install --upgrade torch torchvision"
    ):
        visual_extractor("torchvision:r3d_18")
