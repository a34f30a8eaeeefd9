"""Networks from the plain values of a file that anybody may have written: nothing in them is resolved or run.

Such values never meet Hydra or OmegaConf, so `${oc.env:HOME}` stays the text it is. A class is looked up among the
networks of this package, or of packages that the user trusts by name, and is called with plain arguments, each checked
for its type. What it would hold is compared with the file's tensors before it takes memory.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import pkgutil
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from highlight_lit import models
from highlight_lit.config.own_classes import make_findable
from highlight_lit.errors import InputError, first_line
from highlight_lit.text import shown
from highlight_lit.untrusted.plain_values import called, plain

MAX_ARGUMENT = 1 << 24  # of a width, a rank or a number of steps
_TARGET, _PARTIAL = "_target_", "_partial_"
_KEPT = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # kinds of numbers that weights may have


def _called(value: object) -> str:
    """A value, or a part that was made of one, in a few words."""
    if isinstance(value, _Part):
        return f"a {value.kind.__name__}"
    if isinstance(value, functools.partial):
        return value.func.__name__ if isinstance(value.func, type) else "a part"
    return called(value)


def check_trusted(packages: Sequence[str]) -> None:
    """Refuse names that are no packages.

    Raises:
        InputError: One cannot be imported.
    """
    for package in packages:
        make_findable(package)
        try:
            spec = importlib.util.find_spec(package)
        except (ImportError, ValueError, AttributeError):
            spec = None
        if spec is None:
            raise InputError(f"--trust {package}: no such package; expected the name of one that Python can import")


def restore(
    node: object, tensors: Mapping[str, Tensor], where: str, trusted: Sequence[str] = (), **widths: int | None
) -> nn.Module:
    """Make the network that a file describes, and put the file's tensors into it.

    Args:
        node: Plain values; each mapping with `_target_` is a part of the network, its other keys the part's arguments.
        tensors: Weights by the network's own names.
        where: The file, for errors.
        trusted: Packages whose networks may be named, beside those of `highlight_lit.models`.
        widths: `Dv` and `Da`, for a network that takes them.

    Raises:
        InputError: A class that is not trusted, an argument it does not take, or tensors that are not its own: missing,
            further ones, of another shape or kind, or not finite.
    """
    part = _Part(plain(node, f"{where}: model"), f"{where}: model", trusted)
    if part.partial:
        raise InputError(f"{where}: model.{_PARTIAL}: true; expected a network, which needs nothing further")
    try:
        with torch.device("meta"), _Undrawn():  # shapes alone, no memory
            expected = dict(part.make(widths).state_dict())
        check_tensors(tensors, expected, where)
        network: nn.Module = part.make(widths)
        network.load_state_dict(dict(tensors))
        return network.eval()
    except InputError:
        raise
    except Exception as error:  # of a class of a trusted package, which has ideas of its own of a network
        raise InputError(f"{where}: model: {part.kind.__name__}: {error or type(error).__name__}") from error


def check_tensors(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str) -> None:
    """Refuse a file's tensors unless they are those of a network.

    Args:
        tensors: By name.
        expected: The network's own, of which names, shapes and kinds are looked at.
        where: The file, for errors.

    Raises:
        InputError: One is missing, unknown, of another shape or kind, or not finite.
    """
    for name, own in expected.items():
        if name not in tensors:
            raise InputError(f"{where}: its weights do not fit its network ({shown(name)}: missing)")
        given = tensors[name]
        if not isinstance(given, Tensor):
            raise InputError(f"{where}: {shown(name)}: {_called(given)}; expected a tensor")
        if given.shape != own.shape:
            shapes = f"{tuple(given.shape)}, expected {tuple(own.shape)}"
            raise InputError(f"{where}: its weights do not fit its network ({shown(name)}: shape {shapes})")
        if given.dtype != own.dtype and not {given.dtype, own.dtype} <= set(_KEPT):
            raise InputError(f"{where}: {shown(name)}: numbers of {given.dtype}, expected {own.dtype}")
        # As the network will hold them: float64 has numbers that are infinite in float32.
        if given.is_floating_point() and not given.to(own.dtype).isfinite().all():
            raise InputError(f"{where}: {shown(name)}: NaN or infinite; expected finite weights")
    for name in tensors:
        if name not in expected:
            raise InputError(f"{where}: its weights do not fit its network ({shown(name)}: no such weight)")


class _Undrawn(TorchFunctionMode):
    """Weights are not drawn: those that have no memory bring in torch's compiler for it, which takes a second."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if getattr(func, "__module__", "") == nn.init.__name__:
            return given["tensor"] if "tensor" in given else args[0]
        return func(*args, **given)


