"""The command line of `highlight-lit import`: a sub-command for each module of this package that says its `PURPOSE`."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from highlight_lit.data import importers

OUT = ("--out", "the corpus to write; must not exist")


def sources() -> Iterator[tuple[str, ModuleType]]:
    """Each source, by its name on the command line."""
    for entry in pkgutil.iter_modules(importers.__path__):
        module = importlib.import_module(f"{importers.__name__}.{entry.name}")
        if hasattr(module, "PURPOSE"):
            yield entry.name.replace("_", "-"), module


def add_sources(importing: argparse.ArgumentParser) -> None:
    """Add a parser for each source; the options carry the names of its `import_corpus`."""
    parsers = importing.add_subparsers(metavar="SOURCE", required=True)
    for name, module in sources():
        parser = parsers.add_parser(name, help=module.PURPOSE, description=module.PURPOSE)
        parser.add_argument("source", type=Path, help="file or folder to import")
        option, purpose = getattr(module, "OUT", OUT)
        parser.add_argument(option, dest="out", type=Path, required=True, metavar="DIR", help=purpose)
        if hasattr(module, "add_options"):
            module.add_options(parser)
        parser.set_defaults(run=_run, importer=module)


def _run(options: argparse.Namespace) -> int:
    given = {key: value for key, value in vars(options).items() if key not in ("run", "importer", "source", "out")}
    options.importer.import_corpus(options.source, options.out, **given)
    return 0
