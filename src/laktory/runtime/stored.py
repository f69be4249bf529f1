"""What a node left in its first sink, for nodes that run without it: with the types it was written with.

Text files and names of folders do not hold types. Without them a node that runs alone would compute with texts where a
whole run computes with numbers, so the ledgers keep them; they count as long as the file is the one that was written.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from laktory.errors import LaktoryError, RunError, SourceError
from laktory.log import get_logger
from laktory.models.dataframe.dataframeschema import DataFrameSchema
from laktory.runtime.ledger import is_there, sink_target, target_keys
from laktory.runtime.reading import file_read
from laktory.runtime.record import run_folders
from laktory.storage import exists

if TYPE_CHECKING:
    from pathlib import Path

    import narwhals as nw

    from laktory.engines.protocol import FileRead, Session
    from laktory.models.datasinks import FileDataSink

__all__ = ["schema_text", "stored_read"]

_log = get_logger(__name__)


def schema_text(schema: nw.Schema) -> str | None:
    """A schema as a ledger keeps it; None if a type has no name in definitions."""
    with suppress(LaktoryError):
        return DataFrameSchema.from_narwhals(schema).to_string()
    return None


def stored_read(sink: FileDataSink, session: Session, root: Path) -> FileRead:
    """How to read what runs below a root path have written to a sink.

    Raises
    ------
    SourceError
        Nothing is there.
    """
    target, node = sink_target(sink), sink.parent_pipeline_node
    if not exists(target):
        msg = f"{sink.path!r} does not exist: node {node.name!r}, which writes it, is not part of this run"
        raise SourceError(f"{msg}; run it first, or select it too: a '*' before a name adds all it reads")
    read = file_read(sink.as_source())
    typed = session.capabilities.formats[sink.format].typed
    if sink.format == "DELTA" or (not sink.partition_by if typed else sink.writer_kwargs):
        return read
    text = _latest(target_keys(target, root), sink, root)
    if text is None:
        _log.warning("The types of %s are not known, as no run here wrote it: they are told from its text", sink.path)
        return read
    return replace(read, schema=DataFrameSchema(columns=json.loads(text)).to_narwhals())


def _latest(keys: list[str], sink: FileDataSink, root: Path) -> str | None:
    target = sink_target(sink)
    for run in reversed(run_folders(root)):
        with suppress(RunError):  # damaged
            for entry in reversed(run.entries()[1:]):
                for line in entry.get("writes", ()):
                    if not set(keys).isdisjoint(line["target"]) and is_there(target, line):
                        schema: str | None = line.get("schema")
                        return schema
    return None
