"""Dates and timestamps."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from laktory.expressions.sql_build import beside, call_name, floating, kind, literal, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    import narwhals as nw
    from sqlglot import exp

    from laktory.expressions.sql_build import Compile, Handler

__all__ = ["HANDLERS", "shifted"]

# unit → narwhals offset and how many of it
_OFFSETS = {
    "YEAR": ("y", 1),
    "QUARTER": ("mo", 3),
    "MONTH": ("mo", 1),
    "WEEK": ("d", 7),
    "DAY": ("d", 1),
    "HOUR": ("h", 1),
    "MINUTE": ("m", 1),
    "SECOND": ("s", 1),
    "MILLISECOND": ("ms", 1),
    "MICROSECOND": ("us", 1),
}
_TRUNCATIONS = {
    "YEAR": "1y",
    "QUARTER": "1q",
    "MONTH": "1mo",
    "DAY": "1d",
    "HOUR": "1h",
    "MINUTE": "1m",
    "SECOND": "1s",
}
_PARTS = "YEAR QUARTER MONTH WEEK DAY HOUR MINUTE SECOND MILLISECOND MICROSECOND DOW ISODOW DOY EPOCH"
_COUNTED = "YEAR QUARTER MONTH WEEK DAY HOUR MINUTE SECOND"
_EPOCH_DAY = 719_468  # 1970-01-01, counted as `_day_number` does


def _moment(value: Any) -> Any:
    import narwhals as nw

    return value.cast(nw.Datetime("us"))


def _part(name: str, value: Any) -> Any:
    """One field of a date or timestamp, as Int64; EPOCH, the seconds since 1970, as Float64."""
    import narwhals as nw

    if name == "EPOCH":
        seconds = floating(_count("SECOND", value) - _EPOCH_DAY * 86_400)
        return seconds + floating(_part("MICROSECOND", value) % 1_000_000) / beside(value, literal(1e6))

    fields = _moment(value).dt
    sevenths = fields.weekday().cast(nw.Int64)
    simple: dict[str, Callable[[], Any]] = {
        "YEAR": fields.year,
        "MONTH": fields.month,
        "DAY": fields.day,
        "HOUR": fields.hour,
        "MINUTE": fields.minute,
        "SECOND": fields.second,
        "DOY": fields.ordinal_day,
        "QUARTER": lambda: (fields.month().cast(nw.Int64) + 2) // 3,
        "ISODOW": lambda: sevenths,
        "DOW": lambda: sevenths % 7,
        # the week of ISO 8601 has the number that its Thursday has in the year
        "WEEK": lambda: (_days_later(_moment(value), 4 - sevenths).dt.ordinal_day().cast(nw.Int64) - 1) // 7 + 1,
        "MILLISECOND": lambda: fields.second().cast(nw.Int64) * 1000 + fields.microsecond() // 1000,
        "MICROSECOND": lambda: fields.second().cast(nw.Int64) * 1_000_000 + fields.microsecond(),
    }
    return simple[name]().cast(nw.Int64)


def _extract(node: Any, compile_: Compile) -> Any:
    name = _unit(str(node.this.name))
    name = {"DAYOFYEAR": "DOY", "DAYOFWEEK": "DOW"}.get(name, name)
    if name not in _PARTS.split():
        refuse(f"EXTRACT knows no {node.this.name!r}; known: {_PARTS}", node)
    return _part(name, _time_of(node.expression, compile_, node))


def _named_part(name: str) -> Handler:
    return lambda node, compile_: _part(name, _time_of(node.this, compile_, node))


def _time_of(node: Any, compile_: Compile, call: Any) -> Any:
    found = kind(node)
    if found not in {None, "time", "null"}:
        what = {"text": "text; write CAST(… AS TIMESTAMP)", "clock": "a time of day"}.get(found, f"a {found} value")
        refuse(f"{call_name(call)} takes a date or timestamp, not {what}", call)
    return compile_(node)


def _unit(text: str) -> str:
    upper = text.upper()
    return upper[:-1] if upper.endswith("S") and upper[:-1] in _OFFSETS else upper


def _days_later(moment: Any, days: Any) -> Any:
    import narwhals as nw

    return moment + nw.lit(dt.timedelta(days=1)) * days


def _truncate(node: Any, compile_: Compile) -> Any:
    """Start of the unit, always as a timestamp; weeks begin on Monday."""
    import narwhals as nw

    unit = _unit(str(node.args["unit"].name))
    value = _moment(_time_of(node.this, compile_, node))
    if unit == "WEEK":
        past = value.dt.weekday().cast(nw.Int64) - 1
        return _days_later(value.dt.truncate("1d"), past * -1)
    if unit not in _TRUNCATIONS:
        refuse(f"DATE_TRUNC knows no {unit!r}; known: {' '.join(_TRUNCATIONS)} WEEK", node)
    return value.dt.truncate(_TRUNCATIONS[unit])


def shifted(node: Any, compile_: Compile) -> Any | None:
    """``date ± INTERVAL``, always a timestamp; None when neither side is an interval."""
    from sqlglot import exp

    left, right = node.left, node.right
    if isinstance(left, exp.Interval) and isinstance(node, exp.Add):
        left, right = right, left
    if not isinstance(right, exp.Interval):
        return None
    amount, unit = _interval(right)
    suffix, size = _OFFSETS[unit]
    amount *= size * (-1 if isinstance(node, exp.Sub) else 1)
    moment = _moment(_time_of(left, compile_, right))
    return moment.dt.offset_by(f"{amount}{suffix}") if amount else moment


def _interval(node: exp.Interval) -> tuple[int, str]:
    amount = node.this
    text = f"{amount.this if amount is not None and amount.key == 'literal' else ''} {node.text('unit')}".strip()
    match = re.fullmatch(r"(-?\d{1,9}) +([A-Za-z]+)", text)
    unit = _unit(match[2]) if match else ""
    if match is None or unit not in _OFFSETS:
        refuse(
            f"an interval is a constant whole number and a unit, such as INTERVAL 3 DAY; units: {' '.join(_OFFSETS)}",
            node,
        )
    return int(match[1]), unit


def _interval_alone(node: Any, _: Compile) -> Any:
    refuse("an INTERVAL can only be added to or taken from a date or timestamp", node)


def _between(node: Any, compile_: Compile) -> Any:
    """``DATEDIFF('day', a, b)``: how many days, or other units, begin after a and not after b."""
    unit = _unit(node.text("unit") or "DAY")
    if unit not in _COUNTED.split():
        refuse(f"DATEDIFF knows no {unit!r}; known: {_COUNTED}", node)
    later, earlier = (_count(unit, _time_of(side, compile_, node)) for side in (node.this, node.expression))
    return later - earlier


def _count(unit: str, value: Any) -> Any:
    """Number of units since the year 0; only differences have a meaning."""
    if unit == "YEAR":
        return _part(unit, value)
    if unit in {"QUARTER", "MONTH"}:
        return _part("YEAR", value) * (4 if unit == "QUARTER" else 12) + _part(unit, value)
    days = _day_number(value)
    if unit in {"DAY", "WEEK"}:
        return (days + 2) // 7 if unit == "WEEK" else days  # weeks begin on Monday
    hours = days * 24 + _part("HOUR", value)
    if unit == "HOUR":
        return hours
    minutes = hours * 60 + _part("MINUTE", value)
    return minutes if unit == "MINUTE" else minutes * 60 + _part("SECOND", value)


def _day_number(value: Any) -> nw.Expr:
    """Days since 0000-03-01 of the Gregorian calendar, from the fields of the date."""
    year, month, day = (_part(name, value) for name in ("YEAR", "MONTH", "DAY"))
    late = (month + 9) % 12
    shifted_year = year - late // 10
    leap_days = shifted_year // 4 - shifted_year // 100 + shifted_year // 400
    number: nw.Expr = shifted_year * 365 + leap_days + (late * 306 + 5) // 10 + (day - 1)
    return number


def _today(*_: Any) -> Any:
    return literal(dt.datetime.now(dt.UTC).date())


def _now(*_: Any) -> Any:
    """The moment of compiling, in UTC, without a zone: the same for every row and every engine."""
    return literal(dt.datetime.now(dt.UTC).replace(tzinfo=None))


HANDLERS: dict[str, tuple[Handler, str]] = {
    "extract": (_extract, "this expression"),
    "year": (_named_part("YEAR"), "this"),
    "quarter": (_named_part("QUARTER"), "this"),
    "month": (_named_part("MONTH"), "this"),
    "week": (_named_part("WEEK"), "this"),
    "weekofyear": (_named_part("WEEK"), "this"),
    "day": (_named_part("DAY"), "this"),
    "dayofmonth": (_named_part("DAY"), "this"),
    "dayofyear": (_named_part("DOY"), "this"),
    "dayofweek": (_named_part("DOW"), "this"),
    "dayofweekiso": (_named_part("ISODOW"), "this"),
    "hour": (_named_part("HOUR"), "this"),
    "minute": (_named_part("MINUTE"), "this"),
    "second": (_named_part("SECOND"), "this"),
    "timestamptrunc": (_truncate, "this unit"),
    "datetrunc": (_truncate, "this unit"),
    "datediff": (_between, "this expression unit date_part_boundary"),
    "interval": (_interval_alone, "this unit"),
    "currentdate": (_today, ""),
    "currenttimestamp": (_now, ""),
}
"""Key of a sqlglot node → how it is compiled, and the arguments that are understood."""
