"""Delta tables: one version per commit, written as a log entry of our own.

Only the state of a table is read with deltalake. The log entry is written here, because that is what lets a
commit be durable (deltalake never waits for the disk), be repeated (it carries a transaction number), change the
schema in the same version, and lose a race against another writer instead of overwriting it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from laktory._version import __version__
from laktory.errors import SinkError
from laktory.optional import require
from laktory.storage.deltatypes import delta_schema, not_null, schema_json, type_text
from laktory.storage.files import make_folders, remove, sync

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import narwhals as nw

__all__ = ["ConflictError", "apply", "delta_schema", "holds", "prepare", "tidy", "version_of"]

_APP = "laktory"
_TRIES = 20
_CHECKPOINT_EVERY = 100
_FEATURES = {"appendOnly", "invariants", "timestampNtz"}
_SAFE = "/=!'()*~,;:@&+$"
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_PARTITION_TYPES = {"string", "byte", "short", "integer", "long", "boolean", "date"}


class ConflictError(SinkError):
    """The table does not take this change, now or later."""


@dataclass(frozen=True)
class _State:
    """One version of a table."""

    version: int
    transaction: int
    protocol: dict[str, Any]
    metadata: dict[str, Any]
    table: Any

    @property
    def fields(self) -> list[dict[str, Any]]:
        return json.loads(self.metadata["schemaString"])["fields"]  # type: ignore[no-any-return]

    @property
    def paths(self) -> set[str]:
        """Files of the version, as the log has them."""
        return set(self.table.get_add_actions().column("path").to_pylist())


def prepare(
    path: str, staged: str, names: Sequence[str], *, mode: str, schema: nw.Schema, partition_by: Sequence[str]
) -> dict[str, Any]:
    """Check a change against its table and describe it as plain data.

    Raises
    ------
    SinkError
        If the table does not take it.
    """
    fields = schema_json(schema)
    partitions = list(partition_by)
    types = {field["name"]: field["type"] for field in fields}
    for column in partitions:
        kind = types.get(column)
        if not isinstance(kind, str) or kind not in _PARTITION_TYPES:
            found = f"is {type_text(kind)}" if kind is not None else "is not among the columns"
            msg = f"the Delta table {path!r} cannot be partitioned by {column!r}, which {found}"
            raise ConflictError(msg)
    state = _read(path)
    change = {
        "fields": fields,
        "partition_by": partitions,
        "adds": [_add(path, staged, name, partitions, types) for name in names],
        "transaction": 1 + (state.transaction if state else 0),
        "id": uuid.uuid4().hex,
    }
    if state is None and not (Path(path) / "_delta_log").is_dir() and Path(path).is_dir() and any(Path(path).iterdir()):
        msg = f"{path!r} holds files but is no Delta table; choose another path or remove them"
        raise ConflictError(msg)
    _metadata(path, state, mode, change)
    return change


def apply(path: str, mode: str, change: dict[str, Any], *, again: bool) -> int | None:
    """Add the version that makes the moved files part of the table; its number.

    Files have been moved in. Another writer's version in between is built upon (OVERWRITE: replaced).

    Parameters
    ----------
    again : a repeated try, which may find its work done

    Raises
    ------
    SinkError
        `ConflictError` if the table, changed meanwhile, no longer takes it.
    """
    log = f"{path}/_delta_log"
    make_folders(log)
    tidy(path, killed=again)
    for _ in range(_TRIES):
        state = _read(path)
        if again and state is not None and state.transaction >= change["transaction"]:
            return None
        version = state.version + 1 if state else 0
        actions = _actions(path, state, mode, change)
        if _publish(log, version, actions):
            if version and version % _CHECKPOINT_EVERY == 0:
                _checkpoint(path, version)
            return version
    msg = f"other writers keep changing the Delta table {path!r}: {_TRIES} tries"
    raise SinkError(msg)


def version_of(path: str, commit: str) -> int | None:
    """The version that a change with this ``id`` made; None if it is in no log entry (any more)."""
    with suppress(FileNotFoundError):
        for name in sorted(os.listdir(f"{path}/_delta_log"), reverse=True):  # noqa: PTH208
            if re.fullmatch(r"\d{20}\.json", name):
                with Path(f"{path}/_delta_log/{name}").open(encoding="utf-8") as entry:
                    first = json.loads(entry.readline() or "{}")
                if first.get("commitInfo", {}).get("laktoryCommit") == commit:
                    return int(name[:20])
    return None


def holds(path: str, names: Iterable[str]) -> bool:
    """Whether the latest version of a table has all these files; they lie there long after it has not."""
    state = _read(path)
    return state is not None and {quote(name, safe=_SAFE) for name in names} <= state.paths


def _read(path: str) -> _State | None:
    deltalake = require("deltalake", "format: DELTA")
    log = Path(path) / "_delta_log"
    if not log.is_dir() or not any(entry.suffix in {".json", ".parquet"} for entry in log.iterdir()):
        return None
    try:
        table = deltalake.DeltaTable(path)
        metadata, protocol = table.metadata(), table.protocol()
        schema = table.schema().to_json()
        transaction = table.transaction_version(_APP)
    except deltalake.exceptions.DeltaError as error:
        msg = f"the Delta table {path!r} cannot be read"
        raise SinkError(msg) from error
    return _State(
        version=table.version(),
        transaction=transaction or 0,
        protocol={
            "minReaderVersion": protocol.min_reader_version,
            "minWriterVersion": protocol.min_writer_version,
            "readerFeatures": list(protocol.reader_features or ()),
            "writerFeatures": list(protocol.writer_features or ()),
        },
        metadata={
            "id": metadata.id,
            "name": metadata.name,
            "description": metadata.description,
            "format": {"provider": "parquet", "options": {}},
            "schemaString": schema,
            "partitionColumns": list(metadata.partition_columns),
            "createdTime": metadata.created_time,
            "configuration": dict(metadata.configuration),
        },
        table=table,
    )


def _actions(path: str, state: _State | None, mode: str, change: dict[str, Any]) -> list[dict[str, Any]]:
    now = int(time.time() * 1000)
    metadata = _metadata(path, state, mode, change)
    protocol = _protocol(state, metadata)
    parameters = {
        "mode": "Append" if mode == "APPEND" else "Overwrite",
        "partitionBy": json.dumps(change["partition_by"]),
    }
    info = {
        "timestamp": now,
        "operation": "WRITE",
        "operationParameters": parameters,
        "isBlindAppend": mode == "APPEND",
        "engineInfo": f"laktory/{__version__}",
        "laktoryCommit": change["id"],
    }
    actions: list[dict[str, Any]] = [{"commitInfo": info}]
    if protocol is not None:
        actions.append({"protocol": protocol})
    if state is None or metadata != state.metadata:
        actions.append({"metaData": metadata})
    transaction = max(change["transaction"], 1 + (state.transaction if state else 0))
    actions.append({"txn": {"appId": _APP, "version": transaction, "lastUpdated": now}})
    if mode == "OVERWRITE" and state is not None:
        actions += [
            {"remove": {"path": name, "deletionTimestamp": now, "dataChange": True}} for name in sorted(state.paths)
        ]
    return actions + [{"add": add} for add in change["adds"]]


def _metadata(path: str, state: _State | None, mode: str, change: dict[str, Any]) -> dict[str, Any]:
    """Metadata of the table once the change is in it."""
    if state is None:
        return {
            "id": str(uuid.uuid4()),
            "name": None,
            "description": None,
            "format": {"provider": "parquet", "options": {}},
            "schemaString": _schema_string(change["fields"]),
            "partitionColumns": change["partition_by"],
            "createdTime": int(time.time() * 1000),
            "configuration": {},
        }
    _check_features(path, state, mode)
    if mode == "OVERWRITE":
        fields, partitions = change["fields"], change["partition_by"]
    else:
        partitions = state.metadata["partitionColumns"]
        if change["partition_by"] != partitions:
            msg = f"the Delta table {path!r} is partitioned by {partitions}, not by {change['partition_by']}"
            raise ConflictError(msg)
        fields = _merged(path, state.fields, change["fields"])
    if [_core(field) for field in fields] == [_core(field) for field in state.fields]:
        schema = state.metadata["schemaString"]
    else:
        schema = _schema_string(fields)
    return {**state.metadata, "schemaString": schema, "partitionColumns": partitions}


def _merged(path: str, old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Columns of a table and those an append adds."""
    known = {field["name"]: field for field in old}
    folded = {field["name"].lower(): field["name"] for field in old}
    for field in old:
        if not_null(field):
            msg = f"column {field['name']!r} of the Delta table {path!r} is NOT NULL; Laktory cannot append to it"
            raise ConflictError(msg)
    added = []
    for field in new:
        name = field["name"]
        if name not in known:
            if name.lower() in folded:
                clash = folded[name.lower()]
                msg = f"column {name!r} differs from {clash!r} of the Delta table {path!r} only in case"
                raise ConflictError(msg)
            added.append(field)
        elif type_text(known[name]["type"]) != type_text(field["type"]):
            msg = (
                f"column {name!r} is {type_text(known[name]['type'])} in the Delta table {path!r} and "
                f"{type_text(field['type'])} in the rows to append; cast it, or use mode OVERWRITE"
            )
            raise ConflictError(msg)
    return old + added


