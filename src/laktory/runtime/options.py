"""Options in an engine's own words, held against what the engine has. Only pipelines that use some load the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laktory.diagnostics import Problem, closest, raise_problems
from laktory.engines.capabilities import ENGINES
from laktory.models.base import SPELLINGS
from laktory.models.datasinks import FileDataSink
from laktory.models.datasources import FileDataSource
from laktory.models.problems import located
from laktory.optional import is_installed
from laktory.runtime.sessions import session_type

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from laktory.diagnostics import Path
    from laktory.engines.capabilities import Capabilities
    from laktory.engines.protocol import Session
    from laktory.models.pipeline.pipeline import Pipeline
    from laktory.planning import Plan

__all__ = ["option_problems", "refuse_unknown_options"]


def refuse_unknown_options(plan: Plan) -> None:
    """Refuse arguments and methods of readers and writers that the engine of their node does not have.

    Raises
    ------
    DefinitionError
        With all of them.
    """
    problems = option_problems(plan.pipeline, plan.by_name)
    if problems:
        raise_problems(problems, plan.pipeline._marks)


def option_problems(pipeline: Pipeline, names: Collection[str] | None = None) -> list[Problem]:
    """Arguments and methods that engines do not have, in the nodes of these names, None for all.

    What a plan refuses besides (an engine that is not installed, an unknown format) has none to hold them against.
    """
    problems: list[Problem] = []
    for index, node in enumerate(pipeline.nodes):
        if names is not None and node.name not in names:
            continue
        engine = node.dataframe_backend.value
        for position, source in enumerate(node.sources):
            if not isinstance(source, FileDataSource) or not (source.reader_kwargs or source.reader_methods):
                continue
            if _at_hand(ENGINES[engine], source.format):
                problems += _of_source(source, session_type(engine), ("nodes", index, "sources", position))
        for position, sink in enumerate(node.sinks):
            if not isinstance(sink, FileDataSink) or sink.custom_writer is not None or not sink.writer_kwargs:
                continue
            if _at_hand(ENGINES[engine], sink.format, writer=True):
                problems += _of_sink(sink, session_type(engine), ("nodes", index, "sinks", position))
    return located(problems, pipeline._marks, SPELLINGS)


def _at_hand(engine: Capabilities, format_: str, *, writer: bool = False) -> bool:
    """Whether the engine and its reader or writer of a format are there to be asked."""
    support = engine.formats.get(format_)
    if support is None or (writer and not support.modes):
        return False
    return all(is_installed(module) for module in (engine.module, support.needs) if module)


def _of_source(source: FileDataSource, engine: type[Session], path: Path) -> Iterator[Problem]:
    what = f"the {source.format} reader"
    arguments = engine.arguments(source.format)
    if source.as_stream:
        arguments = [*arguments, *ENGINES[source.dataframe_backend.value].stream_options]
    yield from _unknown(source.reader_kwargs, arguments, what, (*path, "reader_kwargs"))
    valid = engine.reader_methods()
    for number, method in enumerate(source.reader_methods):
        if method.name not in valid:
            place = (*path, "reader_methods", number, "name")
            yield Problem(f"{what} has no method {method.name!r}", place, sorted(valid), closest(method.name, valid))


def _of_sink(sink: FileDataSink, engine: type[Session], path: Path) -> Iterator[Problem]:
    # told by the text alone: the plan refuses a path that can be no target
    directory = sink.format == "DELTA" or "partition_by" in sink.writer_kwargs or sink.path.endswith("/")
    format_ = "PARQUET" if sink.format == "DELTA" else sink.format
    valid = engine.arguments(format_, writer=True, directory=directory)
    # it makes a directory of what is a file so far: no argument yet, but what may be meant
    likely = [*valid, "partition_by"] if format_ == "PARQUET" else valid
    yield from _unknown(sink.writer_kwargs, valid, f"the {sink.format} writer", (*path, "writer_kwargs"), likely)


def _unknown(
    given: Iterable[str], valid: Collection[str], what: str, path: Path, likely: Collection[str] = ()
) -> Iterator[Problem]:
    for name in given:
        if name not in valid:
            message = f"{what} has no argument {name!r}"
            yield Problem(message, (*path, name), sorted(valid), closest(name, likely or valid), on_key=True)
