"""CAST, TRY_CAST and the constants written with a type: ``DATE '2024-01-31'``."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from laktory.expressions.sql_build import (
    FLOATS,
    MAX_ROUNDED,
    by_dtype,
    floating,
    is_narrow,
    kind,
    literal,
    poison,
    refuse,
    rounded,
    truncated,
    untyped_column,
    when,
    widened,
)
from laktory.expressions.sql_types import is_date, naive, off_the_half, rescaled

if TYPE_CHECKING:
    import narwhals as nw

    from laktory.expressions.sql_build import Compile, Handler

__all__ = ["HANDLERS", "as_text", "clock_of", "constant_of"]

_TYPES = {
    "TINYINT": "Int8",
    "SMALLINT": "Int16",
    "INT": "Int32",
    "BIGINT": "Int64",
    "UTINYINT": "UInt8",
    "USMALLINT": "UInt16",
    "UINT": "UInt32",
    "UBIGINT": "UInt64",
    "FLOAT": "Float32",
    "DOUBLE": "Float64",
    "BOOLEAN": "Boolean",
    "TEXT": "String",
    "VARCHAR": "String",
    "CHAR": "String",
    "NVARCHAR": "String",
    "DECIMAL": "Decimal",
    "DATE": "Date",
    "TIMESTAMP": "Datetime",
    "TIMESTAMPNTZ": "Datetime",
    "DATETIME": "Datetime",
}
_SPELLINGS = (
    "TINYINT SMALLINT INT BIGINT UTINYINT USMALLINT UINTEGER UBIGINT FLOAT DOUBLE BOOLEAN VARCHAR DECIMAL(p,s) "
    "DATE TIMESTAMP"
)

_READABLE = {
    "Date": ("time", "text"),
    "Datetime": ("time", "text"),
    "number": ("integer", "float", "decimal", "number", "text", "boolean"),
    "Boolean": ("integer", "float", "decimal", "number", "text", "boolean"),
}
"""Target → kinds that every engine reads as it."""

_PLAIN = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)$"
_WHOLE = r"^[+-]?[0-9]+$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_FLOAT = r"^(?i)[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity|nan)$"
_DATE = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"(([T ]([01][0-9]|2[0-3]):[0-5][0-9])(:[0-5][0-9](\.[0-9]+)?)?)?"
_ZONE = r"(Z|\+00(:?00)?| UTC)?$"
_MOMENT = _DATE + _CLOCK + _ZONE
_TRUE, _FALSE = ["true", "t", "yes", "y", "1"], ["false", "f", "no", "n", "0"]


def constant_of(text: str, target: str) -> dt.date:
    """The date or naive timestamp that a text spells.

    Raises
    ------
    ExpressionError
        If it spells none.
    """
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        form = "YYYY-MM-DD" if target == "DATE" else "YYYY-MM-DD hh:mm:ss"
        refuse(f"{text!r} is not a {target.lower()}; write it as {form}")
    if moment.tzinfo is not None:
        moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
    return moment.date() if target == "DATE" else moment


def clock_of(text: str, node: Any) -> dt.time:
    """The time of day that a text spells.

    Raises
    ------
    ExpressionError
        If it spells none.
    """
    try:
        clock = dt.time.fromisoformat(text)
    except ValueError:
        clock = None
    if clock is None or clock.tzinfo is not None or ":" not in text:
        refuse(f"{text!r} is not a time of day; write it as hh:mm:ss", node)
    return clock


def as_text(node: Any, compile_: Compile) -> Any:
    """The value of a node as text: numbers as they are written, ``NaN``, ``2024-01-31 10:00:00``."""
    import narwhals as nw

    if untyped_column(node):
        cases: Any = [(FLOATS, nw.Float64, _float_text), (("Datetime",), nw.Datetime("us"), _moment_text)]
        return by_dtype(node.name, cases, lambda value: value.cast(nw.String))
    value = compile_(node)
    known = kind(node)
    if known == "text":
        return value
    if known in {"list", "struct", "binary", "duration"}:
        refuse(f"{node.sql()}, a {known} value, has no text that is the same on every engine", node)
    if known == "time" and not is_date(node):
        return _moment_text(naive(node, value))
    if known == "clock":
        return _clock_text(value)
    if known == "float":
        return _float_text(value.cast(nw.Float32) if is_narrow(node) else value)
    return value.cast(nw.String)


def _float_text(value: Any) -> Any:
    """The shortest text: digits from 0.0001 to below 1e16, else one digit, a point and an exponent without zeros."""
    import narwhals as nw

    text = value.cast(nw.String).str.replace_all("^-?nan$", "NaN").str.replace_all("e-0", "e-", literal=True)
    digits = text.str.replace_all(r"^-?0\.0000", "")
    sign = when(text.str.starts_with("-"), nw.lit("-"), nw.lit(""))
    point = when(digits.str.len_chars() > literal(1), nw.lit("."), nw.lit(""))
    small = nw.concat_str(sign, digits.str.slice(0, 1), point, digits.str.slice(1), nw.lit("e-5"))
    return when(text.str.contains(r"^-?0\.0000[1-9]"), small, text)


def _clock_text(value: Any) -> Any:
    """``13:05:07`` or ``13:05:07.123456``. Engines count the microseconds of a time within the second or the minute."""
    import narwhals as nw

    micros = value.dt.microsecond().cast(nw.Int64) % literal(1_000_000)
    text = nw.concat_str(value.cast(nw.String).str.slice(0, 8), _six_digits(micros), separator=".")
    return text.str.replace_all(r"\.000000$", "")


def _moment_text(value: Any) -> Any:
    import narwhals as nw

    micros = _six_digits(value.dt.microsecond())
    text = nw.concat_str(value.dt.to_string("%Y-%m-%d %H:%M:%S"), micros, separator=".")
    return text.str.replace_all(r"\.000000$", "")


def _six_digits(number: Any) -> Any:
    """With leading zeros; not by `zfill`, which not every engine can do with a constant."""
    import narwhals as nw

    return nw.concat_str(nw.lit("00000"), number.cast(nw.String)).str.slice(-6)


# ---- CAST ------------------------------------------------------------------------------------


def _dtype(node: Any) -> tuple[str, Any]:
    """Name of the target and the narwhals type."""
    import narwhals as nw

    name = _TYPES.get(node.to.this.name)
    if name is None or node.to.args.get("nested"):
        refuse(f"CAST knows no type {node.to.sql()}; known: {_SPELLINGS}", node)
    if name == "Datetime":
        return name, nw.Datetime("us")
    if name != "Decimal":
        return name, getattr(nw, name)
    numbers = [int(part.name) for part in node.to.expressions if part.name.isdecimal() and len(part.name) < 3]
    precision, scale = (*numbers, 0)[:2] if numbers else (18, 3)
    if not 1 <= precision <= 38 or scale > precision or len(numbers) != len(node.to.expressions):
        refuse(f"{node.to.sql()} is not a decimal type: write DECIMAL(precision, scale) with precision up to 38", node)
    return name, nw.Decimal(precision, scale)


def _cast(node: Any, compile_: Compile) -> Any:
    import narwhals as nw
    from sqlglot import exp

    name, dtype = _dtype(node)
    if isinstance(node.this, exp.Literal) and node.this.is_string and name in {"Date", "Datetime"}:
        return literal(constant_of(str(node.this.this), "DATE" if name == "Date" else "TIMESTAMP"))
    if name == "String":
        return as_text(node.this, compile_)
    value, known = compile_(node.this), kind(node.this)
    if known is not None and known not in {"null", *_READABLE[name if name in _READABLE else "number"]}:
        refuse(f"{node.this.sql()}, a {known} value, cannot be cast to {node.to.sql()}", node)
    if name in {"Date", "Datetime"}:
        return value.cast(dtype) if known == "time" else _parsed_time(_as_string(value), name)
    if name == "Boolean":
        return value if known == "boolean" else _parsed_boolean(_as_string(value))
    if name == "Decimal":
        return _decimal(node.this, value, dtype)
    whole = name.startswith(("Int", "UInt"))
    if untyped_column(node.this):
        texts = _parsed_whole if whole else _parsed_float
        cases: list[Any] = [(("String",), nw.String, lambda column: texts(column, dtype))]
        if whole:
            cases.append(((*FLOATS, "Decimal"), nw.Float64, lambda column: _whole(column, dtype)))
        return by_dtype(node.this.name, cases, lambda column: column.cast(dtype))
    if known == "text":
        return _parsed_whole(value, dtype) if whole else _parsed_float(value, dtype)
    if whole and known not in {"integer", "boolean"}:
        return _whole(value, dtype)
    return value.cast(dtype)


def _decimal(node: Any, value: Any, dtype: Any) -> Any:
    """Halves go away from zero, whatever the value is read from."""
    import narwhals as nw

    known = kind(node)

    def of_text(text: Any) -> Any:
        before = dtype.precision - dtype.scale
        plain = when(text.str.contains(_PLAIN), text, poison(text, "not a decimal number"))
        if (scale := 36 - before) <= dtype.scale:
            return plain.cast(dtype)
        return off_the_half(plain.cast(nw.Decimal(36, scale)), scale).cast(dtype)

    def of_float(number: Any) -> Any:
        return (rounded(number, dtype.scale) if dtype.scale <= MAX_ROUNDED else number).cast(dtype)

    if untyped_column(node):
        cases: Any = [(("String",), nw.String, of_text), (FLOATS, nw.Float64, of_float)]
        return by_dtype(node.name, cases, lambda column: column.cast(dtype))
    if known == "text":
        return of_text(value)
    if known == "float":
        return of_float(floating(value))
    if known == "boolean":
        return value.cast(nw.Int64).cast(dtype)
    return rescaled(node, value, dtype.precision, dtype.scale)


def _as_string(value: Any) -> Any:
    import narwhals as nw

    return value.cast(nw.String)


def _whole(value: Any, dtype: Any) -> Any:
    """A number without its fraction, on every engine; whole numbers keep all their digits."""
    number = floating(value)
    cut = truncated(number)
    # each side sees only its own rows: an engine may compute both
    fractional = number != cut
    return when(fractional, when(fractional, cut).cast(dtype), when(~fractional, value).cast(dtype))


def _parsed_whole(text: Any, dtype: Any) -> Any:
    return when(text.str.contains(_WHOLE), text, poison(text, "not a whole number")).cast(dtype)


def _parsed_float(text: Any, dtype: Any) -> Any:
    return when(text.str.contains(_FLOAT), text, poison(text, "not a number")).cast(dtype)


def _parsed_boolean(text: Any) -> Any:
    import narwhals as nw

    lower = text.str.to_lowercase()
    number = when(lower.str.contains(_NUMBER), lower, poison(text, "neither true nor false"))
    code = when(lower.is_in(_TRUE), nw.lit("1"), when(lower.is_in(_FALSE), nw.lit("0"), number))
    return code.cast(nw.Float64) != literal(0.0)


def _parsed_time(text: Any, name: str) -> Any:
    """ISO text, and the text of a date or timestamp, as a date or timestamp."""
    import narwhals as nw

    known = text.str.contains(_MOMENT)
    if name == "Date":
        return when(known, text.str.slice(0, 10), poison(text, "not a date")).str.to_date(format="%Y-%m-%d")
    clock = text.str.slice(11, 8).str.replace_all("[^0-9:].*", "")
    padded = when(clock.str.len_chars() < 5, nw.lit("00:00:00"), nw.concat_str(clock, nw.lit(":00")).str.slice(0, 8))
    spelled = nw.concat_str(text.str.slice(0, 10), nw.lit(" "), padded)
    second = when(known, spelled, poison(text, "not a timestamp")).str.to_datetime(format="%Y-%m-%d %H:%M:%S")
    fraction = when(
        text.str.slice(19, 1) == nw.lit("."), text.str.slice(20, 6).str.replace_all("[^0-9].*", ""), nw.lit("0")
    )
    micros = nw.concat_str(when(known, fraction, nw.lit("0")), nw.lit("000000")).str.slice(0, 6).cast(nw.Int64)
    return second.cast(nw.Datetime("us")) + nw.lit(dt.timedelta(microseconds=1)) * micros


# ---- TRY_CAST --------------------------------------------------------------------------------


def _try_cast(node: Any, compile_: Compile) -> Any:
    """NULL where the value cannot be read. The text of the value decides, whatever its type is."""
    import narwhals as nw

    name, dtype = _dtype(node)
    if name == "Decimal":
        known = "whole numbers, floats, booleans, dates, timestamps and text"
        refuse(f"TRY_CAST to {node.to.sql()} is not available; it can read {known}", node)
    if name == "String":
        return as_text(node.this, compile_)
    value = compile_(node.this)
    if name == "Datetime" and kind(node.this) == "time":
        return value.cast(dtype)
    text = _as_string(value)
    if name == "Datetime":
        return _parsed_time(when(~_valid_date(text).is_null(), text), name)
    if name in FLOATS:
        return when(text.str.contains(_FLOAT), text).cast(dtype)
    if name == "Boolean":
        lower = text.str.to_lowercase()
        numeric = when(lower.str.contains(_NUMBER), lower).cast(nw.Float64) != literal(0.0)
        return when(lower.is_in(_TRUE), literal(value=True), when(lower.is_in(_FALSE), literal(value=False), numeric))
    return _valid_date(text) if name == "Date" else _valid_whole(text, name, dtype)


def _valid_whole(text: Any, name: str, dtype: Any) -> Any:
    import narwhals as nw

    bits = int(name.removeprefix("U").removeprefix("Int"))
    unsigned = name.startswith("U")
    low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    # Int64 reads 18 digits whatever they are
    exact = when(text.str.contains(r"^[+-]?[0-9]{1,18}$"), text).cast(nw.Int64)
    number = when(text.str.contains(_NUMBER), text).cast(nw.Float64)
    cut = truncated(number)
    near = when((cut > literal(-9.2e18)) & (cut < literal(9.2e18)), cut).cast(nw.Int64)
    value = nw.coalesce(exact, near)
    limit = min(high, 2**63 - 1)
    return when((value >= literal(low)) & (value <= literal(limit)), value).cast(dtype)


def _valid_date(text: Any) -> Any:
    import narwhals as nw

    masked = when(text.str.contains(_MOMENT), text)
    year, month, day = (masked.str.slice(*place).cast(nw.Int64) for place in ((0, 4), (5, 2), (8, 2)))
    leap = ((year % 4 == 0) & (year % 100 != 0)) | (year % 400 == 0)
    short = (month == literal(4)) | (month == literal(6)) | (month == literal(9)) | (month == literal(11))
    last = when(month == literal(2), when(leap, literal(29), literal(28)), when(short, literal(30), literal(31)))
    return when((day <= last) & (year >= literal(1)), masked.str.slice(0, 10)).str.to_date(format="%Y-%m-%d")


def _date(node: Any, compile_: Compile) -> Any:
    from sqlglot import exp

    if isinstance(node.this, exp.Literal) and node.this.is_string:
        return literal(constant_of(str(node.this.this), "DATE"))
    value = compile_(node.this)
    return _to_date(value) if kind(node.this) == "time" else _parsed_time(_as_string(value), "Date")


def _to_date(value: nw.Expr) -> nw.Expr:
    import narwhals as nw

    return value.cast(nw.Date)


HANDLERS: dict[str, tuple[Handler, str]] = {
    "cast": (lambda node, compile_: widened(node, _cast(node, compile_)), "this to"),
    "trycast": (lambda node, compile_: widened(node, _try_cast(node, compile_)), "this to"),
    "date": (_date, "this"),
    "tsordstodate": (_date, "this"),
}
"""Key of a sqlglot node → how it is compiled, and the arguments that are understood."""
