"""Building blocks of compiled SQL: literals, choices, the kind of a value, choices by column type.

Types are known only when an expression meets a frame, and engines disagree in details that depend on them.
`by_dtype` puts that choice into the expression with narwhals selectors, so it is compiled once for every engine.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from laktory.diagnostics import closest
from laktory.errors import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import narwhals as nw
    from narwhals.selectors import Selector
    from sqlglot import exp

__all__ = [
    "FLOATS",
    "MAX_ROUNDED",
    "Compile",
    "Handler",
    "beside",
    "by_dtype",
    "call_name",
    "compared_with_time",
    "direction",
    "dtype_of",
    "field_of",
    "floating",
    "integer_argument",
    "is_alone",
    "is_category",
    "is_narrow",
    "kind",
    "kind_of_dtype",
    "literal",
    "poison",
    "refuse",
    "results_of",
    "rounded",
    "spelled_time",
    "text_argument",
    "truncated",
    "untyped_column",
    "when",
    "widened",
]

Compile = Callable[[Any], Any]
Handler = Callable[[Any, Compile], Any]

# from here on every Float64 is a whole number
_ALL_WHOLE = 2.0**52
MAX_ROUNDED = 15
"""Digits that `rounded` takes at most."""

FLOATS = ("Float32", "Float64")
MAX_INTEGER = 2**63


def refuse(message: str, node: exp.Expr | None = None) -> NoReturn:
    """Raise `ExpressionError`, at the place of the node when it is known."""
    from sqlglot import exp

    offset = None
    if node is not None:
        starts = [part.meta["start"] for part in node.find_all(exp.Identifier) if "start" in part.meta]
        offset = min(starts, default=None)
    raise ExpressionError(message, offset=offset)


def call_name(node: Any) -> str:
    """How a message names a node: the function's SQL name, or the operator."""
    from sqlglot import exp

    if isinstance(node, exp.Anonymous):
        return str(node.this).upper()
    return str(node.meta.get("written") or node.sql_name()) if isinstance(node, exp.Func) else node.key.upper()


def literal(value: bool | float | str | dt.date | dt.time | None) -> nw.Expr:
    """A constant with the same type everywhere: Int64, Float64, String, Boolean, Date, Datetime."""
    import narwhals as nw

    if isinstance(value, bool) or value is None:
        return nw.lit(value, dtype=nw.Boolean if isinstance(value, bool) else None)
    if isinstance(value, int):
        if not -MAX_INTEGER <= value < MAX_INTEGER:
            refuse(f"the number {value} does not fit into 64 bits")
        return nw.lit(value, dtype=nw.Int64)
    if isinstance(value, float):
        return nw.lit(value, dtype=nw.Float64)
    return nw.lit(value)


def when(condition: nw.Expr, value: nw.Expr, otherwise: nw.Expr | None = None) -> nw.Expr:
    """`value` where the condition is true; elsewhere, also where it is NULL, `otherwise` or NULL."""
    import narwhals as nw

    chosen = nw.when(condition).then(value)
    return chosen if otherwise is None else chosen.otherwise(otherwise)


def floating(value: nw.Expr) -> nw.Expr:
    """The value as Float64."""
    import narwhals as nw

    return value.cast(nw.Float64)


def beside(value: nw.Expr, divisor: nw.Expr) -> nw.Expr:
    """A divisor as a column beside the value: an engine divides by a lone constant by multiplying with its inverse.

    Where the value is NULL, it is another one.
    """
    import narwhals as nw

    return divisor + value.is_null().cast(nw.Float64)


def direction(value: nw.Expr) -> nw.Expr:
    """-1.0 for a Float64 below zero, else 1.0."""
    return when(value < literal(0.0), literal(-1.0), literal(1.0))


def truncated(value: nw.Expr) -> nw.Expr:
    """Whole part of a Float64, towards zero."""
    return when(value < literal(0), value.ceil(), value.floor())


