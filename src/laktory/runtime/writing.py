"""Writing sinks: staged beside their targets in one evaluation, then committed together."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from laktory.engines.arrow_files import first_line, join_json
from laktory.engines.errors import reason
from laktory.engines.formats import COMPRESSION, extension, foreign_entry, list_files
from laktory.engines.hive import key_names
from laktory.engines.identity import SeenFiles
from laktory.engines.protocol import FileRead, Output, Staged
from laktory.errors import LaktoryError, SinkError, SourceError, within
from laktory.log import get_logger
from laktory.models.custom import LaktoryContext
from laktory.runtime.custom import call
from laktory.runtime.ledger import rows_read, scratch_line, sink_target, target_keys, undone_line, write_line
from laktory.runtime.reading import row_count
from laktory.runtime.stored import schema_text
from laktory.storage import (
    commit,
    delta_schema,
    discard,
    exists,
    file_name,
    is_other,
    is_rename,
    open_staging,
    prepare,
    remove,
    sync,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import narwhals as nw

    from laktory.engines.capabilities import FormatSupport
    from laktory.engines.protocol import Session
    from laktory.models.datasinks import FileDataSink
    from laktory.runtime.gate import Gate
    from laktory.runtime.sessions import Sessions
    from laktory.storage import Change, Committed, Locks, Staging, Target

    Frame = nw.LazyFrame[Any]

__all__ = [
    "Written",
    "carrier",
    "refuse_foreign",
    "refuse_out_of_reach",
    "scratch_output",
    "sink_place",
    "sink_target",
    "stage_scratch",
    "sync_scratch",
    "write_custom",
    "write_files",
]

_log = get_logger(__name__)

_SMALL = 64


@dataclass(frozen=True, slots=True)
class Written:
    """What one sink received. `read` finds again exactly the rows this run wrote, None if nothing was written.

    `line` is what the ledger holds of it.
    """

    sink: FileDataSink
    rows: int | None
    bytes: int
    read: FileRead | None
    typed: bool
    line: dict[str, Any] | None = None
    version: int | None = None


@dataclass(slots=True)
class _SinkWrite:
    """One sink on its way.

    `continues`: what is staged is put behind the bytes of the file, else old rows are staged before the new ones.
    `joins`: what is staged is a list that gets the elements of the file before its own.
    `rows`: of the frame itself, not of a file it was appended to.
    """

    sink: FileDataSink
    support: FormatSupport
    target: Target
    mode: str
    staging: Staging
    frame: Frame
    schema: Any
    typed: bool
    old_rows: int = 0
    continues: bool = False
    joins: bool = False
    header: bool = True
    ending: str = ""
    same_header: str | None = None
    staged: Staged | None = None
    change: Change | None = None
    rows: int = 0
    bytes: int = 0


def write_files(
    frames: Sequence[Frame],
    sinks: Sequence[FileDataSink],
    session: Session,
    *,
    run_id: str,
    replace_all: bool,
    intent: str,
    note: dict[str, Any],
    locks: Locks,
    gate: Gate,
    scratch: Output | None = None,
    scratch_read: FileRead | None = None,
    seen: SeenFiles | None = None,
    verify: Callable[[FileDataSink | None, int], None] = lambda _sink, _rows: None,
) -> tuple[list[Written], int | None]:
    """Write frames to sinks: every one becomes visible, or none does.

    Parameters
    ----------
    frames : one for each sink
    replace_all : write as OVERWRITE whatever the mode
    intent : path of the intent record
    note : the ledger, the root path of its pipeline, and the entry the commit writes there; that gets what was written
        under ``"writes"``
    locks : hold the targets of the sinks
    gate : entered to commit
    scratch : one more output, an intermediate result that nobody else sees
    scratch_read : how to read it
    seen : files that the frames read
    verify : raises if a sink, or the intermediate result (None), is about to get another number of rows than it should

    Returns
    -------
    list[Written], int | None
        One for each sink, in order; rows of the output, None if nothing of it had to be computed.

    Raises
    ------
    SinkError, StepError, SourceError
        Whatever stood at the targets still stands.
    """
    writes: list[_SinkWrite | None] = []
    seen = SeenFiles() if seen is None else seen
    try:
        for sink, frame in zip(sinks, frames, strict=True):
            with within(*sink_place(sink), "path"):
                target = sink_target(sink)
                locks.require([target])
                writes.append(_begin(sink, target, frame, session, run_id, seen, replace_all=replace_all))
        active = [write for write in writes if write is not None]
        outputs = [_output(write) for write in active]
        if scratch is not None:
            outputs.append(scratch)
        staged = _staged(outputs, active, session) if outputs else []
        seen.check()
        changes = _changes(active, staged, session, verify)
        rows = next((write.rows for write in active if not write.sink.is_quarantine), None)
        if scratch is not None:
            rows = staged[-1].rows
            verify(None, rows)
            sync_scratch(scratch)
        root = Path(note["root"])
        written = [_written(number, sinks[number], write, root) for number, write in enumerate(writes)]
        entry = note["entry"] | _entry(written, rows, scratch_read)
        line = {"ledger": note["ledger"]}
        if is_rename(changes):
            entry["ahead"] = Path(changes[0].staged).name
            line["undone_line"] = undone_line(entry.get("node"))
        line["ledger_line"] = json.dumps(entry)
        with gate:
            locks.require(change.target for change in changes)
            committed = commit(changes, intent_path=intent, note=line)
    except BaseException:
        discard([write.staging for write in writes if write is not None])
        raise
    found = iter(committed)
    pairs = zip(written, writes, strict=True)
    return [_located(item, write, next(found) if write else None) for item, write in pairs], rows


def _changes(
    active: Sequence[_SinkWrite],
    staged: Sequence[Staged],
    session: Session,
    verify: Callable[[FileDataSink | None, int], None],
) -> list[Change]:
    """What is to be committed of what was staged."""
    changes: list[Change] = []
    for write, found in zip(active, staged, strict=False):
        done = found if found.files else _no_rows(write, session)
        write.rows = done.rows if write.continues or write.joins else done.rows - write.old_rows
        verify(write.sink, write.rows)
        write.staged, write.bytes = done, sum(Path(file).stat().st_size for file in done.files)
        with within(*sink_place(write.sink), "path"):
            write.change = _change(write)
        changes.append(write.change)
    return changes


def refuse_foreign(sink: FileDataSink, target: Target, what: str) -> None:
    """Refuse to replace or remove a directory that holds what the sink cannot have written.

    Raises
    ------
    SinkError
        Names one of the files.
    """
    if target.kind == "directory" and (name := foreign_entry(target.path, sink.format)):
        msg = f"cannot {what} the directory {sink.path!r}: it holds {name!r}, which no {sink.format} sink has written"
        raise SinkError(f"{msg}; move it elsewhere, or write to a folder of its own")


def _staged(outputs: Sequence[Output], active: Sequence[_SinkWrite], session: Session) -> list[Staged]:
    """Write the outputs beside their targets; what goes wrong with one is told of its sink, not of the staged file."""
    try:
        return session.stage(outputs)
    except SinkError as error:
        named = next((write for write in active if write.staging.path in str(error)), None)
        if named is None:
            raise
        with within(*sink_place(named.sink), "path"):
            text = str(error)
            for write in active:
                text = text.replace(write.staging.path, write.sink.path)
            raise SinkError(text) from error
    except (TypeError, ValueError, OverflowError) as error:
        sink = next((write.sink for write in active if write.sink.writer_kwargs), None)
        if isinstance(error, LaktoryError) or sink is None:
            raise
        with within(*sink_place(sink), "writer_kwargs"):
            msg = f"the {sink.format} writer cannot work with these values: {reason(error)}"
            raise SinkError(msg) from error


def refuse_out_of_reach(sink: FileDataSink, sessions: Sessions) -> None:
    """Refuse a file sink of an engine that does not see the files of this machine.

    Raises
    ------
    SinkError
        Always, for such an engine.
    """
    engine = sink.dataframe_backend.value
    if sessions.in_reach(engine):
        return
    msg = f"{sink.path!r}: outputs are staged on this machine, whose files the session of {engine} does not see"
    with within(*sink_place(sink), "path"):
        raise SinkError(f"{msg}; write a table ('table_name'), or let a node of another engine write the file here")


def scratch_output(frame: Frame, folder: Path, name: str, format_: str, session: Session) -> tuple[Output, FileRead]:
    """An intermediate result in the run's own folder, and how to read it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = str((folder / f"{file_name(name)}.{format_.lower()}").resolve())
    directory = format_ in session.capabilities.folders
    if directory:
        Path(path).mkdir(exist_ok=True)
    # read back soon, perhaps several times: what is quick to write and to read counts more than its size
    kwargs = {"compression": "lz4"} if format_ == "PARQUET" and not directory else {}
    read = FileRead(path, format_, files=None if directory else (path,))
    return Output(frame=frame, path=path, format=format_, kwargs=kwargs, directory=directory), read


