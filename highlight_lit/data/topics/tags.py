"""The one form of tags, however they were typed: what `extract` and `import npy` store, and topics are compared in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from highlight_lit.errors import InputError
from highlight_lit.text import shown
from highlight_lit.unicode_forms import plain_line, same_form

MAX_TAGS = 10_000  # of a video
MAX_TAG = 500  # characters of a title or a tag


def plain_tag(tag: str) -> str:
    """A tag in lower case, NFC, on one line, with single blanks within.

    >>> plain_tag(" Dog  Show\\n"), plain_tag("STRASSE") == plain_tag("straße")
    ('dog show', True)
    """
    return same_form(plain_line(tag).casefold())


def comma_note(tags: Iterable[Sequence[str]], table: object) -> str | None:
    """What to say of a table whose tags may have been separated by commas or by `|`; None if none looks so.

    Args:
        tags: Of each row, whose cell was split at ';'.
        table: Its name.
    """
    joined = [row[0] for row in tags if len(row) == 1 and {",", "|"} & {*row[0]}]
    if not joined:
        return None
    mark = "comma" if "," in joined[0] else "'|'"
    rows = "1 row has" if len(joined) == 1 else f"{len(joined)} rows have"
    return (
        f"{table}: tags: {rows} a single tag with a {mark} in it, such as {shown(joined[0])}; ';' separates tags: write "
        f"{shown(joined[0].replace(',', ';').replace('|', ';'))} if several are meant"
    )


def plain_tags(tags: Iterable[str], where: str) -> tuple[str, ...]:
    """The tags of a video, each once and in one form, in their order; empty ones are left out.

    Args:
        tags: As they were typed.
        where: The file or row, for the error.

    Raises:
        InputError: More than `MAX_TAGS`, or one of more than `MAX_TAG` characters: cut, two could become one.
    """
    unique = tuple(dict.fromkeys(filter(None, map(plain_tag, tags))))
    if (long := next((tag for tag in unique if len(tag) > MAX_TAG), None)) is not None:
        raise InputError(f"{where}: tags: {shown(long[:20])}... has {len(long)} characters; expected at most {MAX_TAG}")
    if len(unique) > MAX_TAGS:
        raise InputError(f"{where}: tags: {len(unique)}; expected at most {MAX_TAGS}: leave out what is no topic")
    return unique