def rounded(value: nw.Expr, digits: int) -> nw.Expr:
    """A Float64 with so many digits after the point, or zeros before it; halves go away from zero."""
    factor = literal(10.0 ** abs(digits))
    divisor = beside(value, factor)
    scaled = (value * factor if digits >= 0 else value / divisor).abs()
    below = scaled.floor()
    whole = below + when(scaled - below >= literal(0.5), literal(1.0), literal(0.0))
    result = whole / divisor if digits >= 0 else whole * factor
    return when(scaled < literal(_ALL_WHOLE), result * direction(value), value)


def poison(text: nw.Expr, what: str) -> nw.Expr:
    """A text that no cast to a number or a date accepts, so that the engine stops and shows it."""
    import narwhals as nw

    return nw.concat_str(nw.lit(f"{what}: "), text)


def by_dtype(
    column: str, cases: Sequence[tuple[Sequence[str], Any, Callable[[Any], Any]]], otherwise: Callable[[Any], Any]
) -> nw.Expr:
    """Choose by the type of a column, when the expression meets its frame.

    Parameters
    ----------
    column : column name
    cases : names of narwhals types, the type to read such a column as, what to do with it;
        NULL must give NULL
    otherwise : what to do with any other column. It must be valid for all types: it stands in where a
        selector finds nothing, as Polars' selectors do for the keys of a group
    """
    import narwhals as nw

    # a choice needs an argument that is there for any column
    nothing = nw.lit(None)
    chosen = [
        result(nw.coalesce(nothing, _typed(_named(column), dtypes)).cast(dtype)) for dtypes, dtype, result in cases
    ]
    return nw.coalesce(*chosen, otherwise(nw.col(column)))