def stage_scratch(output: Output, session: Session) -> Staged:
    """Write an intermediate result, whole or not at all: where a disk is full, the record needs the room."""
    try:
        [staged] = session.stage([output])
    except SinkError as error:
        remove(output.path)
        msg = str(error).replace(repr(output.path), "an intermediate result")
        raise SinkError(msg) from error.__cause__
    except BaseException:
        remove(output.path)
        raise
    return staged


def sync_scratch(output: Output) -> None:
    """Bring an intermediate result to disk, for a run that may resume this one."""
    if output.directory:
        for file in Path(output.path).iterdir():
            sync(str(file))
    sync(output.path)


def sink_place(sink: Any) -> tuple[str | int, ...]:
    """Where a sink stands in its node."""
    node = sink.parent_pipeline_node
    number = next((number for number, other in enumerate(node.sinks if node else ()) if other is sink), None)
    return () if number is None else ("sinks", number)


def write_custom(frame: Frame, sink: Any) -> None:
    """Hand a frame to the user's own writer. It cannot be staged: it runs after the other sinks are committed."""
    pipeline, node = sink.parent_pipeline, sink.parent_pipeline_node
    context = LaktoryContext(node=node, pipeline=pipeline, sink=sink)
    _log.info("Writing with %s", sink.custom_writer.func_name)
    call(sink.custom_writer, pipeline.imports if pipeline else (), context, frame)
    _log.info("Write completed.")


