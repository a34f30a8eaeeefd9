"""Upload and download of detectors at the Hugging Face hub, and whether it answers. Only this file knows huggingface_hub."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from highlight_lit import __version__
from highlight_lit.errors import InputError, first_line
from highlight_lit.installation import need
from highlight_lit.text import shown

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")
# Endings of a file that is missing, not of a repository.
_FILES = (".ckpt", ".pt", ".pt2", ".pth", ".onnx", ".safetensors", ".json")
MAX_DOWNLOAD_BYTES = 4 << 30  # of a repository: a detector takes some MB, a network of audio 1.2 GB
ANSWER_TIMEOUT_S = 5  # to connect, and then to the first byte
LOG_IN = "log in with 'hf auth login', or set HF_TOKEN"


def is_repository(name: str) -> bool:
    """Whether a name that is not there on disk is OWNER/NAME of the hub, not a file in a folder that is there."""
    return is_repository_name(name) and not name.lower().endswith(_FILES) and not Path(name.partition("/")[0]).exists()


def is_repository_name(name: str) -> bool:
    """Whether a name is OWNER/NAME as the hub has it."""
    return _REPOSITORY.fullmatch(name) is not None


def is_reachable(repository: str) -> bool:
    """Whether the hub answers when it is asked for a repository, even that there is none.

    Its client tries each file six times, for half a minute, where it cannot be reached; this asks once.
    """
    from huggingface_hub import HfApi, errors

    try:
        HfApi().model_info(repository, timeout=ANSWER_TIMEOUT_S)
    except errors.HfHubHTTPError as error:
        return getattr(error.response, "status_code", 500) < 500
    except Exception:  # of the HTTP client that its versions choose
        return False
    return True


def cached_file(repository: str, file: str) -> Path | None:
    """A repository's file as it was downloaded before; None if it was not."""
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(repository, file)
    return Path(cached) if isinstance(cached, str) else None


def check_size(repository: str, files: Sequence[str], where: str, instead: str) -> None:
    """Ask the hub how large some files of a repository are, before any of them is fetched.

    Args:
        repository: OWNER/NAME.
        files: Patterns of their names.
        where: For the error.
        instead: What to name in place of the repository once it was fetched by hand.

    Raises:
        InputError: They are over `MAX_DOWNLOAD_BYTES` or what is free on the disk, or the hub does not say.
    """
    from huggingface_hub import HfApi, constants

    info = HfApi().model_info(repository, files_metadata=True, timeout=ANSWER_TIMEOUT_S)
    wanted = [each for each in info.siblings or () if any(fnmatch(each.rfilename, name) for name in files)]
    sizes = [each.size for each in wanted if isinstance(each.size, int) and each.size >= 0]
    needs = f"{sum(sizes) / 1e6:,.1f} MB" if len(sizes) == len(wanted) else "files of unknown size"
    by_hand = f"fetch it with 'hf download {repository} --local-dir FOLDER' and name {instead}"
    if len(sizes) < len(wanted) or sum(sizes) > MAX_DOWNLOAD_BYTES:
        raise InputError(
            f"{where}: {needs}; expected at most {MAX_DOWNLOAD_BYTES / 1e6:,.0f} MB: if you want it, {by_hand}"
        )
    cache = Path(constants.HF_HUB_CACHE).absolute()
    free = shutil.disk_usage(next(each for each in (cache, *cache.parents) if each.exists())).free
    if sum(sizes) > free:
        raise InputError(f"{where}: {needs}, and {free / 1e6:,.1f} MB are free in {cache}: make room, or {by_hand}")


def fetch(repository: str) -> Path:
    """Download a detector's folder, or take the one that is cached; its files are not looked at.

    Raises:
        InputError: The extra is missing, or the hub cannot be reached, or has no such repository, or one that is too large.
    """
    where = f"{repository}: no such file or folder here, and"
    need("export", f"{where} to look on the Hugging Face hub", "huggingface_hub")
    from huggingface_hub import snapshot_download

    from highlight_lit.inference.loading.model_folder import CARD, CONFIG, WEIGHTS

    wanted: dict[str, Any] = {"allow_patterns": [CONFIG, WEIGHTS, CARD], "library_name": "highlight-lit",
                              "library_version": __version__}  # fmt: skip
    try:
        check_size(repository, wanted["allow_patterns"], repository, "the folder")
        return Path(snapshot_download(repository, **wanted))
    except InputError:
        raise
    except Exception as error:  # of the hub's client, and of the HTTP client that its versions choose
        try:
            return Path(snapshot_download(repository, local_files_only=True, **wanted))
        except Exception:
            raise InputError(f"{where} {_reason(error, 'reading')}") from error


def push(folder: Path, repository: str) -> str:
    """Upload a detector's folder into a repository, which is made if there is none.

    Returns:
        Its address.

    Raises:
        InputError: The extra is missing, or the hub cannot be reached, or does not let us write.
    """
    need("export", "--push-to-hub", "huggingface_hub")
    from huggingface_hub import HfApi

    from highlight_lit.inference.loading.model_folder import CARD, CONFIG, WEIGHTS

    api = HfApi(library_name="highlight-lit", library_version=__version__)
    try:
        address = api.create_repo(repository, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=folder, allow_patterns=[CONFIG, WEIGHTS, CARD],
            commit_message=f"A detector of highlight-lit {__version__}",
        )  # fmt: skip
    except Exception as error:  # as in `fetch`
        raise InputError(
            f"--push-to-hub {repository}: {_reason(error, 'writing')}; the folder {folder} is complete"
        ) from error
    return str(address)


def _reason(error: Exception, doing: str) -> str:
    """What went wrong, and what to do."""
    from huggingface_hub import constants, errors

    first = shown(first_line(error)[:160])
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.OfflineModeIsEnabled) or constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE forbids to ask the Hugging Face hub: unset it, or name a folder"
    if status in (401, 403) or isinstance(error, errors.GatedRepoError | errors.LocalTokenNotFoundError):
        return f"the Hugging Face hub refuses {doing} ({first}): {LOG_IN}, with a token that may"
    if isinstance(error, errors.RepositoryNotFoundError) or status == 404:
        return f"the Hugging Face hub has no such repository: check the name, or if it is private {LOG_IN}"
    return f"the Hugging Face hub cannot be reached ({first}): check the connection, proxy and HF_ENDPOINT"
