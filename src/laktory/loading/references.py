"""References inside a text: ``${vars.NAME}``, ``${settings.NAME}``, ``${{ expression }}``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from laktory.loading.nodes import MAX_DEPTH
from laktory.loading.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Piece", "line_column", "pieces", "refers_to", "texts"]

_REFERENCE = re.compile(r"\$\{\s*(vars?|settings?)\.([a-z_]\w*)\s*\}", re.IGNORECASE | re.ASCII)
_MALFORMED = re.compile(
    r"\$\{\s*(?:vars?|settings?)\s*\.[^{}\n]{0,100}\}?|\$\{\s*(?P<bare>[a-z_]\w*)\s*\}", re.IGNORECASE | re.ASCII
)
_OLD_INCLUDE = re.compile(r"\$\{\s*include\.")
_FOREIGN = re.compile(r"\$\{\s*([a-z_][\w-]*\.[^${}\n]{0,100}?)\s*\}", re.IGNORECASE | re.ASCII)


class Piece(NamedTuple):
    """A reference inside a text.

    ``kind`` is ``vars``, ``settings``, ``expression``, ``foreign`` (``${params.day}``), ``include``, ``open`` or
    ``malformed``.
    """

    kind: str
    body: str
    start: int
    end: int


def pieces(text: str, scope: Scope) -> Iterator[Piece]:
    """References of a text, in order. What else starts with ``${``, such as ``${1}`` of a pattern, is plain text."""
    position = text.find("${")
    while position >= 0:
        end = position + 2
        if text.startswith("${{", position):
            close = _closing(text, position + 3)
            end = len(text) if close < 0 else close + 2
            yield Piece("open" if close < 0 else "expression", text[position + 3 : close], position, end)
        elif match := _REFERENCE.match(text, position):
            end = match.end()
            yield Piece("vars" if match[1].lower().startswith("var") else "settings", match[2], position, end)
        elif _OLD_INCLUDE.match(text, position):
            yield Piece("include", "", position, end)
        elif (match := _MALFORMED.match(text, position)) and (
            match["bare"] is None or scope.find(match["bare"]) is not None
        ):
            end = match.end()
            yield Piece("malformed", match[0], position, end)
        elif match := _FOREIGN.match(text, position):
            end = match.end()
            yield Piece("foreign", match[1], position, end)
        position = text.find("${", end)


def _closing(text: str, position: int) -> int:
    """Where the ``}}`` of an expression stands, or -1: braces inside it are paired, quotes hide them."""
    depth, quote = 0, ""
    while position < len(text):
        char = text[position]
        if quote:
            if char == "\\":
                position += 1
            elif char == quote:
                quote = ""
        elif char in "'\"":
            quote = char
        elif char == "{":
            depth += 1
        elif char == "}":
            if depth == 0 and text.startswith("}}", position):
                return position
            depth -= 1
        position += 1
    return -1


def line_column(text: str, offset: int) -> tuple[int, int]:
    """1-based line and column of an offset."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def texts(value: Any, depth: int) -> Iterator[str]:
    """Texts with a reference inside a variable's value."""
    if isinstance(value, str):
        if "${" in value:
            yield value
    elif isinstance(value, (dict, list, tuple)) and depth <= MAX_DEPTH:
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item, depth + 1)


def refers_to(text: str, name: str) -> bool:
    """Whether a text refers to the variable `name`."""
    inside = re.compile(rf"(?<![\w.])vars\.{re.escape(name)}(?!\w)", re.IGNORECASE)
    for piece in pieces(text, Scope.start()):
        if piece.kind == "vars" and piece.body.casefold() == name.casefold():
            return True
        if piece.kind == "expression" and inside.search(piece.body):
            return True
    return False
