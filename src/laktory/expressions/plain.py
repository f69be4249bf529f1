"""What an expression may do with plain values: functions, methods, operators, all bounded in size."""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from laktory.errors import ExpressionError

__all__ = ["FUNCTIONS", "METHODS", "OPERATORS", "bounded", "call_method", "is_plain"]

MAX_BITS = 256
MAX_CHARACTERS = 100_000
MAX_ITEMS = 100_000
MAX_DIGITS = 100

_SCALARS = (str, int, float, bool, type(None), Decimal, dt.date, dt.time, dt.timedelta)


def is_plain(value: object) -> bool:
    """Whether a value is data: a scalar, a sequence, a set or a mapping."""
    return isinstance(value, (*_SCALARS, list, tuple, set, frozenset, Mapping))


def bounded(value: Any) -> Any:
    """The value itself, if it is small enough to keep and to print.

    Raises
    ------
    ExpressionError
        If it holds too many items, too much text or too long a number.
    """
    items = characters = 0
    waiting = [value]
    while waiting:
        item = waiting.pop()
        items += 1
        if isinstance(item, str):
            characters += len(item)
            if not item.isascii() and any("\ud800" <= char <= "\udfff" for char in item):
                msg = "the text holds half a character (U+D800 to U+DFFF), which no file can hold"
                raise ExpressionError(msg)
        elif isinstance(item, int) and item.bit_length() > MAX_BITS:
            msg = f"a number has more than {MAX_BITS} bits"
            raise ExpressionError(msg)
        elif isinstance(item, complex):
            msg = "the result is a complex number"
            raise ExpressionError(msg)
        elif isinstance(item, (list, tuple, set, frozenset, Mapping)):
            if len(item) > MAX_ITEMS:
                items = MAX_ITEMS
            elif isinstance(item, Mapping):
                waiting.extend(item.keys())
                waiting.extend(item.values())
            else:
                waiting.extend(item)
        if items + len(waiting) > MAX_ITEMS or characters > MAX_CHARACTERS:
            msg = f"the value is too large: at most {MAX_ITEMS:,} items and {MAX_CHARACTERS:,} characters"
            raise ExpressionError(msg)
    return value


# ---- operators -------------------------------------------------------------------------------


def _multiply(left: Any, right: Any) -> Any:
    for sequence, times in ((left, right), (right, left)):
        if isinstance(sequence, (str, Sequence)) and isinstance(times, int) and len(sequence) * times > MAX_ITEMS:
            msg = f"the value is too large: at most {MAX_ITEMS:,} items"
            raise ExpressionError(msg)
    return left * right


def _power(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() * max(right, 0) > 2 * MAX_BITS:
        msg = f"a number has more than {MAX_BITS} bits"
        raise ExpressionError(msg)
    if isinstance(left, Decimal) or isinstance(right, Decimal):
        msg = "powers of decimals are not available"
        raise ExpressionError(msg)
    return left**right


def _remainder(left: Any, right: Any) -> Any:
    if isinstance(left, str):
        msg = "text formatting with % is not available; write an f-string: f'{x}'"
        raise ExpressionError(msg)
    return left % right


def _contains(left: Any, right: Any) -> bool:
    return left in right


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mult": _multiply,
    "Div": operator.truediv,
    "FloorDiv": operator.floordiv,
    "Mod": _remainder,
    "Pow": _power,
    "BitAnd": operator.and_,
    "BitOr": operator.or_,
    "BitXor": operator.xor,
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
    "In": _contains,
    "NotIn": lambda left, right: not _contains(left, right),
    "Is": operator.is_,
    "IsNot": operator.is_not,
}
"""Name of the syntax node → what it does."""

# ---- functions -------------------------------------------------------------------------------