def _begin(
    sink: FileDataSink,
    target: Target,
    frame: Frame,
    session: Session,
    run_id: str,
    seen: SeenFiles,
    *,
    replace_all: bool,
) -> _SinkWrite | None:
    """Decide what a sink's mode means here and now; None if there is nothing to do."""
    there = None
    mode = "OVERWRITE" if replace_all else sink.write_mode
    if mode != "OVERWRITE":
        there = exists(target)
        if mode == "IGNORE" and there:
            _log.info("%s exists, mode IGNORE: left as it is", sink.path)
            return None
        if mode == "ERROR" and there:
            msg = f"{sink.path!r} exists and the mode is ERROR; remove it, or use the mode OVERWRITE or APPEND"
            raise SinkError(msg)
        if mode == "APPEND" and is_other(target):
            msg = f"cannot append to {sink.path!r}: another engine has written it, as a "
            msg = f"{msg}{'directory' if target.kind == 'file' else 'file'}; write to another path"
            raise SinkError(msg)
        mode = "APPEND" if mode == "APPEND" and there else "OVERWRITE"
    if mode == "OVERWRITE":
        refuse_foreign(sink, target, "replace")
    schema = session.schema(frame)
    if not schema:
        msg = f"cannot write {sink.path!r}: the frame has no columns"
        raise SinkError(msg)
    support = session.capabilities.formats[sink.format]
    typed = support.typed
    if sink.format == "DELTA":
        held = delta_schema(schema)
        if held != schema:
            frame, schema, typed = session.exactly(frame, held, sink.path), held, False
    ending = PurePath(sink.path).suffix.lower()
    compressed = ending if ending in COMPRESSION and (target.kind == "file" or support.text) else ""
    if compressed and mode == "APPEND" and target.kind == "file":
        msg = f"cannot append to {sink.path!r}, which is compressed; write a directory of files, or without {ending!r}"
        raise SinkError(msg)
    staging = open_staging(target, run_id, extension=extension(sink.format) + compressed)
    write = _SinkWrite(sink, support, target, mode, staging, frame, schema, typed, ending=compressed)
    if mode == "APPEND" and target.kind == "file":
        _append_to_file(write, session, seen)
    elif mode == "APPEND" and target.kind == "directory":
        _append_to_directory(write, session)
    return write


def _cast(frame: Frame, schema: Any, wanted: Any) -> Frame:
    import narwhals as nw

    return frame.with_columns(nw.col(name).cast(dtype) for name, dtype in wanted.items() if schema[name] != dtype)


