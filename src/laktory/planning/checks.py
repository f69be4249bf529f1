"""Every refusal that needs no data: engines, formats, modes, targets, SQL text."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from laktory.diagnostics import Problem, closest, place_in
from laktory.engines.capabilities import ENGINES
from laktory.errors import ExpressionError
from laktory.models.base import is_variable
from laktory.models.datasinks import FileDataSink, TableDataSink
from laktory.models.datasources import CustomDataSource, FileDataSource, TableDataSource
from laktory.optional import install_line, is_installed
from laktory.paths import before_pattern, local_path, url_scheme
from laktory.planning.columns import stage_columns
from laktory.planning.order import order_problems
from laktory.planning.rules import rule_problems
from laktory.planning.streams import stream_problems
from laktory.planning.tables import iceberg_problem, meeting_problems, table_problems, view_problems, view_tables

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from laktory.diagnostics import Path
    from laktory.engines.capabilities import Capabilities
    from laktory.models.pipeline.pipeline import Pipeline
    from laktory.models.pipeline.pipelinenode import PipelineNode

__all__ = [
    "definition_problems",
    "node_problems",
    "pipeline_problems",
    "sink_problems",
    "source_place",
    "source_problems",
]

_IN_ROOT = ("intents", "lock", "runs")


def pipeline_problems(
    pipeline: Pipeline,
    named: Collection[str] = (),
    *,
    imported: bool = False,
    only: Collection[int] | None = None,
) -> list[Problem]:
    """Problems of all nodes and between them.

    Parameters
    ----------
    only : places of the nodes to judge, None for all
    named : names of frames that will be given to the run
    imported : the modules that the pipeline lists are imported; before, what they may register is not judged
    """
    complete = imported or not pipeline.imports
    problems = list(_import_list_problems(pipeline))
    problems += _root_problems(pipeline.root_path_)
    if not pipeline.nodes:
        problems.append(Problem(f"pipeline {pipeline.name!r} has no nodes", ("nodes",), hint="add at least one"))
    nodes = {node.name: node for node in pipeline.nodes if not is_variable(node)}
    columns = stage_columns(nodes, {name for name, node in nodes.items() if node.rules})
    for index, node in enumerate(pipeline.nodes):
        if only is not None and index not in only:
            continue
        found = [*node_problems(node, pipeline.imports, named, complete=complete)]
        found += rule_problems(node, columns.get(node.name))
        problems += [replace(problem, path=("nodes", index, *problem.path)) for problem in found]
    problems += _name_problems(pipeline)
    places = list(_places(pipeline))
    problems += _target_problems(pipeline, places)
    problems += order_problems(pipeline, places)
    problems += meeting_problems(pipeline)
    return _once_an_engine(problems)


def _once_an_engine(problems: list[Problem]) -> list[Problem]:
    """A missing engine is one problem, however many nodes want it."""
    seen: set[str] = set()
    kept = []
    for problem in problems:
        if problem.path[-1:] == ("dataframe_backend",):
            if problem.message in seen:
                continue
            seen.add(problem.message)
        kept.append(problem)
    return kept


def node_problems(
    node: PipelineNode, imports: Collection[str], named: Collection[str], *, complete: bool
) -> Iterator[Problem]:
    """Problems of one node; paths start at the node."""
    engine = ENGINES[node.dataframe_backend.value]
    if engine.module and not is_installed(engine.module):
        message = f"backend {engine.name!r} needs the package {engine.module!r}, which is not installed"
        yield Problem(message, ("dataframe_backend",), hint=install_line(engine.module))
    names = [source.name for source in node.sources]
    yield from _root_problems(node.root_path_)
    for index, source in enumerate(node.sources):
        if source.name and names.index(source.name) < index:
            message = f"two sources are named {source.name!r}: {{sources.{source.name}}} could be either"
            yield Problem(message, ("sources", index, "name"), hint="give each a name of its own")
        for problem in source_problems(source, engine, imports):
            yield replace(problem, path=("sources", index, *problem.path))
    for index, sink in enumerate(node.sinks):
        for problem in sink_problems(sink, engine, imports):
            yield replace(problem, path=("sinks", index, *problem.path))
    if node.is_view:
        yield from view_problems(node)
        for index, sink in enumerate(node.sinks):
            if isinstance(sink, TableDataSink):
                for problem in definition_problems(sink, node, engine):
                    yield replace(problem, path=("sinks", index, *problem.path))
    elif not node.sources and node.transformer is None:
        yield Problem(f"node {node.name!r} reads nothing: it has neither a source nor a transformer", ("name",))
    yield from _step_problems(node, engine, named, complete=complete)
    yield from stream_problems(node, engine)


def source_problems(source: Any, engine: Capabilities, imports: Collection[str]) -> Iterator[Problem]:
    """Problems of one source; paths start at the source."""
    if source.as_stream and not engine.streams:
        message = f"streaming reads are not supported by the {engine.name} backend of this version"
        yield Problem(message, ("as_stream",), hint="set 'as_stream: false'")
    if isinstance(source, CustomDataSource):
        yield from _import_problems(source.custom_reader.func_name, imports, ("custom_reader",))
    if isinstance(source, FileDataSource):
        yield from _path_problems(source.path)
        yield from _source_format_problems(source, engine)
    if isinstance(source, TableDataSource):
        yield from table_problems(source, engine)
    yield from _expression_problems(source)
    yield from _rename_problems(source)


def _rename_problems(source: Any) -> Iterator[Problem]:
    renames = source.renames or {}
    for old, new in renames.items():
        if not new.strip():
            yield Problem(f"a column needs a name, found {new!r}", ("renames", old))
        if list(renames.values()).count(new) > 1:
            yield Problem(f"two columns are renamed to {new!r}", ("renames", old), hint="give each a name of its own")
            return


def _source_format_problems(source: FileDataSource, engine: Capabilities) -> Iterator[Problem]:
    support = engine.formats.get(source.format)
    if support is None or not support.read:
        yield _format_problem(source.format, engine, "read", [n for n, found in engine.formats.items() if found.read])
        return
    yield from _module_problems(source.format, support.needs)
    scheme, remote = url_scheme(source.path), local_path(source.path) is None
    if remote and scheme not in engine.url_schemes:
        message = f"the {engine.name} backend cannot read {scheme!r} URLs"
        yield Problem(message, ("path",), sorted(engine.url_schemes) or "a path of the file system")
    elif remote and not support.urls:
        valid = [name for name, found in engine.formats.items() if found.urls]
        yield Problem(f"format {source.format!r} cannot be read from a URL", ("format",), valid)


def sink_problems(sink: Any, engine: Capabilities, imports: Collection[str]) -> Iterator[Problem]:
    """Problems of one sink; paths start at the sink."""
    yield from _complete_problems(sink)
    if sink.custom_writer is not None:
        yield from _import_problems(sink.custom_writer.func_name, imports, ("custom_writer",))
        return
    if isinstance(sink, TableDataSink):
        yield from table_problems(sink, engine)
    if not isinstance(sink, FileDataSink):
        return
    yield from _path_problems(sink.path)
    if "*" in sink.path:
        yield Problem(f"a sink writes to one place, and {sink.path!r} is a pattern", ("path",))
    if PurePath(sink.path).name in ("", "..") and not sink.path.endswith("/"):
        yield Problem(f"{sink.path!r} is a directory, not a file", ("path",), hint="name a file in it")
    support = engine.formats.get(sink.format)
    if support is None or not support.modes:
        yield _format_problem(sink.format, engine, "written", [n for n, found in engine.formats.items() if found.modes])
        return
    yield from _module_problems(sink.format, "xlsxwriter" if sink.format == "EXCEL" else support.needs)
    if sink.write_mode not in {*support.modes, "COMPLETE"}:
        message = f"mode {sink.write_mode!r} is not possible for the format {sink.format!r}"
        yield Problem(message, ("mode",), support.modes)
    if sink.writer_methods and not engine.writer_methods:
        message = f"the {engine.name} backend has no writer methods"
        yield Problem(message, ("writer_methods",), hint="use 'writer_kwargs'")
    if url_scheme(sink.path):
        message = f"writing to URLs is not supported by this version of Laktory: {sink.path!r}"
        yield Problem(message, ("path",), hint="write to a path of the file system")
    if "partition_by" in sink.writer_kwargs and not _may_partition(sink):
        message = "'partition_by' needs the format DELTA, or PARQUET and a path that ends in '/'"
        yield Problem(message, ("writer_kwargs", "partition_by"))
    if sink.path.endswith("/") and sink.format in ("AVRO", "EXCEL"):
        yield Problem(f"a directory of {sink.format} files cannot be written", ("path",), hint="name a file")


def _complete_problems(sink: Any) -> Iterator[Problem]:
    node = sink.parent_pipeline_node
    if sink.write_mode == "COMPLETE" and not (node is not None and node.has_streaming_source):
        yield Problem("the mode 'COMPLETE' is for nodes that read a stream", ("mode",), hint="use OVERWRITE")


def _format_problem(format_: str, engine: Capabilities, what: str, valid: list[str]) -> Problem:
    if format_ == "ICEBERG":
        return iceberg_problem(engine)
    message = f"format {format_!r} cannot be {what} with the {engine.name} backend"
    return Problem(message, ("format",), valid, closest(format_, valid))


def _root_problems(place: object) -> Iterator[Problem]:
    if place is None:
        return
    if url_scheme(str(place)):
        yield Problem(f"the root path is a folder of the file system, found {str(place)!r}", ("root_path",))
    for problem in _path_problems(str(place)):
        yield replace(problem, path=("root_path",))


def _path_problems(path: str) -> Iterator[Problem]:
    """Where a path means nothing of the kind that its author has in mind, a file of that very name would be made."""
    if found := re.search(r"\$\{(\w*)\}", path):
        hint = f"write '${{vars.{found[1] or 'NAME'}}}' for a variable"
        yield Problem(f"{found[0]!r} stands for nothing", ("path",), hint=hint)
    if re.match(r"~\w*(/|$)", path):
        yield Problem(
            f"'~' does not stand for a home directory here: {path!r}", ("path",), hint="write '${vars.HOME}/…'"
        )


def _may_partition(sink: FileDataSink) -> bool:
    return sink.format == "DELTA" or (sink.format == "PARQUET" and sink.path.endswith("/"))


def _module_problems(format_: str, module: str | None) -> Iterator[Problem]:
    if module and not is_installed(module):
        message = f"format {format_!r} needs the package {module!r}, which is not installed"
        yield Problem(message, ("format",), hint=install_line(module))


def _import_problems(func_name: str, imports: Collection[str], path: Path) -> Iterator[Problem]:
    module = func_name.rpartition(".")[0]
    if not any(module == name or module.startswith(f"{name}.") for name in imports):
        message = f"{func_name!r} is not in a module that the pipeline lists in 'imports'"
        yield Problem(message, path, hint=f"add {module!r} to the pipeline's 'imports'")
        return
    # imported by now when a run asks, not yet when a definition is only validated
    found, function = sys.modules.get(module), func_name.rpartition(".")[2]
    if found is not None and not callable(getattr(found, function, None)):
        yield Problem(f"module {module!r} has no function {function!r}", path, hint=closest(function, dir(found)))


def _import_list_problems(pipeline: Pipeline) -> Iterator[Problem]:
    for index, name in enumerate(pipeline.imports):
        package = name.partition(".")[0]
        if not all(part.isidentifier() for part in name.split(".")):
            yield Problem(f"{name!r} is not the name of a module", ("imports", index), hint="write 'package.module'")
            continue
        if not is_installed(package):
            yield Problem(
                f"there is no module {package!r}", ("imports", index), hint="install it, or run where it lies"
            )


def _expression_problems(source: Any) -> Iterator[Problem]:
    """Post-read options hold SQL expressions: compile them now."""
    texts: list[tuple[Path, str]] = [(("filter",), source.filter)] if source.filter else []
    if isinstance(source.selects, dict):
        texts += [(("selects", key), key) for key in source.selects]
    elif source.selects:
        texts += [(("selects", index), text) for index, text in enumerate(source.selects) if text.strip() != "*"]
    if not texts:
        return
    from laktory.expressions.sql import compile_sql, is_aggregate, output_name, parse_sql, reads_rows

    whole, rows, names = [], [], set()
    for path, text in texts:
        on_key = isinstance(source.selects, dict) and path[0] == "selects"
        try:
            compile_sql(text)
            tree = parse_sql(text)
        except ExpressionError as error:
            line, column = place_in(text, error.offset)
            yield Problem(str(error), path, on_key=on_key, line=line, column=column)
            continue
        if path[0] == "selects":
            name = source.selects[text] if on_key else output_name(tree)
            if name in names:
                message = f"two selected columns are named {name!r}"
                yield Problem(message, path, hint="name one of them with AS", on_key=on_key)
            names.add(name)
        if not is_aggregate(tree):
            rows += [path] if path[0] == "selects" and reads_rows(tree) else []
        elif path[0] == "filter":
            message = "a filter judges each row, and an aggregate is one value of all rows"
            yield Problem(message, path, hint="compare with it in a SQL step")
        elif reads_rows(tree):
            hint = "write … OVER (PARTITION BY …), or a step"
            yield Problem("a column stands beside an aggregate of all rows", path, hint=hint, on_key=on_key)
        else:
            whole.append(Problem("'selects' mixes columns with aggregates of all rows", path, on_key=on_key))
    if whole and (rows or "*" in (source.selects or ())):
        yield replace(whole[0], hint="select columns or aggregates, or write … OVER (PARTITION BY …)")


def _step_problems(
    node: PipelineNode, engine: Capabilities, named: Collection[str], *, complete: bool
) -> Iterator[Problem]:
    if node.transformer is None:
        return
    from laktory.planning.methods import method_problems
    from laktory.settings import settings

    files: bool = settings.allow_sql_files

    steps = node.transformer.nodes
    known = {*(["df"] if node.sources else []), *named, *(f"nodes.{name}" for name in node.upstream_node_names)}
    known |= {f"sources.{source.name}" for source in node.sources if source.name}
    for index, step in enumerate(steps):
        path: Path = ("transformer", "nodes", index)
        if hasattr(step, "expr"):
            options: Any = {"files": files, "misreads": engine.misreads}
            for problem in _statement_problems(step, engine.dialect, known, options):
                yield replace(problem, path=(*path, *problem.path))
        elif index == 0 and not node.sources:
            message = f"node {node.name!r} has no source, so its first step must be SQL"
            yield Problem(message, path, hint="add a source, or start with an 'expr'")
        else:
            for problem in method_problems(step, engine, known, complete=complete):
                yield replace(problem, path=(*path, *problem.path))
        known.add("df")
        for position, source in enumerate(getattr(step, "written_sources", ())):
            for problem in source_problems(source, engine, ()):
                yield replace(problem, path=path, message=f"source {position} in the arguments: {problem.message}")


def definition_problems(sink: TableDataSink, node: PipelineNode | None, engine: Capabilities) -> Iterator[Problem]:
    """Problems of the SQL that a view has of its own; paths start at the sink."""
    if sink.view_definition is not None:
        tables = view_tables(node) if node is not None else {}
        known = [key for key, parts in tables.items() if parts is not None]
        options = {"misreads": engine.misreads}
        for problem in _statement_problems(sink.view_definition, engine.dialect, known, options):
            yield replace(problem, path=("view_definition", *problem.path))


def _statement_problems(
    step: Any, dialect: str, known: Collection[str], options: Mapping[str, Any]
) -> Iterator[Problem]:
    from laktory.expressions.statement import statement_problems
    from laktory.expressions.translation import dialect_problem

    if step.dialect and (problem := dialect_problem(step.dialect)) is not None:
        yield replace(problem, path=("dialect",))
        return
    text = step.statement(dialect)
    if isinstance(text, Problem):
        yield replace(text, path=("expr",))
        return
    for problem in statement_problems(text, dialect, known, **options):
        yield replace(problem if text == step.expr else _of_translation(problem, text), path=("expr", *problem.path))


def _of_translation(problem: Problem, text: str) -> Problem:
    """A place in a translated statement is none in the user's file."""
    return replace(problem, line=None, column=None, hint=f"translated, the statement is: {' '.join(text.split())}")