def _core(field: dict[str, Any]) -> tuple[str, str, bool]:
    return field["name"], type_text(field["type"]), not_null(field)


def _schema_string(fields: list[dict[str, Any]]) -> str:
    return json.dumps({"type": "struct", "fields": fields}, separators=(",", ":"))


def _check_features(path: str, state: _State, mode: str) -> None:
    """Refuse tables with rules a writer must know and Laktory does not."""
    protocol, configuration = state.protocol, state.metadata["configuration"]
    found = sorted({*protocol["readerFeatures"], *protocol["writerFeatures"]} - _FEATURES)
    found += sorted(key for key in configuration if key.startswith("delta.constraints."))
    if configuration.get("delta.enableChangeDataFeed", "").lower() == "true":
        found.append("change data feed")
    if configuration.get("delta.columnMapping.mode", "none") != "none":
        found.append("column mapping")
    text = state.metadata["schemaString"]
    found += [what for what in ("delta.invariants", "delta.generationExpression", "delta.identity") if what in text]
    if protocol["minReaderVersion"] not in {1, 3} or protocol["minWriterVersion"] not in {1, 2, 7}:
        found.append(f"protocol ({protocol['minReaderVersion']}, {protocol['minWriterVersion']})")
    if found:
        msg = f"the Delta table {path!r} uses what Laktory cannot write: {', '.join(found)}"
        raise ConflictError(msg)
    if mode == "OVERWRITE" and configuration.get("delta.appendOnly", "").lower() == "true":
        msg = f"the Delta table {path!r} takes appends only (delta.appendOnly); use mode APPEND"
        raise ConflictError(msg)


