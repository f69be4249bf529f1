"""Functions of numbers and texts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from laktory.expressions.sql_build import (
    MAX_ROUNDED,
    beside,
    call_name,
    direction,
    dtype_of,
    floating,
    integer_argument,
    kind,
    kind_of_dtype,
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

MAX_PADDED = 1000

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
    exact = value.log() / beside(value, literal(math.log(base)))
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
        refuse(f"{call_name(node)} takes text; write CAST(… AS VARCHAR)", node)
    return compile_(node.this)


def _lower(value: Any) -> Any:
    """Letters whose small form depends on the engine are made small first: İ, and Σ at the end of a word."""
    for letter, small in (("İ", "i\u0307"), ("\u03a3", "\u03c3")):
        value = value.str.replace_all(letter, small, literal=True)
    return value.str.to_lowercase()


def _upper(value: Any) -> Any:
    """``ß`` becomes SS; some engines have a capital for it."""
    return value.str.replace_all("ß", "SS", literal=True).str.to_uppercase()


def _length(node: Any, compile_: Compile) -> Any:
    """Characters of a text, or items of a list."""
    return _size(node, compile_) if kind(node.this) == "list" else _characters(_text_of(node, compile_))


def _characters(value: Any) -> Any:
    import narwhals as nw

    return value.str.len_chars().cast(nw.Int64)


def _pad(node: Any, compile_: Compile) -> Any:
    """To so many characters; a longer text loses what is behind them."""
    name, left = call_name(node), bool(node.args.get("is_left"))
    length = integer_argument(node.expression, node, "length")
    filling = text_argument(node.args.get("fill_pattern"), node, "filling")
    if not 0 <= length <= MAX_PADDED or len(filling) != 1:
        refuse(f"{name} takes a length of 0 to {MAX_PADDED} and one character to fill with: {name}(x, 5, '0')", node)
    value, missing = _text_of(node, compile_), literal(filling * length)
    cut = value.str.slice(0, length)
    if not left:
        return _joined(value, missing).str.slice(0, length)
    return when(_characters(value) < literal(length), _joined(missing, value).str.slice(-max(length, 1)), cut)


def _joined(*parts: Any) -> Any:
    import narwhals as nw

    return nw.concat_str(*parts)


def _position(node: Any, compile_: Compile) -> Any:
    """Counts from 1; 0 where the text is not found."""
    value, sought = _text_of(node, compile_), text_argument(node.args.get("substr"), node, "text to find")
    if not sought:
        refuse(f"{call_name(node)} looks for a text of at least one character", node)
    found = value.str.contains(sought, literal=True)
    before = _characters(value.str.split(sought).list.get(0))
    return when(found, before + 1, when(~found, literal(0)))


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
        refuse(f"{call_name(node)} takes no negative count", node)
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
    """A text in a text, or an item in a list."""
    if kind(node.this) == "list" or kind(node.expression) in {"integer", "float", "boolean"}:
        return _holds(node, compile_)
    return _text_of(node, compile_).str.contains(text_argument(node.expression, node, "text"), literal=True)


def _regexp_like(node: Any, compile_: Compile) -> Any:
    flags = "" if node.args.get("flag") is None else text_argument(node.args["flag"], node, "flags")
    if node.key == "regexpilike":
        flags = "i"
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
        refuse(f"{call_name(node)} takes a separator of at least one character", node)
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


# ---- lists -----------------------------------------------------------------------------------

_ITEMS = {"integer": "Int64", "float": "Float64", "text": "String", "boolean": "Boolean"}


def _list_of(node: Any, compile_: Compile, item: Any = None) -> Any:
    """A list, with items of the type `item`; as they are, where it is None."""
    import narwhals as nw

    if kind(node.this) not in {None, "list"}:
        refuse(f"{call_name(node)} takes a list, not {node.this.sql()}", node)
    dtype = dtype_of(node.this)
    wanted = None if dtype is None else nw.List(dtype.inner if item is None else item)
    return compile_(node.this) if dtype == wanted else compile_(node.this).cast(wanted)


def _size(node: Any, compile_: Compile) -> Any:
    import narwhals as nw

    return _list_of(node, compile_).list.len().cast(nw.Int64)


def _holds(node: Any, compile_: Compile) -> Any:
    """Whether a list holds a constant. NULL among the items is none of them."""
    import narwhals as nw

    negative, sought = node.expression.key == "neg", str(kind(node.expression))
    constant = node.expression.this if negative else node.expression
    if constant.key not in {"literal", "boolean"} or (negative and kind(constant) not in {"integer", "float"}):
        refuse(f"{call_name(node)} looks for a constant number, text or boolean", node)
    held = kind_of_dtype(getattr(dtype_of(node.this), "inner", None)) if kind(node.this) == "list" else sought
    if held not in _ITEMS or sought not in {held, "integer" if held == "float" else held}:
        refuse(f"{call_name(node)} looks for {node.expression.sql()} among items of another kind ({held})", node)
    value = constant.this
    if held in {"integer", "float"}:
        value = (int if held == "integer" else float)(value) * (-1 if negative else 1)
        literal(value)  # refuses what does not fit
    return _list_of(node, compile_, getattr(nw, _ITEMS[held])).list.contains(value)


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
    "isinf": (_number(lambda value: floating(value).abs() == literal(math.inf)), "this"),
    "isnan": (_number(lambda value: floating(value).is_nan()), "this"),
    "lower": (_text(_lower), "this"),
    "upper": (_text(_upper), "this"),
    "length": (_length, "this"),
    "pad": (_pad, "this expression fill_pattern is_left"),
    "strposition": (_position, "this substr"),
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
    "regexpilike": (_regexp_like, "this expression"),
    "regexpreplace": (_regexp_replace, "this expression replacement modifiers"),
    "split": (_split, "this expression"),
    "splitpart": (_split_part, "this delimiter part_index"),
    "arraysize": (_size, "this"),
    "arraycontains": (_holds, "this expression"),
}
"""Key of a sqlglot node → how it is compiled, and the arguments that are understood."""