def _append_to_file(write: _SinkWrite, session: Session, seen: SeenFiles) -> None:
    """A file is appended to by writing old and new beside it: readers see the old file or the longer one."""
    import narwhals as nw

    sink = write.sink
    write.continues, write.joins = write.support.lines, sink.format == "JSON"
    empty = _holds_nothing(write.target.path, write)
    if sink.format == "CSV" and sink.writer_kwargs:
        write.same_header = None if empty else write.target.path
        return
    old = None if empty else session.scan(FileRead(sink.path, sink.format, files=(sink.path,)), seen)
    if old is not None:
        _same_columns(write, session.schema(old), [])
        write.old_rows = row_count(session, old)
    write.header = old is None
    write.joins = write.joins and old is not None
    if old is not None and not write.continues and not write.joins:
        write.frame = nw.concat([_as(old, write.schema), write.frame])


def _append_to_directory(write: _SinkWrite, session: Session) -> None:
    """New files beside others: one of these tells the columns that all of them have."""
    sink = write.sink
    files: tuple[str, ...] = ()
    with suppress(SourceError):  # none of the format
        files = list_files(write.target.path, sink.format)
    there = next((file for file in files if not _holds_nothing(file, write)), None)
    if there is None:
        return
    if sink.format == "CSV" and sink.writer_kwargs:
        write.same_header = there
        return
    keys, wanted = key_names(files, write.target.path), list(sink.partition_by)
    if keys:  # an empty result has left a file outside the partitions
        there = next(file for file in files if key_names([file], write.target.path))
    old = session.scan(FileRead(there, sink.format, files=(there,)))
    if keys != wanted and (keys or row_count(session, old)):
        msg = f"cannot append to {sink.path!r}: it is partitioned by {keys}, not by {wanted}"
        raise SinkError(msg)
    _same_columns(write, session.schema(old), keys)


def _holds_nothing(path: str, write: _SinkWrite) -> bool:
    """A file without rows and, for formats that only name columns in rows, without columns."""
    size = Path(path).stat().st_size
    if write.sink.format == "JSON" and size < _SMALL:
        return Path(path).read_bytes().translate(None, b" \t\r\n") in {b"", b"[]"}
    return write.support.lines and size == 0


def _as(old: Frame, schema: Any) -> Frame:
    import narwhals as nw

    found = old.collect_schema()
    return old.select(
        nw.col(name) if found[name] == dtype else nw.col(name).cast(dtype) for name, dtype in schema.items()
    )


def _same_columns(write: _SinkWrite, found: Any, keys: list[str]) -> None:
    import narwhals as nw

    wanted = [name for name in write.schema if name not in keys]
    missing = [name for name in found if name not in wanted]
    added = [name for name in wanted if name not in found]
    if missing or added:
        what = "file" if write.target.kind == "file" else "directory"
        parts = [f"the {what} also has {missing}" if missing else "", f"the {what} lacks {added}" if added else ""]
        msg = f"cannot append to {write.sink.path!r}: {' and '.join(filter(None, parts))}"
        raise SinkError(f"{msg}; appending wants the same columns")
    if list(found) != wanted:
        write.frame = write.frame.select(*found, *keys)
        write.schema = nw.Schema({name: write.schema[name] for name in [*found, *keys]})
    if not write.typed:
        return
    untyped = {name: dtype for name, dtype in found.items() if write.schema[name] == nw.Unknown}
    if untyped:
        write.frame = _cast(write.frame, write.schema, untyped)
        write.schema = nw.Schema({**write.schema, **untyped})
    for name, dtype in found.items():
        if dtype not in (write.schema[name], nw.Unknown):
            types = f"{dtype} there and {write.schema[name]} here"
            raise SinkError(f"cannot append to {write.sink.path!r}: column {name!r} is {types}; cast it")


def _output(write: _SinkWrite) -> Output:
    sink = write.sink
    _log.info("Writing static df to %s with format '%s' and %s", sink.path, sink.format, sink.writer_kwargs)
    return Output(
        frame=write.frame,
        path=write.staging.path,
        format="PARQUET" if sink.format == "DELTA" else sink.format,
        directory=write.staging.directory,
        stem=write.staging.stem,
        ending=write.ending if write.staging.directory else "",
        kwargs={name: value for name, value in sink.writer_kwargs.items() if name != "partition_by"},
        partition_by=sink.partition_by,
        methods=tuple((method.name, method.args, method.kwargs) for method in sink.writer_methods),
        header=write.header,
    )


