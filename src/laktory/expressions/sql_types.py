"""What is known of the types in an expression, and arithmetic that is exact or stops.

The columns of the frame are noted in the tree, so that everything below is known before an engine sees it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from laktory.expressions.sql_build import (
    call_name,
    dtype_of,
    field_of,
    floating,
    kind,
    literal,
    refuse,
    results_of,
    when,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sqlglot import exp

    from laktory.expressions.sql_build import Compile

__all__ = [
    "annotate",
    "calculated",
    "choices",
    "is_date",
    "is_zoned",
    "naive",
    "off_the_half",
    "refuse_mixed",
    "rescaled",
    "summable",
    "unary",
]

MAX_DIGITS = 38
_PLAIN_BITS = 62
"""Integers up to this size are calculated in 64 bits; beyond, in 128, and the result has to fit into 64."""

_FAMILIES = {**dict.fromkeys(("integer", "float", "decimal", "number"), "number"), "null": None}


def annotate(tree: exp.Expr, schema: Mapping[str, Any]) -> None:
    """Note the type of each column that the frame has."""
    from sqlglot import exp

    for column in tree.find_all(exp.Column):
        name, *fields = (part.name for part in column.parts)
        dtype = schema.get(name)
        for field in fields:
            dtype = field_of(dtype, field, column)
        if dtype is not None:
            column.meta["dtype"] = dtype


# ---- what is compared or chosen together -----------------------------------------------------


def _family(node: Any) -> str | None:
    found = kind(node)
    return _FAMILIES.get(found, found) if found is not None else None


def refuse_mixed(nodes: Iterable[Any], call: exp.Expr, what: str, *, spelled: bool = False) -> None:
    """Engines guess differently how a number and a text, say, are meant together.

    `spelled`: a constant text may spell a date or a time.
    """
    from sqlglot import exp

    known = [(node, family) for node in nodes if node is not None and (family := _family(node)) is not None]
    if not spelled:
        known = [(node, "zoned" if is_zoned(node) else family) for node, family in known]
    for node, family in known[1:]:
        first, other = known[0]
        pair = {family, other}
        constant = any(isinstance(item, exp.Literal) for item in (first, node))
        if family == other or (spelled and constant and pair in ({"time", "text"}, {"clock", "text"})):
            continue
        words = " and ".join(_said(item) for item in (first, node))
        refuse(f"{what} takes values of one kind, found {words}; write CAST(… AS …) around one", call)


def _said(node: Any) -> str:
    words = {"number": "a number", "text": "text", "boolean": "a boolean", "time": "a date or timestamp"}
    words["zoned"] = "a timestamp with a zone"
    words |= {"clock": "a time of day", "list": "a list", "struct": "a struct", "binary": "bytes"}
    family = "zoned" if is_zoned(node) else _family(node) or "null"
    return f"{node.sql()} ({words.get(family, f'a {family}')})"


def is_date(node: Any) -> bool:
    """Whether it is a date; a `kind` of time that is none is a timestamp."""
    from sqlglot import exp

    dtype = dtype_of(node)
    if dtype is not None:
        return bool(dtype == _narwhals().Date)
    if isinstance(node, (exp.Cast, exp.TryCast)):
        return bool(node.to.this.name.endswith("DATE"))
    if isinstance(node, (exp.CurrentDate, exp.Date, exp.TsOrDsToDate)):
        return True
    values = results_of(node)
    return bool(values) and all(kind(value) == "null" or is_date(value) for value in values)


def is_zoned(node: Any) -> bool:
    """Whether it is a timestamp with a zone."""
    dtype = dtype_of(node)
    if dtype is not None:
        return getattr(dtype, "time_zone", None) is not None
    return any(map(is_zoned, results_of(node)))


def naive(node: Any, value: Any) -> Any:
    """A timestamp with a zone as one in UTC without; anything else as it is."""
    return value.cast(_narwhals().Datetime("us")) if is_zoned(node) else value


# ---- integers --------------------------------------------------------------------------------


def _bits(node: Any) -> int:
    """An integer is at most 2 to the power of this, with either sign."""
    from sqlglot import exp

    dtype = dtype_of(node)
    if dtype is not None:
        name = str(dtype)
        digits = name.removeprefix("U").removeprefix("Int")
        return (int(digits) - (not name.startswith("U"))) if digits.isdecimal() else 63
    if isinstance(node, exp.Literal):
        return int(node.this).bit_length() if str(node.this).isdecimal() else 63
    if isinstance(node, (exp.Add, exp.Sub)):
        return min(63, max(_bits(node.left), _bits(node.right)) + 1)
    if isinstance(node, exp.Mul):
        return min(63, _bits(node.left) + _bits(node.right))
    if isinstance(node, (exp.Neg, exp.Abs)):
        return min(63, _bits(node.this))
    values = results_of(node)
    return max(map(_bits, values)) if values else 63


def _whole(node: Any, value: Any, *, wide: bool) -> Any:
    """The operand in 64 or 128 bits. One of 128 bits has to fit into 64: its product would not fit into 128."""
    nw = _narwhals()
    if _bits(node) > 64:
        value = value.cast(nw.Int64)
    return value.cast(nw.Int128 if wide else nw.Int64)


def unary(node: Any, value: Any, function: Callable[[Any], Any]) -> Any:
    """``-x`` and ``ABS(x)``: an integer becomes Int64, and what does not fit stops the engine."""
    if kind(node) != "integer":
        return function(value)
    wide = _bits(node) > _PLAIN_BITS
    result = function(_whole(node, value, wide=wide))
    return result.cast(_narwhals().Int64) if wide else result


def summable(node: Any, value: Any) -> Any:
    """A value whose sum cannot overflow unseen."""
    nw = _narwhals()
    if kind(node) == "boolean":
        return value.cast(nw.Int64)
    return _whole(node, value, wide=_bits(node) > 31) if kind(node) == "integer" else value


def calculated(node: Any, left: Any, right: Any, function: Callable[[Any, Any], Any]) -> Any | None:
    """``left OP right`` of numbers of known types; None where one is not known."""
    kinds = (kind(node.left), kind(node.right))
    if "float" in kinds and "decimal" in kinds:
        return function(floating(left), floating(right))
    if kinds == ("integer", "integer"):
        if node.key == "div":
            return function(left, right)
        sizes = (_bits(node.left), _bits(node.right))
        need = sum(sizes) if node.key == "mul" else max(sizes) + (node.key in {"add", "sub"})
        wide = need > _PLAIN_BITS
        result = function(_whole(node.left, left, wide=wide), _whole(node.right, right, wide=wide))
        return result.cast(_narwhals().Int64) if wide else result
    if "decimal" in kinds and set(kinds) <= {"integer", "decimal"} and node.key != "div":
        return _decimals(node, left, right, function)
    return None


# ---- decimals --------------------------------------------------------------------------------


def _shape(node: Any) -> tuple[int, int] | None:
    """Digits, and those after the point, of an integer or a decimal; None where they are not known."""
    from sqlglot import exp

    dtype = dtype_of(node)
    if dtype is not None and kind(node) == "decimal":
        return dtype.precision, dtype.scale
    if isinstance(node, (exp.Cast, exp.TryCast)) and node.to.this.name == "DECIMAL":
        numbers = [int(part.name) for part in node.to.expressions]
        precision, scale = (*numbers, 0)[:2] if numbers else (18, 3)
        return precision, scale
    if kind(node) == "integer":
        return (len(str(node.this)) if isinstance(node, exp.Literal) else 20), 0
    if isinstance(node, exp.Sum):
        inner = _shape(node.this)
        return inner and (MAX_DIGITS, inner[1])
    if isinstance(node, (exp.Neg, exp.Abs)):
        return _shape(node.this)
    if isinstance(node, (exp.Add, exp.Sub, exp.Mul)):
        left, right = _shape(node.left), _shape(node.right)
        return None if left is None or right is None else _result(node.key, left, right)
    values = [value for value in results_of(node) if kind(value) != "null"]
    return _common_shape(values) if values else None


def _result(key: str, left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    if key == "mul":
        return min(MAX_DIGITS, left[0] + right[0]), left[1] + right[1]
    before, scale = max(left[0] - left[1], right[0] - right[1]), max(left[1], right[1])
    return min(MAX_DIGITS, before + scale + 1), scale


def _common_shape(nodes: Iterable[Any]) -> tuple[int, int] | None:
    """The decimal type that holds all values; None where one is not known."""
    shapes = [_shape(node) for node in nodes if kind(node) != "null"]
    known = [shape for shape in shapes if shape is not None]
    if not known or len(known) < len(shapes):
        return None
    scale = max(shape[1] for shape in known)
    return min(MAX_DIGITS, max(shape[0] - shape[1] for shape in known) + scale), scale


def _decimals(node: Any, left: Any, right: Any, function: Callable[[Any, Any], Any]) -> Any | None:
    nw = _narwhals()
    if node.key not in {"add", "sub", "mul"}:
        symbol = {"intdiv": "//", "mod": "%"}[node.key]
        refuse(f"{symbol} takes no decimals; CAST them to DOUBLE or BIGINT", node)
    one, other = _shape(node.left), _shape(node.right)
    if one is None or other is None:
        return None
    precision, scale = _result(node.key, one, other)
    if node.key != "mul":
        both = nw.Decimal(precision, scale)
        return function(left.cast(both), right.cast(both)).cast(both)
    # an engine keeps the larger scale of the two, another adds them: the one with more digits gets all of them
    (small, first), (large, second) = (one, left), (other, right)
    if small[1] > large[1]:
        (small, first), (large, second) = (large, second), (small, first)
    if scale + small[1] > MAX_DIGITS:
        refuse(f"the product of {node.left.sql()} and {node.right.sql()} has too many digits; CAST one to fewer", node)
    # decimals of up to 18 digits are multiplied in 64 bits
    digits = min(MAX_DIGITS, max(19, large[0] + small[1]))
    product = second.cast(nw.Decimal(digits, scale)) * first.cast(nw.Decimal(*small))
    return product.cast(nw.Decimal(precision, scale))


def choices(node: Any, compile_: Compile) -> list[Any]:
    """What CASE, COALESCE, GREATEST, LAG … choose from, compiled: of one kind, and decimals in one type."""
    results = results_of(node)
    refuse_mixed(results, node, call_name(node))
    shape = _common_shape(results) if kind(node) == "decimal" else None
    compiled = [compile_(result) for result in results]
    return compiled if shape is None else [value.cast(_narwhals().Decimal(*shape)) for value in compiled]


def rescaled(node: Any, value: Any, precision: int, scale: int) -> Any:
    """A decimal with fewer digits after the point; halves go away from zero, on every engine."""
    nw = _narwhals()
    shape = _shape(node)
    if shape is not None and scale < shape[1] < MAX_DIGITS:
        value = off_the_half(value, shape[1])
    return value.cast(nw.Decimal(precision, scale))


def off_the_half(value: Any, scale: int) -> Any:
    """A decimal moved away from zero by less than its last digit: no half is left to be rounded to even."""
    nw = _narwhals()
    little = nw.lit(Decimal((0, (1,), -scale - 1)), dtype=nw.Decimal(scale + 1, scale + 1))
    return when(value < literal(0), value - little, value + little)


def _narwhals() -> Any:
    import narwhals

    return narwhals
