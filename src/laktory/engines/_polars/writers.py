"""Frames → staged files, each row computed once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import narwhals as nw
import polars as pl

from laktory.engines import arrow_files
from laktory.engines.errors import check_arguments, check_compression
from laktory.engines.formats import compression_of, extension, name_parts, refuse_types
from laktory.engines.hive import NULL_TEXT, check_partitions, null_text_problem
from laktory.engines.protocol import Output, Staged
from laktory.engines.schemas import cast_whole
from laktory.errors import SinkError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

__all__ = ["exactly", "stage_outputs", "writer_arguments"]

_TYPED = frozenset({"PARQUET", "IPC"})
_THROUGH_ARROW = frozenset({"AVRO", "EXCEL"})
_SINKS: dict[str, Callable[..., Any]] = {
    "PARQUET": pl.LazyFrame.sink_parquet,
    "IPC": pl.LazyFrame.sink_ipc,
    "CSV": pl.LazyFrame.sink_csv,
    "JSON": pl.LazyFrame.sink_ndjson,
    "JSONL": pl.LazyFrame.sink_ndjson,
    "NDJSON": pl.LazyFrame.sink_ndjson,
}
_COMPUTED = frozenset({"self", "path", "lazy", "mkdir", "engine", "optimizations", "sinked_paths_callback"})
_TEXT = frozenset({"CSV", "JSON", "JSONL", "NDJSON"})
_COMPRESSIONS = {
    "PARQUET": frozenset({"brotli", "gzip", "lz4", "snappy", "uncompressed", "zstd"}),
    "IPC": frozenset({"lz4", "uncompressed", "zstd"}),
    **dict.fromkeys(_TEXT, frozenset({"gzip", "uncompressed", "zstd"})),
}
_JSON = frozenset({"JSON", "JSONL", "NDJSON"})


@dataclass(slots=True)
class _Job:
    """One output of one evaluation: the plan to compute, rows that went through it, a file of JSON lines on the way, a
    file that two partitions share."""

    output: Output
    plan: pl.LazyFrame
    batches: list[int] = field(default_factory=list)
    lines: str = ""
    merged: str = ""


def stage_outputs(outputs: Sequence[Output], scratch: str, run: Callable[[Callable[[], Any]], Any]) -> list[Staged]:
    """Write all outputs.

    A frame with several outputs is evaluated once, into its first output that keeps types, else into a scratch file;
    the others are made from that file, which takes less memory than several sinks on one plan. Different frames are
    computed together, so that Polars shares what they have in common.

    Parameters
    ----------
    outputs : what to write
    scratch : folder for temporary files
    run : computes something, see `PolarsSession`

    Raises
    ------
    SinkError
        A type, a column or an argument does not fit the format.
    """
    frames = [nw.to_native(output.frame) for output in outputs]
    for output, frame in zip(outputs, frames, strict=True):
        _check(output, frame)
    groups: dict[int, list[int]] = {}
    for index, frame in enumerate(frames):
        groups.setdefault(id(frame), []).append(index)
    temporary: list[str] = []

    def new_file(ending: str) -> str:
        temporary.append(f"{scratch}/{token_hex(8)}{ending}")
        return temporary[-1]

    try:
        jobs: dict[int, _Job] = {}
        for key, members in groups.items():
            first = outputs[members[0]] if len(members) == 1 else _keeper([outputs[index] for index in members])
            first = first or Output(outputs[members[0]].frame, new_file(".ipc"), "IPC")
            jobs[key] = _job(first, frames[members[0]], new_file)
        results = run(lambda: pl.collect_all([job.plan for job in jobs.values()]))
        staged: dict[int, Staged] = {}
        for (key, job), result in zip(jobs.items(), results, strict=True):
            done = _finish(job, result)
            for index in groups[key]:
                if outputs[index] is job.output:
                    staged[index] = done
                else:
                    other = _job(outputs[index], _reopen(job.output, done), new_file)
                    staged[index] = _finish(other, run(other.plan.collect))
    finally:
        for path in temporary:
            Path(path).unlink(missing_ok=True)
    return [staged[index] for index in range(len(outputs))]


def writer_arguments(format: str, *, directory: bool = False) -> Collection[str]:  # noqa: A002
    """Keyword arguments of the writer of a format; of one that writes a directory of files."""
    if format in _THROUGH_ARROW:
        return arrow_files.writer_arguments(format)
    valid = [name for name in arrow_files.parameters(_SINKS[format]) if name not in _COMPUTED]
    return [*valid, "partition_by"] if directory else valid


def exactly(frame: pl.LazyFrame, types: pl.Schema, path: str) -> pl.LazyFrame:
    """The frame with other types; computing a value that loses nanoseconds by it is a `SinkError`."""

    def refuse(value: str, column: str) -> SinkError:
        msg = f"{path!r}: DELTA cannot hold {value} of column {column!r}: its times have microseconds"
        return SinkError(f"{msg}; cast it to Datetime('us'), or to text")

    return cast_whole(frame, types, refuse)


def _check(output: Output, frame: pl.LazyFrame) -> None:
    if output.methods:
        msg = f"{output.path!r}: the Polars engine has no writer methods, only writer arguments"
        raise UnsupportedError(msg)
    schema = frame.collect_schema()
    refuse_types(nw.Schema.from_polars(schema), output.format, output.path)
    valid = writer_arguments(output.format, directory=output.directory)
    check_arguments(output.kwargs, valid, f"the {output.format} writer", SinkError)
    if output.format in _TEXT:
        compression_of(output.path + output.ending, output.format)
    if output.format in _THROUGH_ARROW:
        return
    check_compression(output.kwargs, _COMPRESSIONS[output.format], f"the {output.format} writer", SinkError)
    check_partitions(output, nw.Schema.from_polars(schema))


def _keeper(outputs: Sequence[Output]) -> Output | None:
    """The first output whose file gives back exactly what was written."""
    return next((output for output in outputs if output.format in _TYPED and not output.partition_by), None)


def _job(output: Output, frame: pl.LazyFrame, new_file: Callable[[str], str]) -> _Job:
    job = _Job(output, frame)
    if output.format in _THROUGH_ARROW:
        return job
    kwargs = dict(output.kwargs)
    target: Any = _file(output)
    if output.format == "JSON":
        target = job.lines = new_file(".jsonl")
    elif keys := list(output.partition_by):
        frame = _without_null_texts(frame, output)
        # only typed formats get the columns back from the names of the folders
        target = pl.PartitionBy(output.path, key=keys, include_key=output.format not in _TYPED)
    if output.format in _TYPED:
        kwargs["sinked_paths_callback"] = partial(_note_files, job)
    else:
        frame = frame.map_batches(partial(_counted, job.batches), streamable=True, schema=frame.collect_schema())
        kwargs.setdefault("check_extension", False)
        # a JSON document is compressed when it is made of its lines
        if (compression := compression_of(output.path + output.ending, output.format)) and output.format != "JSON":
            kwargs.setdefault("compression", compression)
    if output.format in _JSON:
        frame = _with_whole_numbers(frame)
    if output.format == "CSV":
        kwargs.setdefault("include_header", output.header)
    job.plan = _SINKS[output.format](frame, target, lazy=True, mkdir=bool(output.partition_by), **kwargs)
    return job


def _without_null_texts(frame: pl.LazyFrame, output: Output) -> pl.LazyFrame:
    """The frame, which fails at a text in a partition column that would be read as NULL."""
    schema, texts = frame.collect_schema(), (pl.String, pl.Categorical, pl.Enum)
    return frame.with_columns(
        pl.col(name).map_batches(partial(_not_null_text, output.path), return_dtype=schema[name], is_elementwise=True)
        for name in output.partition_by
        if isinstance(schema[name], texts)
    )


def _not_null_text(path: str, values: pl.Series) -> pl.Series:
    if (values.cast(pl.String) == NULL_TEXT).any():
        raise SinkError(null_text_problem(path, values.name))
    return values


def _note_files(job: _Job, done: Any) -> None:
    """Rows of the files that were written. Two with one name would be one, with the rows of the last."""
    names = [path.path for path in done.paths]
    if len({str(name) for name in names}) < len(names):
        job.merged = next(str(name) for name in names if names.count(name) > 1)
    job.batches.extend(path.num_rows for path in done.paths)


def _with_whole_numbers(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Decimals without fractions as integers, which JSON writes as numbers."""
    schema = frame.collect_schema()
    casts = {name: whole for name, dtype in schema.items() if (whole := _whole(dtype)) != dtype}
    return frame.cast(casts) if casts else frame  # type: ignore[arg-type]