def _change(write: _SinkWrite) -> Change:
    assert write.staged is not None
    if write.same_header is not None:
        _check_header(write, write.same_header)
    if write.joins:
        join_json(write.target.path, *write.staged.files)
    # old and new rows were staged: the file is replaced by the longer one
    whole = write.target.kind == "file" and not write.continues
    return prepare(
        write.staging,
        write.staged.files,
        "APPEND" if write.mode == "APPEND" and not whole else "OVERWRITE",
        rows=None,
        schema=write.schema,
        partition_by=write.sink.partition_by,
    )


def _check_header(write: _SinkWrite, there: str) -> None:
    """Lines in a dialect of the user's are appended if their header is the one there, to the letter."""
    assert write.staged is not None
    kwargs = write.sink.writer_kwargs
    if any(str(kwargs.get(name, True)).lower() == "false" for name in ("include_header", "header")):
        return
    for staged in map(Path, write.staged.files):
        ours, theirs = first_line(str(staged)), first_line(there)
        if ours != theirs:
            shown = [line.decode("utf-8", "replace")[:100] for line in (theirs, ours)]
            msg = f"cannot append to {write.sink.path!r}: its header is {shown[0]!r}, here it is {shown[1]!r}"
            raise SinkError(f"{msg}; appending wants the same columns")
        if write.target.kind != "file":
            continue
        rest = staged.with_name(f"{staged.name}.rest")
        with staged.open("rb") as new, rest.open("wb") as out:
            new.readline()
            shutil.copyfileobj(new, out, 1 << 20)
        rest.replace(staged)


def _no_rows(write: _SinkWrite, session: Session) -> Staged:
    """An empty result makes no partition, yet a directory keeps its columns: one empty file."""
    if write.target.kind == "delta":
        return Staged((), 0)  # its schema is in the log
    [staged] = session.stage([replace(_output(write), partition_by=())])
    return staged


def _written(number: int, sink: FileDataSink, write: _SinkWrite | None, root: Path) -> Written:
    if write is None or write.change is None:
        return Written(sink, None, 0, None, typed=False)
    target, change, is_file = write.target, write.change, write.target.kind == "file"
    schema = _as_text_holds(write.schema) if write.support.text else None
    # the names of folders are text
    typed = write.typed and not (target.kind != "file" and sink.partition_by)
    kept = None if write.typed and (typed or target.kind == "delta") else _as_text_holds(write.schema)
    line = write_line(
        number,
        target_keys(target, root),
        [(change.staged, "")] if is_file else [(f"{change.staged}/{name}", name) for name in change.files],
        rows=write.rows,
        offset=write.old_rows if is_file and write.mode == "APPEND" else None,
        added=change.mode == "APPEND",
        commit=change.table["id"] if change.table else None,
        schema=None if kept is None else schema_text(kept),
    )
    return Written(sink, write.rows, write.bytes, rows_read(target, sink.format, line, schema=schema), typed, line)


def _entry(written: Sequence[Written], rows: int | None, scratch: FileRead | None) -> dict[str, Any]:
    """What the ledger holds of a node's commit."""
    first = _first(written)
    read = scratch_line(scratch) if scratch else {"sink": first.line["sink"]} if first and first.line else None
    return {"rows": rows, "read": read, "writes": [item.line for item in written if item.line]}


def _as_text_holds(schema: Any) -> Any:
    """Types to read text files with; nulls without a type are texts that are not there."""
    import narwhals as nw

    return nw.Schema({name: nw.String() if dtype == nw.Unknown else dtype for name, dtype in schema.items()})


def carrier(written: Sequence[Written]) -> FileRead | None:
    """The first sink that gives back this run's rows with their exact types."""
    first = _first(written)
    return first.read if first else None


def _first(written: Sequence[Written]) -> Written | None:
    return next((item for item in written if item.typed and item.read and not item.sink.is_quarantine), None)


def _located(item: Written, write: _SinkWrite | None, committed: Committed | None) -> Written:
    """A table's version is known once it is committed; an overwritten one is read at that version."""
    if write is None or write.change is None or item.read is None or committed is None:
        return item
    _log.info("Write completed.")
    if write.target.kind != "delta":
        return item
    read = item.read if write.change.mode == "APPEND" else replace(item.read, version=committed.version)
    return replace(item, read=read, version=committed.version)
