"""Frames of one node from several engines: whether they are the same, in any order of rows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laktory.engines.protocol import Output
from laktory.planning import plan
from laktory.runtime.runner import RunOptions, run
from laktory.storage import file_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from laktory.models.pipeline.pipeline import Pipeline

__all__ = ["TOLERANCE", "Difference", "compare", "keep_frames"]

TOLERANCE = 1e-9
"""Fractions are the same if they differ by less than this part of the larger one: engines add in another order."""

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Difference:
    """How a frame differs from that of the first engine.

    Attributes
    ----------
    columns : what is different of the columns, in words
    rows : numbers of rows of the first engine and of this one
    only_first, only_this : the first rows that only one of them has
    """

    columns: str | None = None
    rows: tuple[int, int] = (0, 0)
    only_first: Sequence[Mapping[str, Any]] = ()
    only_this: Sequence[Mapping[str, Any]] = field(default=())


def keep_frames(pipeline: Pipeline, selects: Sequence[str] | None, folder: Path) -> None:
    """Compute the frame of every node without writing any sink, and keep it as a Parquet file in the folder.

    Raises
    ------
    LaktoryError
        A node fails.
    """
    made = plan(pipeline, selects, write_sinks=False, resolved=True)
    outcome = run(made, RunOptions(write_sinks=False))
    outcome.raise_errors()
    kept = {}
    for name, result in outcome.results.items():
        if result.output is None:
            continue
        session = outcome.sessions.get(result.engine)
        outputs = [Output(result.output, str(folder / f"{file_name(name)}.parquet"), "PARQUET")]
        if result.quarantine is not None:
            outputs.append(Output(result.quarantine, str(folder / f"{file_name(name)}.quarantine.parquet"), "PARQUET"))
        session.stage(outputs)
        kept[name] = [Path(output.path).name for output in outputs]
    (folder / "nodes.json").write_text(json.dumps(kept), encoding="utf-8")


def compare(first: Path, other: Path) -> dict[str, Difference | None]:
    """Compare what `keep_frames` kept of two engines: node → difference, None where there is none.

    Rows in quarantine are told as those of ``NODE (quarantine)``.
    """
    import polars as pl

    files = json.loads((first / "nodes.json").read_text(encoding="utf-8"))
    found: dict[str, Difference | None] = {}
    for node, names in files.items():
        for name, label in zip(names, (node, f"{node} (quarantine)"), strict=False):
            found[label] = _difference(pl.read_parquet(first / name), pl.read_parquet(other / name))
    return found


def _difference(first: pl.DataFrame, other: pl.DataFrame) -> Difference | None:
    counts = first.height, other.height
    if said := _columns_differ(first.schema, other.schema):
        return Difference(said, counts)
    one, two = _ordered(first), _ordered(other)
    only_first, only_other = _unmatched(one, two)
    if not only_first and not only_other:
        return None
    return Difference(None, counts, first[only_first[:_SHOWN]].to_dicts(), other[only_other[:_SHOWN]].to_dicts())


def _columns_differ(first: pl.Schema, other: pl.Schema) -> str | None:
    if missing := [name for name in first if name not in other]:
        return f"no column {', '.join(map(repr, missing))}"
    if added := [name for name in other if name not in first]:
        return f"also a column {', '.join(map(repr, added))}"
    kinds = [(name, dtype, other[name]) for name, dtype in first.items() if _kind(dtype) != _kind(other[name])]
    return ", ".join(f"{name!r} is {that}, not {this}" for name, this, that in kinds) or None


def _kind(dtype: Any) -> Any:
    """A type without what engines do not share: how wide a number or how fine a time is."""
    import polars as pl

    if isinstance(dtype, (pl.List, pl.Array)):
        return "list", _kind(dtype.inner)
    if isinstance(dtype, pl.Struct):
        return "struct", tuple((each.name, _kind(each.dtype)) for each in dtype.fields)
    if isinstance(dtype, pl.Datetime):
        return "datetime", dtype.time_zone is None
    if dtype.is_integer():
        return "integer"
    if dtype.is_float():
        return "fraction"
    return "text" if isinstance(dtype, (pl.String, pl.Categorical, pl.Enum)) else type(dtype).__name__


@dataclass(slots=True)
class _Row:
    """A row as it is compared: what has to be equal, fractions that may differ a little, its place in the frame."""

    exact: tuple[str, ...]
    fractions: tuple[float | None, ...]
    place: int


def _ordered(frame: pl.DataFrame) -> list[_Row]:
    names = sorted(frame.columns)
    near = [name for name in names if frame.schema[name].is_float() or frame.schema[name].is_decimal()]
    exact = [name for name in names if name not in near]
    rows = [
        _Row(tuple(map(_text, one)), tuple(None if each is None else float(each) for each in two), place)
        for place, (one, two) in enumerate(
            zip(
                frame.select(exact).rows() if exact else [()] * frame.height,
                frame.select(near).rows() if near else [()] * frame.height,
                strict=True,
            )
        )
    ]
    return sorted(rows, key=lambda row: (row.exact, [(value is not None, _finite(value)) for value in row.fractions]))


def _text(value: Any) -> str:
    return json.dumps(value, default=str, sort_keys=True)


def _finite(value: float | None) -> tuple[bool, float]:
    """NaN after every number, so that rows have an order."""
    return value is not None and value != value, 0.0 if value is None or value != value else value  # noqa: PLR0124


def _unmatched(one: Sequence[_Row], two: Sequence[_Row]) -> tuple[list[int], list[int]]:
    """Places of the rows that only one side has; both are in order."""
    left: list[int] = []
    right: list[int] = []
    i = j = 0
    while i < len(one) and j < len(two):
        a, b = one[i], two[j]
        if a.exact == b.exact and all(map(_near, a.fractions, b.fractions)):
            i, j = i + 1, j + 1
        elif (a.exact, list(map(_finite, a.fractions))) <= (b.exact, list(map(_finite, b.fractions))):
            left.append(a.place)
            i += 1
        else:
            right.append(b.place)
            j += 1
    return [*left, *(row.place for row in one[i:])], [*right, *(row.place for row in two[j:])]


def _near(one: float | None, two: float | None) -> bool:
    if one is None or two is None:
        return one is two
    return one == two or (one != one and two != two) or abs(one - two) <= TOLERANCE * max(abs(one), abs(two))  # noqa: PLR0124