class _Part:
    """A node that names a class: looked up and checked, with its parts, but not made yet."""

    def __init__(self, node: object, where: str, trusted: Sequence[str]) -> None:
        if not isinstance(node, dict) or type(node.get(_TARGET)) is not str:
            raise InputError(f"{where}: {_called(node)}; expected a mapping with {_TARGET}")
        partial = node.get(_PARTIAL, False)
        if type(partial) is not bool:
            raise InputError(f"{where}.{_PARTIAL}: {_called(partial)}; expected true or false")
        self.where, self.partial = where, partial
        self.kind = _network(node[_TARGET], where, trusted)
        self.arguments = {
            key: _parts(value, f"{where}.{shown(key)}", trusted)
            for key, value in node.items()
            if key not in (_TARGET, _PARTIAL)
        }
        self._check()

    def _takes(self) -> Mapping[str, inspect.Parameter]:
        try:
            return inspect.signature(self.kind).parameters
        except (TypeError, ValueError) as error:
            raise InputError(f"{self.where}: {self.kind.__name__}: what it takes cannot be told ({error})") from error

    def _check(self) -> None:
        """Names and kinds of the arguments."""
        takes = self._takes()
        further = any(each.kind is each.VAR_KEYWORD for each in takes.values())
        hints = _hints(self.kind)
        for key, value in self.arguments.items():
            if key not in takes and not further:
                raise InputError(
                    f"{self.where}.{shown(key)}: no argument of {self.kind.__name__}; expected {', '.join(takes)}"
                )
            if type(value) is int and abs(value) > MAX_ARGUMENT:
                raise InputError(f"{self.where}.{shown(key)}: {_called(value)}; expected at most {MAX_ARGUMENT}")
            if key in hints and not _fits(value, hints[key]):
                raise InputError(f"{self.where}.{shown(key)}: {_called(value)}; expected {_named(hints[key])}")

    def make(self, further: Mapping[str, object]) -> Any:
        """Call the class, its parts first; with `_partial_` it is called later, with what is then given.

        Raises:
            InputError: The class refuses its arguments.
        """
        arguments = {key: _made(value) for key, value in self.arguments.items()}
        if self.partial:
            return functools.partial(self.kind, **arguments)
        takes = self._takes()
        try:
            return self.kind(**arguments, **{key: value for key, value in further.items() if key in takes})
        except InputError:
            raise
        except Exception as error:  # whatever a class raises that is given what it does not take
            raise InputError(f"{self.where}: {self.kind.__name__}: {first_line(error)}") from error


def _parts(value: object, where: str, trusted: Sequence[str]) -> Any:
    """An argument; mappings with `_target_` become parts, in lists and mappings too."""
    if isinstance(value, list):
        return [_parts(each, f"{where}[{i}]", trusted) for i, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if _TARGET in value:
        return _Part(value, where, trusted)
    return {key: _parts(each, f"{where}.{shown(key)}", trusted) for key, each in value.items()}


def _made(value: object) -> Any:
    if isinstance(value, _Part):
        return value.make({})
    if isinstance(value, list):
        return [_made(each) for each in value]
    return {key: _made(each) for key, each in value.items()} if isinstance(value, dict) else value


@functools.cache
def _own_networks() -> dict[str, type[nn.Module]]:
    """Every network class of `highlight_lit.models` by its full name."""
    networks = {}
    for each in pkgutil.walk_packages(models.__path__, f"{models.__name__}."):
        for name, value in vars(importlib.import_module(each.name)).items():
            if inspect.isclass(value) and issubclass(value, nn.Module) and value.__module__ == each.name:
                networks[f"{each.name}.{name}"] = value
    return networks


def _network(target: str, where: str, trusted: Sequence[str]) -> type[nn.Module]:
    """The class of a full name.

    Raises:
        InputError: It is no network of this package nor of a trusted one.
    """
    if (own := _own_networks().get(target)) is not None:
        return own
    module, _, name = target.rpartition(".")
    for package in trusted:
        inside = module == package or module.startswith(f"{package}.")
        if inside and all(word.isidentifier() and not word.startswith("__") for word in target.split(".")):
            try:
                kind = getattr(importlib.import_module(module), name, None)
            except (Exception, SystemExit) as error:  # a module may raise anything as it is imported
                raise InputError(f"{where}.{_TARGET}: {shown(target)}: {first_line(error)}") from error
            home = getattr(kind, "__module__", "")
            if inspect.isclass(kind) and issubclass(kind, nn.Module) and f"{home}.".startswith(f"{package}."):
                return kind
    beside = f", nor of {', '.join(trusted)}" if trusted else "; --trust PACKAGE allows those of a package of yours"
    raise InputError(f"{where}.{_TARGET}: {_called(target)} is not a network of highlight_lit.models{beside}")


def _hints(kind: type[nn.Module]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind.__init__)
    except (NameError, TypeError, AttributeError):
        return {}  # a class of the user's with hints for the type checker alone


def _fits(value: object, hint: Any) -> bool:
    """Whether an argument is of the type a class states; types that are not known here are the class' to check."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, each) for each in arguments)
    if hint in (bool, int, str):
        return type(value) is hint
    if hint is float:
        return type(value) in (int, float)
    if hint is type(None):
        return value is None
    if origin in (Sequence, list):
        return isinstance(value, list) and all(_fits(each, arguments[0]) for each in value if arguments)
    if origin is Callable:
        wanted = arguments[1] if len(arguments) > 1 else Any
        kind = value.kind if isinstance(value, _Part) and value.partial else None
        return kind is not None and (not inspect.isclass(wanted) or issubclass(kind, wanted) or _foreign(kind))
    if inspect.isclass(hint) and issubclass(hint, nn.Module):
        return isinstance(value, _Part) and not value.partial and (issubclass(value.kind, hint) or _foreign(value.kind))
    return True


def _foreign(kind: type[nn.Module]) -> bool:
    """Whether a class is of a trusted package: what it can stand in for is the user's to know."""
    return not kind.__module__.startswith("highlight_lit.")


def _named(hint: Any) -> str:
    """A type as a person says it."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(map(_named, arguments))
    if typing.get_origin(hint) is Callable:
        return f"a {getattr(arguments[1], '__name__', 'part')}, with {_PARTIAL}: true"
    if typing.get_origin(hint) in (Sequence, list):
        return f"a list of {_named(arguments[0])}"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}
    return names.get(hint, str(getattr(hint, "__name__", hint)))
