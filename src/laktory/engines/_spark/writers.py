"""Frames → staged files, each row computed once."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import narwhals as nw
import polars as pl

from laktory.engines.errors import check_arguments, reason
from laktory.engines.formats import name_parts, refuse_types
from laktory.engines.hive import check_partitions
from laktory.engines.protocol import Output, Staged
from laktory.errors import SinkError, UnsupportedError
from laktory.optional import require

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from pyspark.sql import DataFrame

    from laktory.engines._polars.session import PolarsSession

__all__ = ["stage_outputs", "writer_arguments"]

_TEXT = frozenset(
    {"compression", "dateFormat", "encoding", "lineSep", "timestampFormat", "timestampNTZFormat", "timeZone"}
)
_JSON = _TEXT | {"ignoreNullFields", "writeNonAsciiCharacterAsCodePoint"}
_OPTIONS: dict[str, Collection[str]] = {
    "AVRO": {"avroSchema", "compression", "recordName", "recordNamespace", "positionalFieldMatching"},
    "CSV": _TEXT | {
        "charToEscapeQuoteEscaping", "delimiter", "emptyValue", "escape", "escapeQuotes", "header",
        "ignoreLeadingWhiteSpace", "ignoreTrailingWhiteSpace", "nullValue", "quote", "quoteAll", "sep",
    },
    "JSON": _JSON,
    "JSONL": _JSON,
    "NDJSON": _JSON,
    "ORC": {"compression", "orc.bloom.filter.columns", "orc.dictionary.key.threshold"},
    "PARQUET": {"compression", "parquet.block.size", "parquet.bloom.filter.enabled", "parquet.enable.dictionary"},
    "TEXT": {"compression", "lineSep"},
    "XML": _TEXT | {"arrayElementName", "attributePrefix", "declaration", "nullValue", "rootTag", "rowTag", "valueTag"},
}  # fmt: skip
_NAMES = {"JSONL": "json", "NDJSON": "json"}
_NATIVE = frozenset({"ORC", "PARQUET", "TEXT", "XML"})
"""Formats Spark writes by itself; others it writes only with options of its own."""
_COUNTED = frozenset({"ORC", "PARQUET"})
"""Formats whose files tell how many rows they hold."""


def writer_arguments(format: str, *, directory: bool = False) -> Collection[str]:  # noqa: A002
    """Options of the writer of a format."""
    return set(_OPTIONS.get(format, ())) | ({"partition_by"} if directory else set())


def stage_outputs(
    outputs: Sequence[Output],
    front: PolarsSession,
    new_folder: Callable[[], str],
    read: Callable[[Sequence[str]], DataFrame],
) -> list[Staged]:
    """Write all outputs.

    A frame with several outputs is evaluated once, into its first Parquet output, else into an intermediate result;
    the others are made from there.

    Parameters
    ----------
    front : session of Polars, which writes what Spark does not write as other engines do
    new_folder : makes a folder for an intermediate result
    read : gives the rows of Parquet files

    Raises
    ------
    SinkError
        A type, a column or an argument does not fit the format.
    """
    groups: dict[int, list[int]] = {}
    for index, output in enumerate(outputs):
        _check(output)
        groups.setdefault(id(nw.to_native(output.frame)), []).append(index)
    staged: dict[int, Staged] = {}
    for members in groups.values():
        frame = nw.to_native(outputs[members[0]].frame)
        keeper = next((index for index in members if _keeps(outputs[index])), None)
        if len(members) == 1 and outputs[members[0]].format in _COUNTED and _is_native(outputs[members[0]]):
            staged[members[0]] = _write(outputs[members[0]], frame)
            continue
        if keeper is not None:
            kept = staged[keeper] = _write(outputs[keeper], frame)
        else:
            kept = _write(Output(outputs[members[0]].frame, new_folder(), "PARQUET", directory=True), frame)
        for index in members:
            if index in staged:
                continue
            if _is_native(outputs[index]):
                staged[index] = _write(outputs[index], read(kept.files), kept.rows)
            else:
                [staged[index]] = front.stage([replace(outputs[index], frame=nw.from_native(_scan(kept.files)))])
    return [staged[index] for index in range(len(outputs))]


def _check(output: Output) -> None:
    refuse_types(output.frame.collect_schema(), output.format, output.path)
    lower = {name.lower(): name for name in writer_arguments(output.format, directory=output.directory)}
    given = [lower.get(name.lower(), name) for name in output.kwargs]
    check_arguments(given, lower.values(), f"the {output.format} writer", SinkError)
    check_partitions(output, output.frame.collect_schema())


def _keeps(output: Output) -> bool:
    """Whether the files of an output give back exactly what was written."""
    return output.format == "PARQUET" and not output.partition_by and _is_native(output)


def _is_native(output: Output) -> bool:
    return output.format in _NATIVE or bool(output.kwargs or output.methods)


def _write(output: Output, frame: DataFrame, rows: int | None = None) -> Staged:
    """Let Spark write into a folder, then give its files their names; `rows` where they are known."""
    folder = Path(output.path).absolute()
    work = folder / "spark" if output.directory else folder.with_name(f"{folder.name}.spark")
    writer = frame.write.format(_NAMES.get(output.format, output.format.lower())).mode("overwrite")
    if output.format == "CSV":
        writer = writer.options(header=output.header, escape='"')
    writer = writer.options(**output.kwargs)
    if output.partition_by:
        writer = writer.partitionBy(*output.partition_by)
    for name, args, kwargs in output.methods:
        if name not in {"option", "options", "partitionBy", "sortBy", "bucketBy"}:
            msg = f"writer method {name!r}: only 'option', 'options' and 'partitionBy' can be called for files"
            raise UnsupportedError(msg)
        try:
            writer = getattr(writer, name)(*args, **kwargs)
        except (TypeError, ValueError) as error:
            msg = f"writer method {name!r}: {reason(error)}"
            raise SinkError(msg) from error
    try:
        writer.save(str(work))
        for path in work.rglob("*"):
            if path.name.startswith(("_", ".")) and path.is_file():
                path.unlink()
        files = _named(output, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Staged(files, _rows(output.format, files) if rows is None else rows)


def _named(output: Output, work: Path) -> tuple[str, ...]:
    parts = name_parts(str(work), output.stem, output.format)
    if not parts and output.format == "PARQUET" and not output.partition_by:
        # Sail writes no file where there is no row, and with it no columns
        work.mkdir(parents=True, exist_ok=True)
        parts = (f"{work}/{output.stem}-00000.parquet",)
        pl.DataFrame(schema=output.frame.collect_schema().to_polars()).write_parquet(parts[0])
    if not output.directory:
        return (_one_file(parts, output),)
    moved = []
    for part in parts:
        target = Path(output.path).absolute() / Path(part).relative_to(work)
        target.parent.mkdir(parents=True, exist_ok=True)
        moved.append(str(Path(part).rename(target)))
    return tuple(moved)


def _one_file(parts: Sequence[str], output: Output) -> str:
    target = Path(output.path).absolute()
    if len(parts) == 1:
        return str(Path(parts[0]).rename(target))
    if output.format != "PARQUET":
        msg = f"{output.path!r}: PYSPARK writes {output.format} as a directory; end the path with '/'"
        raise SinkError(msg)
    _scan(parts).sink_parquet(target)
    return str(target)


def _rows(format: str, files: Sequence[str]) -> int:  # noqa: A002
    """Rows that were written, as their files tell."""
    if format == "ORC":
        orc = require("pyarrow.orc", "the format ORC")
        return sum(int(orc.ORCFile(file).nrows) for file in files)
    return int(_scan(files).select(pl.len()).collect().item())


def _scan(files: Sequence[str]) -> pl.LazyFrame:
    return pl.scan_parquet(list(files), glob=False, hive_partitioning=False)
