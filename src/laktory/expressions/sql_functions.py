"""Functions of numbers and texts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from laktory.expressions.sql_build import (
    MAX_ROUNDED,
    call_name,
    direction,
    floating,
    integer_argument,
    kind,
    literal,
    refuse,
    rounded,
    text_argument,
    truncated,
    when,
)
from laktory.expressions.sql_casts import as_text
from laktory.expressions.sql_patterns import regex, replacement
from laktory.expressions.sql_types import unary

if TYPE_CHECKING:
    from collections.abc import Callable

    from laktory.expressions.sql_build import Compile, Handler

__all__ = ["HANDLERS"]

# ---- numbers ---------------------------------------------------------------------------------


def _number(function: Callable[[Any], Any]) -> Handler:
    """A function of one number."""

    def handler(node: Any, compile_: Compile) -> Any:
        return function(_number_of(node.this, node, compile_))

    return handler


def _number_of(node: Any, call: Any, compile_: Compile) -> Any:
    """An argument of the call that has to be a number."""
    found = kind(node)
    if found not in {None, "integer", "float", "decimal", "number", "null"}:
        refuse(f"{call_name(call)} takes a number, not {'text' if found == 'text' else f'a {found} value'}", call)
    return compile_(node)


def _abs(node: Any, compile_: Compile) -> Any:
    return unary(node.this, _number_of(node.this, node, compile_), lambda value: value.abs())


def _sign(value: Any) -> Any:
    sign = when(value > literal(0), literal(1), when(value < literal(0), literal(-1), literal(0)))
    return when(~value.is_null(), sign)


def _cube_root(value: Any) -> Any:
    number = floating(value)
    size = number.abs()
    guess = size ** literal(1 / 3)
    # one Newton step makes the roots of cubes exact
    better = guess - (guess * guess * guess - size) / (literal(3.0) * guess * guess)
    usable = (size > literal(0.0)) & (size < literal(1e300))
    return when(usable, better, guess) * direction(number)


def _round(node: Any, compile_: Compile) -> Any:
    """Halves go away from zero, on every engine; the result is a Float64."""
    digits = 0 if node.args.get("decimals") is None else integer_argument(node.args["decimals"], node, "digits")
    if abs(digits) > MAX_ROUNDED:
        refuse(f"ROUND takes at most {MAX_ROUNDED} digits", node)
    return rounded(floating(_number_of(node.this, node, compile_)), digits)


def _power(node: Any, compile_: Compile) -> Any:
    base, exponent = (_number_of(part, node, compile_) for part in (node.this, node.expression))
    return floating(base) ** floating(exponent)


def _log(node: Any, compile_: Compile) -> Any:
    """``LOG(x)`` has base 10, as in PostgreSQL and DuckDB; ``LOG(b, x)`` has base b."""
    if node.args.get("expression") is None:
        return _logarithm(floating(_number_of(node.this, node, compile_)), 10.0)
    base = node.this
    text = str(base.this) if base.key == "literal" and not base.is_string else ""
    if not text or not float(text) > 0 or float(text) == 1:
        refuse("LOG takes a constant base greater than 0 and other than 1: LOG(2, x)", node)
    return _logarithm(floating(_number_of(node.expression, node, compile_)), float(text))


def _logarithm(value: Any, base: float) -> Any:
    if base == math.e:
        return value.log()
    exact = value.log() / literal(math.log(base))
    # powers of the base are exact
    near = when((exact - _nearest(exact)).abs() < literal(1e-12), _nearest(exact), exact)
    return when(exact.is_finite(), near, exact)


def _nearest(value: Any) -> Any:
    return (value + literal(0.5)).floor()


# ---- texts -----------------------------------------------------------------------------------


def _text(function: Callable[[Any], Any]) -> Handler:
    """A function of one text."""

    def handler(node: Any, compile_: Compile) -> Any:
        return function(_text_of(node, compile_))

    return handler


def _text_of(node: Any, compile_: Compile) -> Any:
    if kind(node.this) not in {None, "text", "null"}:
        refuse(f"{node.sql_name()} takes text; write CAST(… AS VARCHAR)", node)
    return compile_(node.this)


def _length(value: Any) -> Any:
    import narwhals as nw

    return value.str.len_chars().cast(nw.Int64)


def _trim(node: Any, compile_: Compile) -> Any:
    """Without a second argument only spaces are removed, as in standard SQL."""
    characters = " " if node.args.get("expression") is None else text_argument(node.expression, node, "characters")
    value, position = _text_of(node, compile_), str(node.args.get("position") or "BOTH").upper()
    if not characters:
        return value
    if position == "LEADING":
        return value.str.strip_chars_start(characters)
    return value.str.strip_chars_end(characters) if position == "TRAILING" else value.str.strip_chars(characters)


def _substring(node: Any, compile_: Compile) -> Any:
    """Counts from 1; a negative start counts from the end."""
    start = integer_argument(node.args.get("start"), node, "start")
    length = None if node.args.get("length") is None else integer_argument(node.args["length"], node, "length")
    if start == 0 or (length or 0) < 0:
        refuse("SUBSTRING counts from 1 (or -1 from the end) and takes no negative length", node)
    return _text_of(node, compile_).str.slice(start - 1 if start > 0 else start, length)


def _left(node: Any, compile_: Compile) -> Any:
    count = _count(node)
    return _text_of(node, compile_).str.slice(0, count)


def _right(node: Any, compile_: Compile) -> Any:
    count = _count(node)
    value = _text_of(node, compile_)
    return value.str.slice(-count) if count else value.str.slice(0, 0)


def _count(node: Any) -> int:
    count = integer_argument(node.expression, node, "count")
    if count < 0:
        refuse(f"{node.sql_name()} takes no negative count", node)
    return count


def _replace(node: Any, compile_: Compile) -> Any:
    old = text_argument(node.expression, node, "text to replace")
    new = text_argument(node.args.get("replacement"), node, "replacement")
    value = _text_of(node, compile_)
    return value.str.replace_all(old, new, literal=True) if old else value


def _concat(node: Any, compile_: Compile) -> Any:
    """NULL is skipped, as in PostgreSQL and DuckDB; ``||`` gives NULL instead."""
    import narwhals as nw

    return nw.concat_str(*(as_text(item, compile_) for item in node.expressions), ignore_nulls=True)


def _concat_ws(node: Any, compile_: Compile) -> Any:
    import narwhals as nw

    separator, *items = node.expressions
    if not items:
        refuse("CONCAT_WS takes a separator and at least one value", node)
    texts = [as_text(item, compile_) for item in items]
    return nw.concat_str(*texts, separator=text_argument(separator, node, "separator"), ignore_nulls=True)


def _affix(name: str) -> Handler:
    def handler(node: Any, compile_: Compile) -> Any:
        return getattr(_text_of(node, compile_).str, name)(text_argument(node.expression, node, "text"))

    return handler


def _contains(node: Any, compile_: Compile) -> Any:
    return _text_of(node, compile_).str.contains(text_argument(node.expression, node, "text"), literal=True)


def _regexp_like(node: Any, compile_: Compile) -> Any:
    flags = "" if node.args.get("flag") is None else text_argument(node.args["flag"], node, "flags")
    return _text_of(node, compile_).str.contains(regex(text_argument(node.expression, node, "pattern"), flags))


def _regexp_replace(node: Any, compile_: Compile) -> Any:
    """Replaces every match, as most dialects do."""
    modifiers = node.args.get("modifiers")
    flags = "" if modifiers is None else text_argument(modifiers, node, "flags")
    pattern = regex(text_argument(node.expression, node, "pattern"), flags)
    new = text_argument(node.args.get("replacement"), node, "replacement")
    return _text_of(node, compile_).str.replace_all(pattern, replacement(new))


def _separator(node: Any, argument: str) -> str:
    separator = text_argument(node.args.get(argument), node, "separator")
    if not separator:
        refuse(f"{node.sql_name()} takes a separator of at least one character", node)
    return separator


def _split(node: Any, compile_: Compile) -> Any:
    return _text_of(node, compile_).str.split(_separator(node, "expression"))


def _split_part(node: Any, compile_: Compile) -> Any:
    """Counts from 1; a part that is not there is an empty text, as in PostgreSQL and DuckDB."""
    place = integer_argument(node.args.get("part_index"), node, "place")
    if place < 1:
        refuse("SPLIT_PART counts from 1", node)
    value = _text_of(node, compile_)
    parts = value.str.split(_separator(node, "delimiter"))
    part = when(parts.list.len() >= place, parts).list.get(place - 1)
    return when(~value.is_null() & part.is_null(), literal(""), part)


HANDLERS: dict[str, tuple[Handler, str]] = {
    "abs": (_abs, "this"),
    "ceil": (_number(lambda value: floating(value).ceil()), "this"),
    "floor": (_number(lambda value: floating(value).floor()), "this"),
    "round": (_round, "this decimals"),
    "trunc": (_number(lambda value: truncated(floating(value))), "this"),
    "pow": (_power, "this expression"),
    "sqrt": (_number(lambda value: floating(value).sqrt()), "this"),
    "cbrt": (_number(_cube_root), "this"),
    "exp": (_number(lambda value: floating(value).exp()), "this"),
    "ln": (_number(lambda value: _logarithm(floating(value), math.e)), "this"),
    "log": (_log, "this expression"),
    "sign": (_number(_sign), "this"),
    "pi": (lambda *_: literal(math.pi), ""),
    "isnan": (_number(lambda value: floating(value).is_nan()), "this"),
    "lower": (_text(lambda value: value.str.to_lowercase()), "this"),
    "upper": (_text(lambda value: value.str.to_uppercase()), "this"),
    "length": (_text(_length), "this"),
    "trim": (_trim, "this expression position"),
    "substring": (_substring, "this start length"),
    "left": (_left, "this expression"),
    "right": (_right, "this expression"),
    "replace": (_replace, "this expression replacement"),
    "concat": (_concat, "expressions"),
    "concatws": (_concat_ws, "expressions"),
    "startswith": (_affix("starts_with"), "this expression"),
    "endswith": (_affix("ends_with"), "this expression"),
    "contains": (_contains, "this expression"),
    "regexplike": (_regexp_like, "this expression flag"),
    "regexpreplace": (_regexp_replace, "this expression replacement modifiers"),
    "split": (_split, "this expression"),
    "splitpart": (_split_part, "this delimiter part_index"),
}
"""Key of a sqlglot node → how it is compiled, and the arguments that are understood."""