def _whole(dtype: Any) -> Any:
    if isinstance(dtype, pl.Struct):
        return pl.Struct({field.name: _whole(field.dtype) for field in dtype.fields})
    if isinstance(dtype, pl.List):
        return pl.List(_whole(dtype.inner))
    if isinstance(dtype, pl.Array):
        return pl.Array(_whole(dtype.inner), dtype.size)
    return pl.Int128() if isinstance(dtype, pl.Decimal) and not dtype.scale else dtype


def _counted(batches: list[int], batch: pl.DataFrame) -> pl.DataFrame:
    batches.append(batch.height)
    return batch


def _finish(job: _Job, result: pl.DataFrame) -> Staged:
    output = job.output
    if output.format in _THROUGH_ARROW:
        arrow_files.write_file(result, _file(output), output.format, output.kwargs)
        return Staged((_file(output),), result.height)
    if output.format == "JSON":
        arrow_files.wrap_json_lines(job.lines, _file(output))
    if job.merged:
        folder = unquote(str(Path(job.merged).parent.relative_to(Path(output.path).absolute())))
        msg = f"{output.path!r}: two values of 'partition_by' have one folder, {folder!r}; cast them to text"
        raise SinkError(msg)
    files = (
        name_parts(output.path, output.stem, output.format, output.ending) if output.partition_by else (_file(output),)
    )
    return Staged(files, sum(job.batches))


def _file(output: Output) -> str:
    name = f"{output.stem}-00000{extension(output.format)}{output.ending}"
    return str(Path(output.path).absolute() / name) if output.directory else str(Path(output.path).absolute())


def _reopen(output: Output, staged: Staged) -> pl.LazyFrame:
    if output.format == "IPC":
        return pl.scan_ipc(list(staged.files), glob=False, hive_partitioning=False)
    return pl.scan_parquet(list(staged.files), glob=False, hive_partitioning=False)
