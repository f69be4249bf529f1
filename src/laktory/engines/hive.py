"""Columns in the names of folders (``day=2024-01-01``): what they are and of which types, decided once for all engines.

The whole text of a key's values decides, as for CSV: Int64, Float64, Boolean, Date, else String; ``01`` is text.
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from laktory.diagnostics import closest
from laktory.engines.schemas import declared_schema, from_text
from laktory.errors import SinkError, SourceError
from laktory.paths import before_pattern, local_path, path_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import narwhals as nw
    import polars as pl

    from laktory.engines.protocol import FileRead, Output

__all__ = [
    "NULL_TEXT",
    "check_partitions",
    "key_names",
    "key_types",
    "keys_of",
    "null_text_problem",
    "refuse_conflicts",
    "value_of",
]

NULL_TEXT = "__HIVE_DEFAULT_PARTITION__"
"""What stands for NULL in names of folders."""

_INT = re.compile("-?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def null_text_problem(path: str, column: str) -> str:
    """Says that a partition column holds the text that stands for NULL."""
    means = f"holds {NULL_TEXT!r}, which is NULL in names of folders"
    return f"{path!r}: the column {column!r} of 'partition_by' {means}; replace it, or partition by another column"


def check_partitions(output: Output, columns: nw.Schema) -> None:
    """Refuse to partition by a column that is not there, or that no text stands for, or by all there are.

    Raises
    ------
    SinkError
        With the closest one.
    """
    if output.partition_by and set(columns) <= set(output.partition_by):
        msg = f"{output.path!r}: 'partition_by' names every column, which leaves none for the files"
        raise SinkError(msg)
    for name in output.partition_by:
        if name not in columns:
            hint = closest(name, columns) or f"columns: {', '.join(columns)}"
            msg = f"{output.path!r}: 'partition_by' names the column {name!r}, which does not exist; {hint}"
            raise SinkError(msg)
        if (kind := type(columns[name]).__name__) in {"Array", "Binary", "List", "Struct"}:
            msg = f"{output.path!r}: 'partition_by' names the column {name!r} of type {kind}, which no folder's name"
            msg = f"{msg} holds; cast it to text"
            raise SinkError(msg)


def keys_of(read: FileRead, files: Sequence[str]) -> dict[str, dict[str, str | None]]:
    """File → key → value as text, from the folders between what `read` names and its files.

    Empty if there are none, or the read lists its files.

    Raises
    ------
    SourceError
        The files do not all have the same keys, or a value is none of the declared type.
    """
    base = _base(read.path)
    if read.files is not None or base is None:
        return {}
    found = {file: _values(PurePath(file).relative_to(base).parent) for file in files}
    keys = [tuple(values) for values in found.values()]
    if not any(keys):
        return {}
    for file, names in zip(found, keys, strict=True):
        if set(names) != set(keys[0]):
            said = [f"of {', '.join(these)}" if these else "without a key" for these in (keys[0], names)]
            msg = f"{read.path!r}: {files[0]!r} lies in folders {said[0]}, but {file!r} in folders {said[1]}"
            raise SourceError(msg)
    _refuse_values(found, declared_schema(read) or {})
    return found


def _refuse_values(keys: Mapping[str, Mapping[str, str | None]], declared: Mapping[str, Any]) -> None:
    """Engines round, guess or leave out what a declared type does not hold."""
    for name, dtype in declared.items():
        files = {values[name]: file for file, values in keys.items() if values.get(name)}
        if not _hold(list(files), dtype):
            text = next(text for text in files if not _hold([text], dtype))
            msg = f"{files[text]!r}: the folder says {name}={text}, and {text!r} is no {dtype}, which 'schema' declares"
            raise SourceError(msg)


def _hold(texts: Sequence[str | None], dtype: Any) -> bool:
    """Whether all texts are values of a type."""
    import polars as pl

    if dtype == pl.Boolean:
        return all(_is_bool(str(text).lower()) for text in texts)
    try:
        pl.select(from_text(pl.lit(pl.Series(texts, dtype=pl.String)), dtype))
    except pl.exceptions.PolarsError:
        return False
    return True


def key_names(files: Sequence[str], base: str) -> list[str]:
    """Keys in the names of the folders between the directory `base` and the files, each once."""
    return list(
        dict.fromkeys(name for file in sorted(files) for name in _values(PurePath(file).relative_to(base).parent))
    )


def key_types(keys: Mapping[str, Mapping[str, str | None]]) -> dict[str, pl.DataType]:
    """Key → type that holds its value of every file."""
    import polars as pl

    names = next(iter(keys.values()), {})
    types: dict[str, pl.DataType] = {}
    for name in names:
        values = {found[name] for found in keys.values()} - {None}
        checks = ((_is_int, pl.Int64()), (_is_float, pl.Float64()), (_is_bool, pl.Boolean()), (_is_date, pl.Date()))
        types[name] = next(
            (dtype for holds, dtype in checks if values and all(holds(str(value)) for value in values)), pl.String()
        )
    return types


def value_of(text: str | None, dtype: pl.DataType) -> Any:
    """A key's value as a Python value of the type, None if it is none of it."""
    import polars as pl

    if text is None or dtype.is_(pl.String):
        return text
    if dtype == pl.Boolean:
        return {"true": True, "false": False}.get(text.lower())
    if dtype.is_temporal():
        try:
            return pl.select(from_text(pl.lit(text), dtype)).item()
        except pl.exceptions.PolarsError:
            return None
    return pl.Series([text]).cast(dtype, strict=False).item()


