"""Names and texts of files in one form, whoever typed them: what is stored, and what is compared."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable

from highlight_lit.errors import InputError


def same_form(name: str) -> str:
    """A name in the Unicode form in which names are compared (NFC): "é" is one character, however it was typed."""
    return unicodedata.normalize("NFC", name)


def own_ids(names: Collection[str], ids: Iterable[str], where: str) -> dict[str, str]:
    """Which of some ids each name means: itself where it is one of them, else the one that differs by its Unicode form alone.

    Names that mean none are left out.

    Raises:
        InputError: A name is no id, and two ids have its form; begins with `where`.
    """
    by_form: dict[str, list[str]] = {same_form(name): [] for name in names}
    for each in ids:
        if (form := same_form(each)) in by_form:
            by_form[form].append(each)
    own = {}
    for name in names:
        fits = by_form[same_form(name)]
        if name not in fits and len(fits) > 1:
            raise InputError(
                f"{where}: video {name!a}: ids in other Unicode forms: {', '.join(map(ascii, fits))}; expected one of them"
            )
        if fits:
            own[name] = name if name in fits else fits[0]
    return own


def plain_line(text: str) -> str:
    """Text in one line that can be written as UTF-8: no control characters, no half of a surrogate pair."""
    encodable = text.encode("utf-8", "replace").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in encodable).split())