def _range(*bounds: int) -> list[int]:
    numbers = range(*bounds)
    if numbers and (abs(numbers[-1] - numbers[0]) // abs(numbers.step)) >= MAX_ITEMS:
        msg = f"range is too large: at most {MAX_ITEMS:,} items"
        raise ExpressionError(msg)
    return list(numbers)


def _round(number: Any, digits: int | None = None) -> Any:
    if digits is not None and abs(digits) > MAX_DIGITS:
        msg = f"round takes at most {MAX_DIGITS} digits"
        raise ExpressionError(msg)
    return round(number, digits)


def _sum(values: Any, start: Any = 0) -> Any:
    if isinstance(values, str) or not all(isinstance(value, (int, float, Decimal)) for value in (*values, start)):
        msg = "sum takes numbers"
        raise ExpressionError(msg)
    return sum(values, start)


def _sorted(values: Any, *, reverse: bool = False) -> list[Any]:
    return sorted(values, reverse=reverse)


def _min(*values: Any, **options: Any) -> Any:
    return min(*values, **_only_default("min", options))


def _max(*values: Any, **options: Any) -> Any:
    return max(*values, **_only_default("max", options))


def _only_default(name: str, options: dict[str, Any]) -> dict[str, Any]:
    for option in options:
        if option != "default":
            msg = f"{name} has no keyword argument {option!r} here"
            raise ExpressionError(msg)
    return options


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "all": all,
    "any": any,
    "bool": bool,
    "dict": dict,
    "float": float,
    "int": int,
    "len": len,
    "list": list,
    "max": _max,
    "min": _min,
    "range": _range,
    "round": _round,
    "set": set,
    "sorted": _sorted,
    "str": str,
    "sum": _sum,
    "tuple": tuple,
}
"""Every builtin an expression may call."""

# ---- methods ---------------------------------------------------------------------------------

_TEXT = frozenset(
    {
        *("capitalize", "casefold", "lower", "swapcase", "title", "upper"),
        *("center", "ljust", "lstrip", "removeprefix", "removesuffix", "rjust", "rstrip", "strip", "zfill"),
        *("count", "endswith", "find", "index", "rfind", "rindex", "startswith"),
        *(
            "isalnum",
            "isalpha",
            "isascii",
            "isdecimal",
            "isdigit",
            "islower",
            "isnumeric",
            "isspace",
            "istitle",
            "isupper",
        ),
        *("join", "partition", "replace", "rpartition", "rsplit", "split", "splitlines"),
    }
)
_SET = {"difference", "intersection", "isdisjoint", "issubset", "issuperset", "symmetric_difference", "union"}

METHODS: tuple[tuple[Any, frozenset[str]], ...] = (
    (str, _TEXT),
    (Mapping, frozenset({"get", "items", "keys", "values"})),
    ((list, tuple), frozenset({"count", "index"})),
    ((set, frozenset), frozenset(_SET)),
    (dt.date, frozenset({"isoformat", "isoweekday", "weekday"})),
    (dt.timedelta, frozenset({"total_seconds"})),
    (float, frozenset({"is_integer"})),
)
"""Type → methods an expression may call on its values. None changes a value or formats by template."""


def call_method(value: Any, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Call one of `METHODS`, refusing calls whose result would be huge."""
    if isinstance(value, str) and name in {"ljust", "rjust", "center", "zfill"} and args and isinstance(args[0], int):
        size = args[0]
    elif isinstance(value, str) and name == "join" and args:
        texts = list(args[0])
        size = len(value) * len(texts) + sum(len(text) for text in texts if isinstance(text, str))
    elif isinstance(value, str) and name == "replace" and len(args) > 1 and isinstance(args[0], str):
        size = len(value) + (value.count(args[0]) * len(args[1]) if isinstance(args[1], str) else 0)
    else:
        size = 0
    if size > MAX_CHARACTERS:
        msg = f"the result of .{name}() is too large: at most {MAX_CHARACTERS:,} characters"
        raise ExpressionError(msg)
    result = getattr(value, name)(*args, **kwargs)
    return list(result) if isinstance(value, Mapping) and name in {"items", "keys", "values"} else result
