"""A wrong key, type or range is refused before any data is opened; two runs that differ have different names."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from highlight_lit.config.build import build
from highlight_lit.config.run_identity import as_plain, completed, identity
from highlight_lit.config.schema import check
from highlight_lit.config.settle import settle
from highlight_lit.errors import InputError
from highlight_lit.launch import CONFIG_DIR
from highlight_lit.training.command import main as train

GROUPS = {
    group.name: sorted(path.stem for path in group.glob("*.yaml"))
    for group in sorted(CONFIG_DIR.iterdir())
    if group.is_dir()
}


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return compose("config", ["data.root=nowhere", "topic=dog", *overrides])


@pytest.mark.parametrize(("group", "option"), [(g, o) for g, options in GROUPS.items() for o in options])
def test_every_shipped_file_composes_and_its_network_can_be_built(group: str, option: str) -> None:
    if option == "optuna":
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs the extra search")
    config = composed(f"{group}={option}")
    check(config)
    resolved = as_plain(config)
    build(resolved["model"], "model", Dv=6, Da=5)
    build(resolved["loss"], "loss")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("rank=0", "rank=0: expected a whole number of at least 1"),
        ("rank=two", "rank=two: expected a whole number"),
        ("rank=true", "rank=True: expected a whole number"),
        ("beta=-1", "beta=-1: expected a number of at least 0"),
        ("beta=inf", "beta=inf: expected a number"),
        ("tau=0", "tau=0: expected a whole number"),
        ("seed=-1", "seed=-1: expected a whole number"),
        ("data.rule=luck", "data.rule=luck: expected one of duration, tag"),
        ("trainer.precision=8", "trainer: pytorch_lightning.Trainer: Precision 8 is invalid"),
        (
            "+trainer.gradient_clip=1",
            "trainer.gradient_clip: no argument of pytorch_lightning.Trainer; did you mean gradient_clip_val?",
        ),
        ("trainer.profiler=fast", "trainer: pytorch_lightning.Trainer: "),
        ("trainer.strategy=nowhere", "trainer: pytorch_lightning.Trainer: "),
        ("trainer.max_epochs=0", "trainer.max_epochs=0: expected a whole number of at least 1"),
        ("trainer.max_steps=0", "trainer.max_steps=0: trains nothing; expected more than 0"),
        ("trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches=0: expected more than 0"),
        ("trainer.val_check_interval=-0.5", "trainer.val_check_interval=-0.5: expected more than 0"),
        ("trainer.check_val_every_n_epoch=0", "trainer.check_val_every_n_epoch=0: expected more than 0"),
        ("trainer.limit_train_batches=0", "trainer.limit_train_batches=0: trains nothing; expected more than 0"),
        ("trainer.limit_train_batches=0.0", "trainer.limit_train_batches=0: trains nothing; expected more than 0"),
        ("+trainer.callbacks=[x]", "trainer.callbacks=['x']: expected callbacks=[last,...], or +callbacks.NAME"),
        ("+trainer.callbacks=[]", "trainer.callbacks=[]: expected callbacks=[last,...], or +callbacks.NAME"),
        (
            "+trainer.logger=true",
            "trainer.logger=True: expected logger=csv, several as logger=[wandb,csv], or logger=none",
        ),
        ("+trainer.logger=false", "trainer.logger=False: expected logger=csv, several as"),
        ("+trainer.fast_dev_run=true", "trainer.fast_dev_run=True: expected debug=one_batch"),
        ("+trainer.fast_dev_run=3", "trainer.fast_dev_run=3: expected debug=one_batch"),
        ("+trainer.limit_test_batches=0.5", "trainer.limit_test_batches=0.5: expected null: every labelled video"),
        ("trainer.num_nodes=2", "trainer.num_nodes=2: expected torchrun or srun"),
        ("+callbacks.mine=3", "callbacks.mine=3: expected a mapping with _target_"),
        ("callbacks=[last,early_stopping]", "EarlyStopping watches val/loss, which needs videos that are held out"),
        (
            "+callbacks.last.often=1",
            "callbacks.last.often: no argument of highlight_lit.training.callbacks.last_checkpoint.LastCheckpoint",
        ),
        ("logger.mode=loud", "logger.mode=loud: expected online, offline, disabled or null"),
        ("+logger.wandb.projct=x", "logger.wandb.projct: no argument of"),
        ("data.scale=pca", "data.scale=pca: expected one of dimension, stream"),
        ("data.validation=1", "data.validation=1: expected a share"),
        ("evaluate.split=train", "evaluate.split=train: expected one of test, val, all"),
        (
            "trainer.gradient_clip=1",
            "no such key; did you mean trainer.gradient_clip_val?; +trainer.gradient_clip=... adds one that its class takes",
        ),
        ("modality=x", "modality=x: no such option; expected one of audio, av, visual"),
        ("modality=audoi", "modality=audoi: no such option; expected one of audio, av, visual; did you mean audio?"),
        ("bta=1", "bta: no such key; did you mean beta?"),
        (
            "trainer.max_epochs=1e9",
            "trainer.max_epochs=1000000000.0: expected a whole number of at least 1 and at most",
        ),
        ("trainer.max_steps=1e2", "trainer.max_steps=100.0: expected a whole number"),
        ("trainer.strategy=ddp_spawn", "trainer.strategy=ddp_spawn: its processes give no progress back"),
        ("trainer.strategy=ddp_notebook_find_unused_parameters_true", "expected ddp"),
        (
            "+trainer.strategy={_target_:pytorch_lightning.strategies.DDPStrategy,start_method:fork}",
            "expected ddp",
        ),
        ("trainer.accumulate_grad_batches=0.5", "trainer.accumulate_grad_batches=0.5: expected a whole number"),
        ("trainer.check_val_every_n_epoch=1.5", "trainer.check_val_every_n_epoch=1.5: expected a whole number"),
        ("trainer.gradient_clip_val=nan", "trainer.gradient_clip_val=nan: expected a finite number"),
        ("optimizer.algorithm.lr=inf", "optimizer.algorithm.lr=inf: expected a finite number"),
        ("topics=dog", "topics: no such key; did you mean topic?"),
        ("data.rot=x", "data.rot: no such key; did you mean data.root?"),
        ("modalty=av", "modalty: no such key; did you mean modality?"),
        ("context.t=1", "context.t: no such key; did you mean context.T?"),
        ("xyzzy=1", "xyzzy: no such key; the keys are those of "),
        ("+dat.root=x", "dat.root: no such key; did you mean data.root?"),
        ("+streams.x=1", "streams"),
        ("fusion.Rank=3", "Rank"),
        ("~data.pairs", "data.pairs: missing"),
        ("rank=[1", "no viable alternative"),
    ],
)
def test_a_wrong_key_type_or_range_is_refused_in_one_line_before_data_is_opened(override: str, says: str) -> None:
    with pytest.raises(InputError) as refused:
        train(["data.root=/nowhere/at/all", "topic=dog", override])
    message = str(refused.value)
    assert says in message
    assert "\n" not in message
    assert "/nowhere" not in message


@pytest.mark.parametrize(
    "word",
    ["fusion=null", "pooling=-1", "optimizer=[1]", "callbacks=[last,1]", "modality=1e400", "hydra/launcher=null"],
)
def test_a_group_takes_names_of_its_files_alone(word: str) -> None:
    with pytest.raises(
        InputError, match=rf"^{re.escape(word)}: expected the name of a file in .*/{word.partition('=')[0]}$"
    ):
        train(["data.root=/nowhere/at/all", "topic=dog", word])


@pytest.mark.parametrize(
    ("word", "part"),
    [("~model", "model"), ("~loss", "loss"), ("~optimizer", "optimizer.algorithm"), ("callbacks=[]", "callbacks"),
     ("~optimizer.algorithm", "optimizer.algorithm")],
)  # fmt: skip
def test_a_part_that_every_run_has_is_missed_by_its_name(word: str, part: str) -> None:
    with pytest.raises(InputError, match=rf"^{part}: missing; expected"):
        train(["data.root=/nowhere/at/all", "topic=dog", word])


def test_a_missing_topic_is_asked_for_by_name() -> None:
    with pytest.raises(InputError, match="topic: missing; expected topic="):
        train(["data.root=/nowhere"])


def test_seed_0_is_a_seed() -> None:
    check(composed("seed=0"))
    assert identity(as_plain(composed("seed=0")), "x") != identity(as_plain(composed("seed=1")), "x")


SCIENCE = ["rank=4", "tau=20", "beta=0.01", "seed=3", "topic=cat", "modality=visual", "fusion=concat", "context.T=1",
           "pooling=max", "loss=bce", "model.d=64", "optimizer=paper", "trainer.max_epochs=3", "data.rule=tag",
           "data.scale=stream"]  # fmt: skip


def test_runs_that_compute_something_else_have_another_name() -> None:
    names = {identity(as_plain(composed(*words)), "x") for words in [(), *itertools.combinations(SCIENCE, 1)]}
    assert len(names) == len(SCIENCE) + 1
    assert identity(as_plain(composed()), "x") != identity(as_plain(composed()), "another corpus")


def test_a_key_that_came_later_leaves_the_names_of_runs_before_it() -> None:
    before = as_plain(composed())
    del before["data"]["scale"]
    assert identity(before, "x") == identity(as_plain(composed()), "x")
    assert completed(before) == as_plain(composed())


@pytest.mark.parametrize("experiment", ["guided", "paper", "demo"])
@pytest.mark.parametrize(("modality", "fusion"), [("visual", "VisualOnly"), ("audio", "AudioOnly")])
def test_a_stream_alone_has_its_fusion_whatever_the_experiment(experiment: str, modality: str, fusion: str) -> None:
    found = composed(f"experiment={experiment}", f"modality={modality}")
    assert found.fusion["_target_"].rpartition(".")[2] == fusion
    assert composed(f"experiment={experiment}", f"modality={modality}", "fusion=concat").fusion["_target_"].endswith("Concatenation")  # fmt: skip


@pytest.mark.parametrize(
    ("words", "unread"),
    [
        (["rank=4"], []),
        (["rank=4", "fusion=concat"], ["rank"]),
        (["beta=1", "loss=bce"], ["beta"]),
        (["beta=1", "loss=sparsity", "tau=9"], []),
        (["model=lim", "fusion=low_rank", "pooling=max", "rank=2"], ["fusion", "pooling", "rank"]),
        (["model=mini_net", "context.T=1"], ["context"]),
        (["fusion.R=4", "pooling._target_=highlight_lit.models.pooling.MaxPooling"], []),
    ],
)
def test_a_key_that_nothing_reads_is_told_of(words: list[str], unread: list[str]) -> None:
    expected = [f"{key}: changes nothing, since nothing else here reads it" for key in unread]
    assert settle(composed(*words), words) == expected


@pytest.mark.parametrize(
    "override", ["out=elsewhere", "logger=none", "data.root=moved", "study=table1", "trainer.accelerator=cpu"]
)
def test_where_and_how_loudly_a_run_happens_does_not_change_its_name(override: str) -> None:
    assert identity(as_plain(composed()), "x") == identity(as_plain(composed(override)), "x")


def test_a_plain_configuration_is_checked_as_any_other_and_nothing_in_it_is_resolved() -> None:
    given = {**as_plain(composed()), "topic": "${oc.env:HOME}"}
    check(given)
    assert as_plain(given)["topic"] == "${oc.env:HOME}"
    with pytest.raises(InputError, match="rank=0: expected a whole number"):
        check({**given, "rank": 0})


def test_a_part_with_an_argument_its_class_does_not_take_is_refused() -> None:
    with pytest.raises(InputError, match="loss.gamma: no argument of .*HingesL1; expected beta, m_s, m_var"):
        build({**as_plain(composed())["loss"], "gamma": 1}, "loss")
    with pytest.raises(InputError, match="loss: nowhere.Loss"):
        build({"_target_": "nowhere.Loss"}, "loss")


def test_the_configuration_is_found_beside_the_package() -> None:
    assert (Path(CONFIG_DIR) / "config.yaml").is_file()


@pytest.mark.filterwarnings("error")  # Hydra's of a callback that fails
@pytest.mark.parametrize("below", ["", "/results"])
def test_a_sweep_into_a_file_is_refused_in_one_line(small_corpus: Path, tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        InputError, match=r"file(/results)?: cannot be used \(.*\); expected a folder that can be written"
    ):
        train(
            ["-m", f"data.root={small_corpus}", "topic=topic01,topic02", "logger=none", f"out={tmp_path}/file{below}"]
        )


@pytest.mark.parametrize("modes", [("-m", "--cfg", "job"), ("--multirun", "--cfg=job"), ("--info", "all", "-c", "job")])
def test_flags_of_hydra_that_exclude_each_other_are_refused_in_one_line(modes: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"expected one of these; --cfg job shows a single run's configuration"):
        train(["topic=dog", *modes])


def test_every_file_of_the_configuration_is_composed() -> None:
    """Those of the groups are, above; of the rest each has its command."""
    assert sorted(path.name for path in CONFIG_DIR.glob("*.yaml")) == ["config.yaml", "extract.yaml"]
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = compose("extract", ["videos=v", "out=corpus", "slices=4"])
    assert (config.videos, config.slices, config.slice) == ("v", 4, 1)
    assert {path.suffix for path in CONFIG_DIR.rglob("*") if path.is_file()} == {".yaml"}
