"""Names and texts of files in one form, whoever typed them: what is stored, and what is compared."""

from __future__ import annotations

import unicodedata


def same_form(name: str) -> str:
    """A name in the Unicode form in which names are compared (NFC): "é" is one character, however it was typed."""
    return unicodedata.normalize("NFC", name)


def plain_line(text: str) -> str:
    """Text in one line that can be written as UTF-8: no control characters, no half of a surrogate pair."""
    encodable = text.encode("utf-8", "replace").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in encodable).split())
