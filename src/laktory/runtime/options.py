"""Options in an engine's own words, held against what the engine has. Only pipelines that use some load the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laktory.diagnostics import Problem, closest
from laktory.models.base import SPELLINGS
from laktory.models.datasinks import FileDataSink
from laktory.models.datasources import FileDataSource
from laktory.models.problems import raise_located
from laktory.runtime.ledger import sink_target
from laktory.runtime.sessions import session_type

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from laktory.diagnostics import Path
    from laktory.engines.protocol import Session
    from laktory.planning import Plan

__all__ = ["refuse_unknown_options"]


def refuse_unknown_options(plan: Plan) -> None:
    """Refuse arguments and methods of readers and writers that the engine of their node does not have.

    Raises
    ------
    DefinitionError
        With all of them.
    """
    pipeline = plan.pipeline
    problems: list[Problem] = []
    for index, node in enumerate(pipeline.nodes):
        if node.name not in plan.by_name:
            continue
        engine = node.dataframe_backend.value
        for position, source in enumerate(node.sources):
            if isinstance(source, FileDataSource) and (source.reader_kwargs or source.reader_methods):
                problems += _of_source(source, session_type(engine), ("nodes", index, "sources", position))
        for position, sink in enumerate(node.sinks):
            if isinstance(sink, FileDataSink) and sink.custom_writer is None and sink.writer_kwargs:
                problems += _of_sink(sink, session_type(engine), ("nodes", index, "sinks", position))
    if problems:
        raise_located(problems, pipeline._marks, SPELLINGS)


def _of_source(source: FileDataSource, engine: type[Session], path: Path) -> Iterator[Problem]:
    what = f"the {source.format} reader"
    yield from _unknown(source.reader_kwargs, engine.arguments(source.format), what, (*path, "reader_kwargs"))
    valid = engine.reader_methods()
    for number, method in enumerate(source.reader_methods):
        if method.name not in valid:
            place = (*path, "reader_methods", number, "name")
            yield Problem(f"{what} has no method {method.name!r}", place, sorted(valid), closest(method.name, valid))


def _of_sink(sink: FileDataSink, engine: type[Session], path: Path) -> Iterator[Problem]:
    directory = sink_target(sink).kind != "file"
    format_ = "PARQUET" if sink.format == "DELTA" else sink.format
    valid = engine.arguments(format_, writer=True, directory=directory)
    yield from _unknown(sink.writer_kwargs, valid, f"the {sink.format} writer", (*path, "writer_kwargs"))


def _unknown(given: Iterable[str], valid: Collection[str], what: str, path: Path) -> Iterator[Problem]:
    for name in given:
        if name not in valid:
            message = f"{what} has no argument {name!r}"
            yield Problem(message, (*path, name), sorted(valid), closest(name, valid), on_key=True)