def spelled_time(text: str) -> dt.datetime | None:
    """The moment that an ISO date or timestamp without a zone spells."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is None and "-" in text else None


def compared_with_time(column: str, text: str, compare: Callable[[Any, Any], Any]) -> nw.Expr | None:
    """Comparison of a column with a text that may be a date: ``created >= '2024-01-31'``.

    A date or timestamp column is compared in time, any other column with the text. None if it is no date.
    """
    import narwhals as nw

    moment = spelled_time(text)
    if moment is None:
        return None
    named, times = _named(column), ("Date", "Datetime")
    temporal = _typed(named, times)
    others = named - _typed(named, times)
    # where the selector finds nothing (a group key on Polars) the answer must not be a silent NULL
    absent = nw.coalesce(nw.lit(None, dtype=nw.Boolean), named.is_null() & nw.lit(value=False), nw.lit(value=True))
    hint = nw.lit(f"compare the group key {column!r} with a DATE or TIMESTAMP literal")
    lost = when(absent, hint).cast(nw.Int64) > nw.lit(0)
    exists = nw.when(nw.col(column).is_null() & nw.lit(value=False)).then(nw.lit(None, dtype=nw.Boolean))
    return nw.coalesce(
        exists, compare(temporal.cast(nw.Datetime("us")), literal(moment)), compare(others, literal(text)), lost
    )


def _named(column: str) -> Selector:
    from narwhals import selectors

    escaped = "".join(f"\\{char}" if char in r"\.+*?()|[]{}^$" else char for char in column)
    return selectors.matches(f"^{escaped}$")


def _typed(named: Any, dtypes: Sequence[str]) -> Any:
    import narwhals as nw
    from narwhals import selectors

    return named & selectors.by_dtype(*(getattr(nw, name) for name in dtypes))


# ---- constant arguments ----------------------------------------------------------------------


def text_argument(node: exp.Expr | None, call: exp.Expr, what: str) -> str:
    """A text constant, or a refusal: narwhals has no per-row argument there."""
    from sqlglot import exp

    if isinstance(node, exp.Literal) and node.is_string:
        return str(node.this)
    refuse(f"{call_name(call)} takes a constant text as its {what}", call)


def integer_argument(node: exp.Expr | None, call: exp.Expr, what: str) -> int:
    """A whole-number constant, or a refusal."""
    from sqlglot import exp

    negative = isinstance(node, exp.Neg)
    number = node.this if isinstance(node, exp.Neg) else node
    if (
        isinstance(number, exp.Literal)
        and not number.is_string
        and str(number.this).isdecimal()
        and len(number.this) < 10
    ):
        return -int(number.this) if negative else int(number.this)
    refuse(f"{call_name(call)} takes a constant whole number as its {what}", call)


# ---- kinds -----------------------------------------------------------------------------------

_KINDS = {
    "null": "null",
    "boolean": "boolean and or not is in between like ilike escape eq neq gt gte lt lte nullsafeeq nullsafeneq "
    "isnan isinf regexplike regexpilike arraycontains startswith endswith contains logicaland logicalor",
    "integer": "length strposition arraysize sign count countif rownumber rank denserank extract year quarter month "
    "week weekofyear day dayofmonth dayofyear dayofweek dayofweekiso hour minute second datediff",
    "float": "div pow sqrt cbrt exp ln log round ceil floor trunc pi avg median stddev stddevsamp stddevpop "
    "variance variancepop",
    "text": "lower upper trim pad substring left right replace concat concatws dpipe regexpreplace splitpart",
    "time": "currentdate currenttimestamp timestamptrunc datetrunc interval date tsordstodate",
}
_BY_KEY = {key: name for name, keys in _KINDS.items() for key in keys.split()}


def kind(node: Any) -> str | None:
    """What the expression and the types noted in it tell; None where they tell nothing.

    boolean, integer, float, decimal, text, null; number: one of three; time: a date or timestamp; clock: a time of
    day; duration, list, struct, binary.
    """
    from sqlglot import exp

    dtype = dtype_of(node)
    if dtype is not None:
        return kind_of_dtype(dtype)

    if isinstance(node, exp.Literal):
        return "text" if node.is_string else ("integer" if str(node.this).isdecimal() else "float")
    if isinstance(node, (exp.Cast, exp.TryCast)):
        return _kind_of_type(node.to)
    if isinstance(node, (exp.Add, exp.Sub, exp.Mul, exp.Mod, exp.IntDiv)):
        kinds = {kind(node.left), kind(node.right)} - {"null"}
        if "time" in kinds:
            return "time"
        return next(
            (name for name in ("float", "integer") if kinds == {name}),
            "float" if "float" in kinds else "decimal" if kinds <= {"integer", "decimal"} and kinds else "number",
        )
    if isinstance(node, (exp.Neg, exp.Abs, exp.Sum)):
        found = kind(node.this) or "number"
        return "integer" if found == "boolean" else found
    if results := results_of(node):
        return _common(results)
    return "float" if node.key == "extract" and node.this.name.upper() == "EPOCH" else _BY_KEY.get(node.key)


def _common(nodes: Sequence[Any]) -> str | None:
    kinds = {kind(node) for node in nodes} - {"null"}
    if not kinds:
        return "null"
    if len(kinds) == 1:
        return kinds.pop()
    if kinds <= {"integer", "decimal"}:
        return "decimal"
    numbers = {"integer", "float", "decimal", "number"}
    return ("float" if "float" in kinds else "number") if kinds <= numbers else None


_GIVES_ITS_ARGUMENT = ("paren", "alias", "max", "min", "window", "filter", "nullif", "firstvalue")


def results_of(node: Any) -> list[Any]:
    """The parts of a node that it may give back as they are; none where it calculates something of its own."""
    from sqlglot import exp

    if node.key in _GIVES_ITS_ARGUMENT:
        return [node.this]
    if isinstance(node, (exp.Coalesce, exp.Greatest, exp.Least)):
        return [node.this, *node.expressions]
    if isinstance(node, (exp.Lag, exp.Lead)):
        found = [node.this, node.args.get("default")]
    elif isinstance(node, exp.Case):
        found = [*(branch.args["true"] for branch in node.args["ifs"]), node.args.get("default")]
    elif isinstance(node, exp.If):
        found = [node.args["true"], node.args.get("false")]
    else:
        found = []
    return [part for part in found if part is not None]


def dtype_of(node: Any) -> Any | None:
    """The type of a column, a field or a list item, where the frame is known, and of what SPLIT gives."""
    from sqlglot import exp

    if isinstance(node, exp.Bracket):
        return getattr(_dtype_within(node.this), "inner", None)
    if isinstance(node, exp.Split):
        import narwhals as nw

        return nw.List(nw.String)
    if isinstance(node, exp.Dot):
        return field_of(_dtype_within(node.this), node.expression.name, node)
    return node.meta.get("dtype") if isinstance(node, exp.Column) else None


def field_of(dtype: Any, name: str, node: exp.Expr) -> Any | None:
    """The type of a field of a struct, None where the type of the struct is not known.

    Engines differ in whether `Name` is the field `name`, and in what they say of one that is not there.
    """
    fields = {field.name: field.dtype for field in getattr(dtype, "fields", ())}
    if fields and name not in fields:
        hint = closest(name, fields) or "fields: " + ", ".join(list(fields)[:20])
        refuse(f"{node.sql('duckdb')} names the field {name!r}, which is not there; {hint}", node)
    return fields.get(name)


def _dtype_within(node: Any) -> Any | None:
    """The type of a list or a struct that something is taken out of: the one of all that the node may give back."""
    first, *others = [_dtype_within(result) for result in results_of(node)] or [dtype_of(node)]
    return first if all(other == first for other in others) else None


def untyped_column(node: Any) -> bool:
    """Whether it is a column, no field of one, whose type only the frame can tell: see `by_dtype`."""
    from sqlglot import exp

    return isinstance(node, exp.Column) and len(node.parts) == 1 and kind(node) is None


def is_category(node: Any) -> bool:
    """Whether engines may order it by its categories instead of its text."""
    return str(dtype_of(node)).partition("(")[0] in {"Enum", "Categorical"}


def is_alone(node: Any) -> bool:
    """Whether the expression hands it on as it is."""
    from sqlglot import exp

    parent = node.parent
    while isinstance(parent, (exp.Paren, exp.Alias)):
        parent = parent.parent
    return parent is None


def is_narrow(node: Any) -> bool:
    """Whether it is a fraction of 32 bits."""
    from sqlglot import exp

    inner = node.unnest()
    if isinstance(inner, (exp.Cast, exp.TryCast)):
        return bool(inner.to.this.name == "FLOAT")
    return str(dtype_of(inner)) == "Float32"


def widened(node: Any, value: Any) -> Any:
    """A fraction of 32 bits that something is done with, in 64: beside whole numbers, not every engine widens it."""
    return floating(value) if is_narrow(node) and not is_alone(node) else value


def kind_of_dtype(dtype: Any) -> str | None:
    """What `kind` says of values of a narwhals type."""
    stem = str(dtype).partition("(")[0]
    if stem.rstrip("0123456789") in {"Int", "UInt"}:
        return "integer"
    for result, names in (
        ("float", FLOATS),
        ("decimal", ("Decimal",)),
        ("text", ("String", "Enum", "Categorical")),
        ("boolean", ("Boolean",)),
        ("time", ("Date", "Datetime")),
        ("clock", ("Time",)),
        ("list", ("List", "Array")),
        ("null", ("Null",)),
    ):
        if stem in names:
            return result
    return {"Duration": "duration", "Struct": "struct", "Binary": "binary"}.get(stem)


def _kind_of_type(to: Any) -> str | None:
    name = to.this.name
    if "INT" in name:
        return "integer"
    for result, names in (
        ("float", {"FLOAT", "DOUBLE"}),
        ("text", {"TEXT", "VARCHAR", "CHAR", "NVARCHAR"}),
        ("boolean", {"BOOLEAN"}),
        ("decimal", {"DECIMAL"}),
    ):
        if name in names:
            return result
    return "time" if name.startswith(("DATE", "TIMESTAMP")) else None
