"""JSON read strictly: what a reader would drop, round, or take one way here and another there is refused."""

from __future__ import annotations

import gc
import json
import math
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["elements", "parse"]

_MAX_DIGITS = 38
_BLANK = " \t\n\r"


def parse(text: str) -> Any:
    """One JSON value.

    Raises
    ------
    ValueError
        It is no JSON (`json.JSONDecodeError`), a key occurs twice in an object, a number is not finite or has an
        integer part of more than 38 digits, or a text holds half a character.
    """
    value = _uncollected(_DECODER.decode, text)
    _refuse_halves(text, value)
    return value


def elements(text: str) -> Iterator[tuple[str, Any]]:
    """The elements of a list, each as text on one line and as value; of an object, itself.

    Raises
    ------
    ValueError
        As `parse` does; `json.JSONDecodeError` with the place where the faulty element begins, or is broken.
    """
    start = _skip(text, 0)
    if text[start : start + 1] != "[":
        value, end = _element(text, start)
        if (rest := _skip(text, end)) != len(text):
            msg = "Extra data"
            raise json.JSONDecodeError(msg, text, rest)
        yield _on_one_line(text[start:end]), value
        return
    position = _skip(text, start + 1)
    closed = text[position : position + 1] == "]"
    while not closed:
        value, end = _element(text, position)
        yield _on_one_line(text[position:end]), value
        after = _skip(text, end)
        if text[after : after + 1] not in {",", "]"}:
            msg = "Expecting ',' delimiter"
            raise json.JSONDecodeError(msg, text, after)
        closed = text[after] == "]"
        position = after if closed else _skip(text, after + 1)
    if (rest := _skip(text, position + 1)) != len(text):
        msg = "Extra data"
        raise json.JSONDecodeError(msg, text, rest)


def _element(text: str, position: int) -> tuple[Any, int]:
    try:
        value, end = _uncollected(_DECODER.raw_decode, text, position)
        _refuse_halves(text[position:end], value)
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        raise json.JSONDecodeError(str(error), text, position) from error
    return value, end


def _uncollected(decode: Callable[..., Any], *arguments: Any) -> Any:
    # a garbage collection deep in the decoder's recursion leaves the finalizers of other objects no stack to run on
    collects = gc.isenabled()
    gc.disable()
    try:
        return decode(*arguments)
    finally:
        if collects:
            gc.enable()


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in _BLANK:
        position += 1
    return position


def _on_one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\r", " ")


def _refuse_halves(text: str, value: Any) -> None:
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = ascii(error.object[error.start])[1:-1]
            msg = f"{half} is half a character; the other half is missing"
            raise ValueError(msg) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        msg = f"the key {twice!r} occurs twice in one object"
        raise ValueError(msg)
    return made


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > _MAX_DIGITS:
        msg = f"an integer of {len(text.lstrip('-'))} digits; {_MAX_DIGITS} can be held"
        raise ValueError(msg)
    return int(text)


def _fraction(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        msg = f"the number {text[:40]} is too large"
        raise ValueError(msg)
    return value


def _constant(name: str) -> NoReturn:
    msg = f"{name} is no JSON value"
    raise ValueError(msg)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_fraction, parse_constant=_constant
)