def refuse_conflicts(
    keys: Mapping[str, Mapping[str, str | None]],
    schemas: Mapping[str, Mapping[str, pl.DataType]],
    scan: Callable[[str], pl.LazyFrame],
) -> None:
    """Refuse files that hold a key as column with another value than their folder says, or only some of which hold it.

    Parameters
    ----------
    keys : of `keys_of`
    schemas : file → its columns
    scan : reads one of the files without the keys

    Raises
    ------
    SourceError
        Names the file, the column and both values.
    """
    import polars as pl

    inside = {name for schema in schemas.values() for name in schema}
    for file in keys:
        # once folders below count, the readers take those above for keys, too
        for name, text in _values(PurePath(file).parent).items():
            if name not in inside:
                continue
            if (dtype := schemas[file].get(name)) is None:
                msg = f"{file!r} lacks the column {name!r}, which its folder names and other files hold"
                raise SourceError(msg)
            held = pl.String() if dtype == pl.Null else dtype
            column = scan(file).select(pl.col(name).cast(held))
            wanted = pl.lit(value_of(text, held), held)
            other = column.filter(pl.col(name).ne_missing(wanted)).head(1).collect()
            if other.height:
                msg = f"{file!r}: column {name!r} holds {other.item()!r}, but its folder says {text!r}"
                raise SourceError(msg)


def _base(path: str) -> str | None:
    """The folder whose subfolders can be keys: a directory, or what stands before the first sign of a glob."""
    local = local_path(path)
    kind = None if local is None else path_kind(local)
    if local is None or kind not in ("directory", "pattern"):
        return None
    return local if kind == "directory" else before_pattern(local)


def _values(folder: PurePath) -> dict[str, str | None]:
    pairs = (part.partition("=") for part in folder.parts if "=" in part)
    return {unquote(name): None if value == NULL_TEXT else unquote(value) for name, _, value in pairs}


def _is_int(text: str) -> bool:
    return _INT.fullmatch(text) is not None


def _is_float(text: str) -> bool:
    return _FLOAT.fullmatch(text) is not None


def _is_bool(text: str) -> bool:
    return text in {"true", "false"}


def _is_date(text: str) -> bool:
    try:
        return _DATE.fullmatch(text) is not None and bool(dt.date.fromisoformat(text))
    except ValueError:
        return False