def _name_problems(pipeline: Pipeline) -> Iterator[Problem]:
    """Names that become folders of the root path."""
    for index, node in enumerate(pipeline.nodes):
        if not is_variable(node) and node.name.casefold() in _IN_ROOT:
            message = f"{node.name!r} is what Laktory itself keeps in the root path of a pipeline"
            yield Problem(message, ("nodes", index, "name"), hint="give the node another name")
    long = next((part for part in pipeline.root_path.parts if len(os.fsencode(part)) > 255), None)
    if long is not None:
        message = f"the root path holds a name of {len(os.fsencode(long))} bytes, and file systems take 255"
        hint = "set 'root_path', or shorten the name"
        yield Problem(message, ("root_path",) if pipeline.root_path_ is not None else ("name",), hint=hint)


class _Place(NamedTuple):
    """Where a sink writes."""

    target: str
    node: PipelineNode
    sink: FileDataSink
    at: Path

    @property
    def path(self) -> str:
        return self.sink.path

    @property
    def folder(self) -> bool:
        return self.sink.format != "DELTA" and self.sink.path.endswith("/")


def _places(pipeline: Pipeline) -> Iterator[_Place]:
    for index, node in enumerate(pipeline.nodes):
        if is_variable(node):
            continue
        for position, sink in enumerate(node.sinks):
            if not isinstance(sink, FileDataSink) or sink.custom_writer is not None or url_scheme(sink.path):
                continue
            yield _Place(os.path.realpath(PurePath(sink.path)), node, sink, ("nodes", index, "sinks", position, "path"))


