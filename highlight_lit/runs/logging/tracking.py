"""The only file that imports W&B: one run a cell, closed with its exit code. Whatever W&B does, the run goes on.

W&B's own variables: WANDB_MODE and WANDB_DISABLED count where `logger.mode` is null, WANDB_PROJECT where
`logger.project` is. A run's id, name and folder are its own, so WANDB_RUN_ID, WANDB_NAME, WANDB_RESUME and WANDB_DIR
are not heeded.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pytorch_lightning.loggers import Logger

from highlight_lit.errors import InputError
from highlight_lit.files import remove_tree
from highlight_lit.runs.logging import dashboard, wandb_privacy
from highlight_lit.runs.logging.loggers import attempt
from highlight_lit.runs.names import cell_name
from highlight_lit.text import shown
from highlight_lit.untrusted.checkpoint_file import LAST_CHECKPOINT

PROJECT = "highlight-lit"
# W&B's words for them, the old ones too.
_MODES = {"online": "online", "run": "online", "offline": "offline", "dryrun": "offline", "disabled": "disabled"}
_DATA_DIR = os.environ.get("WANDB_DATA_DIR")  # the user's
_TAG, _NAME = 64, 128  # characters that W&B takes; of more it refuses the run
# How long W&B may hold up a run: when it begins, when it ends, and in tries to send.
_PATIENCE_S = {"init_timeout": 30, "finish_timeout": 60}


def chosen_mode(mode: str | None) -> str:
    """`online`, `offline` or `disabled`: the mode if there is one, otherwise what W&B's variables say.

    Raises:
        InputError: It is none of these.
    """
    if mode is not None:
        if mode not in _MODES:
            raise InputError(f"logger.mode={mode}: expected online, offline, disabled or null")
        return _MODES[mode]
    if os.environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes", "on"):
        return "disabled"
    given = os.environ.get("WANDB_MODE") or "offline"
    if given.lower() not in _MODES:
        raise InputError(f"WANDB_MODE={given}: expected online, offline or disabled, or logger.mode=... in its place")
    return _MODES[given.lower()]


def wandb_logger(
    mode: str | None,
    project: str | None,
    group: str | None,
    private: bool,
    save_dir: Path,
    run_id: str,
    config: Mapping[str, Any],
    artifacts: bool = False,
) -> Logger | None:
    """A logger with a W&B run; None if that is disabled.

    Where W&B cannot be reached, has no key, or fails in any other way, a line says so and the run goes on, logged
    offline if that is possible.

    Args:
        mode, project: See the module.
        group: Of the run.
        private: Whether W&B is told nothing of the machine.
        save_dir: The run's folder; W&B keeps its files beside it, in `wandb`, where `wandb sync` finds all runs.
        run_id: The run's identity, its id in W&B too, so that a resumed run goes on in the same one.
        config: What to keep as the run's config.
        artifacts: Whether the checkpoint is sent too.
    """
    options = {"project": project, "group": group, "private": private}
    save_dir = Path(save_dir).parent
    chosen, run = chosen_mode(mode), None
    if chosen == "online":
        run = attempt(
            "W&B could not be used online; goes on offline", _begin, chosen, options, save_dir, run_id, config
        )
    if chosen == "offline" or (chosen == "online" and run is None):
        run = attempt(
            "W&B could not be used offline; goes on without", _begin, "offline", options, save_dir, run_id, config
        )
    return run and attempt("W&B could not be used as a logger; goes on without", once, run, private, artifacts)


def _begin(mode: str, options: Mapping[str, Any], folder: Path, run_id: str, config: Mapping[str, Any]) -> Any:
    """A run of W&B."""
    further = wandb_privacy.settings(options["private"])
    import wandb

    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "wandb").is_symlink():
        raise InputError(
            f"{folder / 'wandb'}: a link; expected a folder, since what an ended run left there is removed"
        )
    if mode == "offline":  # what a killed process of this run left; the run logs its finished epochs again
        for left in folder.glob(f"wandb/offline-run-*-{run_id}"):
            remove_tree(left)
    os.environ.setdefault("WANDB_SILENT", "true")
    if _DATA_DIR is None:  # what tables and checkpoints are staged in until they are sent
        os.environ["WANDB_DATA_DIR"] = str((folder / "wandb").resolve())
    known = type(wandb.Settings()).model_fields
    patience: dict[str, Any] = {name: seconds for name, seconds in _PATIENCE_S.items() if name in known}
    settings = wandb.Settings(silent=True, console="off", x_disable_stats=True, quiet=True, **patience, **further)
    # What a process counts of itself is sent where W&B's settings say, `wandb/settings` of the working folder too, unless
    # the process, and not the run alone, is offline.
    chosen: Literal["offline", "online"] = "offline" if mode == "offline" else "online"
    wandb.setup(wandb.Settings(mode=chosen))
    call = functools.partial(
        wandb.init,
        project=options["project"] or os.environ.get("WANDB_PROJECT") or PROJECT,
        id=run_id,
        name=_fitting(cell_name(config), _NAME),
        group=options["group"],
        job_type="train",
        tags=_tags(config),
        dir=folder,
        mode=chosen,
        resume="allow" if mode == "online" else "never",
        config=wandb_privacy.sent(config, options["private"]),
        settings=settings,
    )
    try:
        return call()
    except Exception:
        wandb.teardown()  # W&B's service else takes the id for one in use
        raise


def _tags(config: Mapping[str, Any]) -> list[str]:
    """What a run is found by; a topic is a name from a file."""
    given = (str(config[key]) for key in ("topic", "modality", "study") if config[key] is not None)
    return list(dict.fromkeys(tag for text in given if (tag := _fitting(text, _TAG))))


def _fitting(text: str, most: int) -> str:
    """A name as W&B takes it: one line, and the beginning of one that is too long."""
    line = shown(text)
    return line if len(line) <= most else f"{line[: most - 3]}..."


def once(run: Any, private: bool, artifacts: bool) -> Logger:
    """A logger that logs no step twice to a W&B run, though the process that logged it first was killed.

    Such a process may have logged epochs that came after its last checkpoint; its successor trains them again, to the
    same bit. A run that was resumed knows the last step it has.

    Args:
        run: W&B's.
        private: Whether no video is named.
        artifacts: Whether the checkpoint is kept.
    """
    from pytorch_lightning.loggers import WandbLogger

    last = int(run.summary.get("trainer/global_step", -1)) if run.resumed else -1

    class Once(WandbLogger):
        starts_anew = bool(getattr(run, "offline", False))

        def log_hyperparams(self, params: Any) -> None:
            """A module's `corpus`, which is none without a fold, does not take the place of what the run began with."""
            super().log_hyperparams({key: value for key, value in dict(params).items() if key != "corpus"})

        def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
            if step is None or step > last:
                super().log_metrics(metrics, step)

        def conclude(self, measures: Mapping[str, float], step: int) -> None:
            run.summary.update(dict(measures))

        def report(self, record: Mapping[str, Any], folder: Path) -> None:
            import wandb

            run.summary.update(dashboard.levels(record))
            if not private:
                if rows := dashboard.videos(record):
                    run.log({"videos": wandb.Table(columns=list(dashboard.COLUMNS), data=[list(row) for row in rows])})
                for name, figure in dashboard.curves(folder / "scores.csv"):
                    run.log({f"curves/{name}": wandb.Image(figure)})
            if artifacts:
                kept = wandb.Artifact(f"detector-{record['id']}", type="model")
                kept.add_file(str(folder / record.get("kept", {}).get("checkpoint", LAST_CHECKPOINT)))
                run.log_artifact(kept)

        def end_run(self, exit_code: int) -> None:
            run.finish(exit_code=exit_code)

    return Once(experiment=run)