def _protocol(state: _State | None, metadata: dict[str, Any]) -> dict[str, Any] | None:
    """The protocol action a version needs, None if the table's own is enough."""
    naive = '"timestamp_ntz"' in metadata["schemaString"]
    if state is not None and (not naive or "timestampNtz" in state.protocol["writerFeatures"]):
        return None
    if not naive:
        return {"minReaderVersion": 1, "minWriterVersion": 2}
    old = set(state.protocol["writerFeatures"]) if state else set()
    if state is not None and state.protocol["minWriterVersion"] == 2:
        old = {"appendOnly", "invariants"}  # what version 2 stood for
    return {
        "minReaderVersion": 3,
        "minWriterVersion": 7,
        "readerFeatures": ["timestampNtz"],
        "writerFeatures": sorted(old | {"timestampNtz"}),
    }


def _add(path: str, staged: str, name: str, partitions: list[str], types: dict[str, Any]) -> dict[str, Any]:
    parquet = require("pyarrow.parquet", "format: DELTA")
    found = os.stat(f"{staged}/{name}")  # noqa: PTH116
    values: dict[str, str | None] = {}
    for part in name.split("/")[:-1]:
        column, _, value = part.partition("=")
        text = unquote(value)
        if types.get(unquote(column)) == "boolean":
            text = text.lower()
        values[unquote(column)] = None if value == _NULL_PARTITION else text
    if list(values) != partitions:
        msg = f"{name!r} was not staged below the partition columns {partitions} of {path!r}"
        raise SinkError(msg)
    for column in partitions:
        if values[column] == "":
            msg = f"partition column {column!r} of {path!r} holds an empty text, which Delta would read as NULL"
            raise ConflictError(msg)
    # exact counts let readers count without reading; minima and maxima that are slightly wrong would hide rows
    statistics = {"numRecords": parquet.read_metadata(f"{staged}/{name}").num_rows}
    return {
        "path": quote(name, safe=_SAFE),
        "partitionValues": values,
        "size": found.st_size,
        "modificationTime": int(found.st_mtime * 1000),
        "dataChange": True,
        "stats": json.dumps(statistics),
    }


def _publish(log: str, version: int, actions: list[dict[str, Any]]) -> bool:
    """Write a log entry whole and durable, then give it its name; False if another writer has taken the name."""
    temporary, final = f"{log}/.laktory-{uuid.uuid4().hex}.tmp", f"{log}/{version:020d}.json"
    with Path(temporary).open("x", encoding="utf-8") as out:
        out.writelines(json.dumps(action, separators=(",", ":")) + "\n" for action in actions)
        out.flush()
        os.fsync(out.fileno())
    try:
        os.link(temporary, final)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.ENOSYS}:
            raise
        if Path(final).exists():  # no hard links here: nothing but our lock keeps writers apart
            return False
        os.rename(temporary, final)  # noqa: PTH104
    finally:
        remove(temporary)
    sync(log)
    return True


def tidy(path: str, *, killed: bool) -> None:
    """Remove what was being written to the log of a table, `killed`: also what its library had of a checkpoint."""
    log = f"{path}/_delta_log"
    stale = re.compile(r"\.laktory-[0-9a-f]{32}\.tmp" + (r"|.*checkpoint.*#\d+" if killed else ""))
    for name in os.listdir(log):  # noqa: PTH208
        if stale.fullmatch(name):
            remove(f"{log}/{name}")


def _checkpoint(path: str, version: int) -> None:
    """Sum up the log so that readers stay fast; a table without it is as right."""
    deltalake = require("deltalake", "format: DELTA")
    with suppress(deltalake.exceptions.DeltaError, OSError):
        deltalake.DeltaTable(path, version=version).create_checkpoint()
        sync(f"{path}/_delta_log/{version:020d}.checkpoint.parquet")
        sync(f"{path}/_delta_log/_last_checkpoint")
        sync(f"{path}/_delta_log")