def _target_problems(pipeline: Pipeline, places: Sequence[_Place]) -> Iterator[Problem]:
    """Sinks that would undo one another, or what the pipeline needs."""
    from laktory.settings import settings

    seen: dict[str, str] = {}
    for place in places:
        where = f"nodes[{place.at[1]}].sinks[{place.at[3]}]"
        if place.target in seen:
            message = f"{where} writes to {place.path!r}, as {seen[place.target]} does: one would undo the other"
            yield Problem(message, place.at)
        seen.setdefault(place.target, where)
    written = {os.path.realpath(name): name for name in (pipeline._marks.lines if pipeline._marks else ())}
    kept = {f"{os.path.realpath(pipeline.root_path)}/{name}" for name in _IN_ROOT}
    for place in places:
        parents = list(map(str, PurePath(place.target).parents))
        around = next((folder for folder in parents if folder in seen), None)
        if around is not None:
            message = f"{place.path!r} lies inside the place that {seen[around]} writes to"
            yield Problem(message, place.at, hint="write to a path of its own")
        if place.target in written:
            yield Problem(f"{place.path!r} is a file of this definition: the run would replace it", place.at)
        if not kept.isdisjoint([place.target, *parents]):
            yield Problem(f"{place.path!r} is where Laktory keeps its records of runs", place.at)
    folders = {place.target: place for place in places if place.folder}
    needed = [(os.path.realpath(pipeline.root_path), "the root path of the pipeline, with its records of runs")]
    needed += [(os.path.realpath(settings.runtime_root), "the runtime root, with records of runs")]
    reported: set[str] = set()
    for path, what in [*((f"{path}/lock", what) for path, what in needed), *_read_places(pipeline)]:
        around = next((folder for folder in map(str, PurePath(path).parents) if folder in folders), None)
        if around is not None and around not in reported:
            reported.add(around)
            message = f"{folders[around].path!r} holds {what}; a sink replaces all that its directory holds"
            yield Problem(message, folders[around].at, hint="write to a folder of its own")


def _read_places(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    for node in pipeline.nodes:
        if is_variable(node):
            continue
        for source in node.external_sources:
            if isinstance(source, FileDataSource) and (place := source_place(source)) is not None:
                yield place, f"{source.path!r}, a source of node {node.name!r}"


def source_place(source: FileDataSource) -> str | None:
    """The file or folder that a source is about, of a pattern the folder before it; None for a URL."""
    path = local_path(source.path)
    return None if path is None else os.path.realpath(before_pattern(path))
