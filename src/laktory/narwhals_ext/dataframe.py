"""``frame.laktory``: what Narwhals frames lack for a step, written once for every engine."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from laktory.diagnostics import closest
from laktory.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import narwhals as nw

    Frame = nw.DataFrame[Any] | nw.LazyFrame[Any]

__all__ = ["LaktoryFrame", "as_aggregation"]


class LaktoryFrame:
    """Methods of frames."""

    def __init__(self, df: Frame) -> None:
        self._df = df

    # ---- looking -----------------------------------------------------------------------------

    def display(
        self,
        n: int = 10,
        timeout: float | None = None,
        truncate: bool | int = False,
        vertical: bool = False,
        refresh_interval: float = 3.0,
    ) -> None:
        """Print the first rows.

        Parameters
        ----------
        n : number of rows
        truncate : shorten texts to 20 characters, or to this number
        vertical : one line per value
        timeout, refresh_interval : for streaming frames; no engine of this version has them
        """
        del timeout, refresh_interval
        import polars as pl

        head = self._df.lazy().head(n + 1).collect("polars").to_native()
        shown = head.head(n)
        width = 20 if truncate is True else int(truncate) or 1_000_000
        with pl.Config(
            tbl_rows=-1, tbl_cols=-1, fmt_str_lengths=width, tbl_width_chars=32_000, tbl_hide_dataframe_shape=True
        ):
            text = _vertical(shown, width) if vertical else str(shown)
        if head.height > n:
            text += f"\nonly showing top {n} rows"
        sys.stdout.write(text + "\n")

    def signature(self) -> str:
        """Class, columns and types: ``DataFrame[x: Int64, label: String]``."""
        columns = ", ".join(f"{name}: {dtype}" for name, dtype in self._df.collect_schema().items())
        return f"DataFrame[{columns}]"

    def schema_flat(self) -> list[str]:
        """Names of columns and of what is inside: ``a.b`` for structs, ``a[*].b`` for lists of structs."""
        return [path for path in self._paths() if not path.endswith("[*]")]

    def has_column(self, col: str) -> bool:
        """Whether a column, or a path such as ``data.open`` or ``prices[2].close``, is there.

        Backticks around names are optional.
        """
        path = re.sub(r"\[(\d+|\*)\]", "[*]", col.replace("`", ""))
        return col in self._df.collect_schema() or path in self._paths()

    def _paths(self) -> list[str]:
        return [path for column, dtype in self._df.collect_schema().items() for path in _inside(column, dtype)]

    # ---- shaping -----------------------------------------------------------------------------

    def union(self, others: Frame | Sequence[Frame]) -> Frame:
        """Rows of this frame and of the others; columns are matched by name.

        Raises
        ------
        DefinitionError
            If the columns or their types are not the same.
        """
        import narwhals as nw

        frames: list[Any] = list(others) if isinstance(others, (list, tuple)) else [others]
        schema = self._df.collect_schema()
        aligned = [self._df.lazy()]
        for position, other in enumerate(frames):
            frame = nw.from_native(other)
            found = frame.collect_schema()
            _same_columns(schema, found, position)
            aligned.append(frame.lazy().select(*schema.names()))
        united = nw.concat(aligned, how="vertical")
        return united if isinstance(self._df, nw.LazyFrame) else united.collect(self._df.implementation)

    def groupby_and_agg(self, groupby_columns: str | list[str] | None = None, agg_expressions: Any = None) -> Frame:
        """Group and aggregate; without columns to group by, one row for the whole frame.

        Parameters
        ----------
        groupby_columns : column names
        agg_expressions : one or a list of: SQL (``max(close) AS high``), text of a dataframe expression,
            ``{expr, type}``, or a Narwhals expression

        Raises
        ------
        DefinitionError
            If there is no expression.
        """
        items = agg_expressions if isinstance(agg_expressions, (list, tuple)) else [agg_expressions]
        expressions = [as_aggregation(item, self._df) for item in items if item is not None]
        if not expressions:
            msg = "groupby_and_agg: 'agg_expressions' is empty; give at least one, e.g. 'count(*) AS n'"
            raise DefinitionError(msg)
        columns = [groupby_columns] if isinstance(groupby_columns, str) else list(groupby_columns or [])
        self._require("groupby_columns", columns)
        if not columns:
            return self._df.select(*expressions)
        return self._df.group_by(*columns).agg(*expressions)

    def with_row_index(
        self,
        name: str = "index",
        order_by: str | list[str] | None = None,
        partition_by: str | list[str] | None = None,
    ) -> Frame:
        """Add a column that numbers the rows from 0, in each partition.

        Raises
        ------
        DefinitionError
            If the frame is lazy and `order_by` is missing, or a column is not there.
        """
        import narwhals as nw

        order, partition = _names(order_by), _names(partition_by)
        self._require("order_by", order)
        self._require("partition_by", partition)
        if not order and isinstance(self._df, nw.LazyFrame):
            msg = "with_row_index: rows of a lazy frame have no order of their own; give 'order_by'"
            raise DefinitionError(msg)
        indexed = self._df.with_row_index(name, order_by=order or None)  # type: ignore[arg-type]
        index = nw.col(name)
        if partition:
            index = index.rank("ordinal").over(*partition) - 1
        return indexed.with_columns(index.cast(nw.Int64).alias(name)).select(name, *self._df.collect_schema().names())

    def window_filter(
        self,
        partition_by: str | list[str],
        order_by: str | list[str] | None = None,
        drop_row_index: bool = True,
        row_index_name: str = "_row_index",
        rows_to_keep: int = 1,
    ) -> Frame:
        """Keep the first rows of each partition.

        Parameters
        ----------
        partition_by : columns that make a partition
        order_by : columns that say which rows are first; needed for a lazy frame
        drop_row_index : leave out the column with the number of the row, from 1
        row_index_name : name of that column
        rows_to_keep : number of rows, 1 or more

        Raises
        ------
        DefinitionError
            If `rows_to_keep` is below 1, `order_by` is missing for a lazy frame, or a column is not there.
        """
        import narwhals as nw

        if isinstance(rows_to_keep, bool) or not isinstance(rows_to_keep, int) or rows_to_keep < 1:
            msg = f"window_filter: rows_to_keep must be 1 or more, found {rows_to_keep!r}"
            raise DefinitionError(msg)
        names = self._df.collect_schema().names()
        if row_index_name in names:
            msg = f"window_filter: there is a column {row_index_name!r} already; choose another row_index_name"
            raise DefinitionError(msg)
        indexed = self.with_row_index(row_index_name, order_by, partition_by)
        kept = indexed.filter(nw.col(row_index_name) < rows_to_keep)
        if drop_row_index:
            return kept.select(*names)
        return kept.select(*names, nw.col(row_index_name) + 1)

    def _require(self, parameter: str, wanted: list[str]) -> None:
        columns = self._df.collect_schema().names() if wanted else []
        for name in wanted:
            if name not in columns:
                hint = closest(name, columns)
                msg = f"{parameter}: there is no column {name!r}; {hint or 'columns: ' + ', '.join(columns[:20])}"
                raise DefinitionError(msg)


def _names(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])


def as_aggregation(value: Any, frame: Frame | None = None) -> nw.Expr:
    """One of the `agg_expressions` of `LaktoryFrame.groupby_and_agg`; for its frame, if that is known.

    Raises
    ------
    DefinitionError
        If it is no expression, or cannot be read.
    """
    import narwhals as nw

    if isinstance(value, dict) and isinstance(value.get("expr"), nw.Expr):
        value = value["expr"]  # the text in it was code, and a step's arguments are evaluated wherever they stand
    if isinstance(value, nw.Expr):
        return value
    from laktory.models.dataframe.dataframecolumnexpr import DataFrameColumnExpr

    parts = {"expr": value} if isinstance(value, str) else value
    if not isinstance(parts, dict):
        msg = f"groupby_and_agg: {value!r} is not an expression; write SQL, e.g. 'max(close) AS high'"
        raise DefinitionError(msg)
    return DataFrameColumnExpr(**{"dataframe_api": "NARWHALS", **parts}).to_expr(frame)  # type: ignore[no-any-return]


def _same_columns(expected: nw.Schema, found: nw.Schema, position: int) -> None:
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    if missing or extra:
        parts = [f"it lacks {missing}"] if missing else []
        parts += [f"it has {extra} more"] if extra else []
        msg = f"union: frame {position} has other columns: {' and '.join(parts)}"
        raise DefinitionError(msg)
    for name, dtype in expected.items():
        if found[name] != dtype:
            msg = f"union: column {name!r} is {dtype} here and {found[name]} in frame {position}; cast one of them"
            raise DefinitionError(msg)


def _inside(path: str, dtype: Any) -> Iterator[str]:
    """A path and all paths below it; items of lists are ``[*]``."""
    import narwhals as nw

    yield path
    if isinstance(dtype, (nw.List, nw.Array)):
        yield from _inside(f"{path}[*]", dtype.inner)
    elif isinstance(dtype, nw.Struct):
        for field in dtype.fields:
            yield from _inside(f"{path}.{field.name}", field.dtype)


def _vertical(frame: Any, width: int) -> str:
    lines = []
    for number, row in enumerate(frame.iter_rows(named=True)):
        lines.append(f"-RECORD {number}")
        size = max((len(name) for name in row), default=0)
        lines += [f" {name:<{size}} | {str(value)[:width]}" for name, value in row.items()]
    return "\n".join(lines)
