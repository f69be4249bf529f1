"""Builds a plan from a resolved pipeline."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laktory.diagnostics import Problem
from laktory.engines.capabilities import ENGINES
from laktory.expressions.extent import extent, may_stop
from laktory.graph import TaskCycleError, ancestors, group_tasks, select, sort
from laktory.models.base import SPELLINGS, is_variable
from laktory.models.datasinks import FileDataSink
from laktory.models.datasources import FileDataSource, PipelineNodeDataSource, TableDataSource
from laktory.models.problems import raise_located
from laktory.planning.checks import pipeline_problems, source_place
from laktory.planning.plans import NodePlan, Plan, ReadPlan, WritePlan
from laktory.planning.tables import is_table, table_key, table_sinks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from laktory.engines.capabilities import Capabilities
    from laktory.models.pipeline.pipeline import Pipeline
    from laktory.models.pipeline.pipelinenode import PipelineNode
    from laktory.planning.plans import How

__all__ = ["plan"]

_NO_EFFECT = ("comment", "tags", "execution_task_name", "root_path", "time_column", "primary_keys", "depends_on")


def plan(
    pipeline: Pipeline,
    selects: Sequence[str] | None = None,
    *,
    write_sinks: bool = True,
    named: Collection[str] = (),
    vars: Mapping[str, Any] | None = None,  # noqa: A002
    resolved: bool = False,
) -> Plan:
    """Order the nodes, choose what happens to each frame, and refuse what cannot work.

    Parameters
    ----------
    selects : node names, task names or tags, with ``*``; None for every node
    write_sinks : whether sinks will be written; without, nodes with sinks are like those without
    named : names of frames that will be given to the run
    vars : variables besides those of the definition
    resolved : the pipeline holds no variables any more

    Raises
    ------
    DefinitionError
        With every problem that needs no data to be seen.
    """
    if resolved:
        snapshot = pipeline
    else:
        copy = pipeline.inject_vars(vars=vars, strict=True)
        assert copy is not None
        snapshot = copy
        _keep_stand_ins(pipeline, snapshot)
    nodes = snapshot.nodes_dict
    order = snapshot.sorted_node_names
    problems = pipeline_problems(snapshot, named)
    if problems:
        raise_located(problems, snapshot._marks, SPELLINGS)
    upstream = {name: nodes[name].upstream_node_names for name in order}
    chosen, implicit = _chosen(nodes, upstream, selects)
    inside = {name: [other for other in upstream[name] if other in chosen] for name in order if name in chosen}
    builder = _Builder(snapshot, inside, implicit, _digests(nodes, order), write_sinks=write_sinks)
    return builder.build(tuple(selects or ()))


def _keep_stand_ins(pipeline: Pipeline, snapshot: Pipeline) -> None:
    """Frames that a script put in place of a source are not part of the definition; the snapshot needs them too."""
    for original, copy in zip(pipeline.nodes, snapshot.nodes, strict=True):
        for source, copied in zip([] if is_variable(original) else original.sources, copy.sources, strict=False):
            copied._df = None if is_variable(source) else source._df


def _chosen(
    nodes: Mapping[str, PipelineNode], upstream: Mapping[str, list[str]], selects: Sequence[str] | None
) -> tuple[set[str], set[str]]:
    """Nodes to run, and those of them that run only because they have no sink to read instead."""
    if not selects:
        return set(nodes), set()
    labels = {name: [node.execution_task_name, *node.tags] for name, node in nodes.items()}
    selected = select(upstream, selects, labels)
    reads = {name: [o for o in _read_names(nodes[name]) if not nodes[o].has_sinks] for name in nodes}
    implicit = ancestors(reads, selected) - selected
    return selected | implicit, implicit


def _read_names(node: PipelineNode) -> list[str]:
    """Nodes whose rows a node reads (`depends_on` only orders; a view reads none)."""
    return [] if node.is_view else node.read_node_names


class _Builder:
    """Walks the nodes once, in order."""

    def __init__(
        self,
        pipeline: Pipeline,
        upstream: Mapping[str, list[str]],
        implicit: set[str],
        digests: Mapping[str, str],
        *,
        write_sinks: bool,
    ) -> None:
        self.pipeline = pipeline
        self.nodes = pipeline.nodes_dict
        self.order = sort(upstream)
        self.upstream = upstream
        self.implicit = implicit
        self.write_sinks = write_sinks
        self.reads = {name: _read_names(self.nodes[name]) for name in self.order}
        self.consumers: dict[str, list[str]] = {name: [] for name in self.order}
        for name in self.order:
            for other in self.reads[name]:
                if other in self.consumers:
                    self.consumers[other].append(name)
        self.targets = {
            Path(os.path.realpath(sink.path))
            for name in self.order
            for sink in self.nodes[name].sinks
            if isinstance(sink, FileDataSink)
        }
        self.above_targets = {parent for target in self.targets for parent in target.parents}
        self.tables = {table_key(sink) for name in self.order for _, sink in table_sinks(self.nodes[name])}
        self.depth: dict[str, int] = {}
        self.hows: dict[str, How] = {}
        self.again: dict[str, bool] = {}
        self.judged = any(self.nodes[name].rules for name in self.order)
        self.digests = digests

    def build(self, selects: tuple[str, ...]) -> Plan:
        plans = tuple(self._node(name) for name in self.order)
        written = {name for name in self.order if self.nodes[name].has_sinks}
        leaves = {name for name in self.order if not self.consumers[name]}
        names = {name: self.nodes[name].execution_task_name for name in self.order}
        try:
            tasks = group_tasks(self.upstream, names, set(self.order) - written - leaves)
        except TaskCycleError as error:
            index = next(i for i, node in enumerate(self.pipeline.nodes) if node.execution_task_name_ in error.tasks)
            problem = Problem(str(error), ("nodes", index, "execution_task_name"), hint="give one of them another task")
            raise_located([problem], self.pipeline._marks, SPELLINGS)
        return Plan(self.pipeline, plans, tuple(tasks), selects, self.digests)

    def _node(self, name: str) -> NodePlan:
        node = self.nodes[name]
        how, why = self._how(name, node)
        self.hows[name] = how
        self.again[name] = again = self._may_be_computed_again(node) if self.judged else False
        steps = node.transformer.nodes if node.transformer else []
        return NodePlan(
            name=name,
            engine=node.dataframe_backend.value,
            reads=tuple(self._reads(node)),
            steps=tuple(_step_text(step) for step in steps),
            rules=tuple(f"{rule.name}: {rule.text} ({rule.action})" for rule in node.rules),
            writes=tuple(_write(node, sink) for sink in node.sinks),
            upstream=tuple(self.upstream[name]),
            consumers=tuple(self.consumers[name]),
            how=how,
            why=why,
            task=node.execution_task_name,
            digest=self.digests[name],
            implicit=name in self.implicit,
            crosses_engines=self._crosses(name, node),
            again=again,
        )

    def _how(self, name: str, node: PipelineNode) -> tuple[How, str]:
        consumers = self.consumers[name]
        steps = len(node.transformer.nodes) if node.transformer else 0
        depth = steps + sum(self.depth.get(other, 0) for other in self.reads[name])
        self.depth[name] = 0
        if node.has_streaming_source and self.write_sinks:
            return "streamed", "reads what is new since the last run, batch after batch"
        if node.has_sinks and self.write_sinks:
            view, rows = "is a view: its SQL is kept", "has sinks: computed once, consumers read what was written"
            return "written", view if node.is_view else rows
        if self._reads_a_target(node) and self.write_sinks:
            return "materialised", "reads a place that this run writes to: computed before it changes"
        if node.rules:
            return "materialised", "has rules: computed once, and judged"
        if not consumers:
            return "lazy", "no sink and no consumer: computed when its output is asked for"
        if self._crosses(name, node):
            return "materialised", f"read on another engine by {', '.join(consumers[:3])}"
        if len(consumers) > 1:
            if self._is_bare_file(node):
                return "rescanned", f"only names a {node.source.format} file: {len(consumers)} consumers scan it"
            return "materialised", f"{len(consumers)} consumers: computed once"
        if self._names(consumers[0], name) > 1:
            if self._is_bare_file(node):
                return "rescanned", f"only names a {node.source.format} file: {consumers[0]} scans it several times"
            return "materialised", f"{consumers[0]} reads it several times: computed once"
        if depth >= ENGINES[node.dataframe_backend.value].fuse_steps:
            return "materialised", f"ends a chain of {depth} steps, longer ones get slow"
        self.depth[name] = max(depth, 1)
        return "fused", f"no sink, one consumer: computed as part of {consumers[0]}"

    def _names(self, consumer: str, name: str) -> int:
        """How many frames of a consumer come from a node."""
        node = self.nodes[consumer]
        sources = sum(
            isinstance(source, PipelineNodeDataSource) and source.node_name == name for source in node.sources
        )
        steps = node.transformer.nodes if node.transformer else []
        return sources + sum(name in part.upstream_node_names for part in [*steps, *node.rules])

    def _reads_a_target(self, node: PipelineNode) -> bool:
        """Whether a source would show something else once the sinks of the run are committed."""
        if any(
            isinstance(source, TableDataSource) and table_key(source) in self.tables for source in node.external_sources
        ):
            return True
        places = [source_place(source) for source in node.external_sources if isinstance(source, FileDataSource)]
        return any(self._is_written_to(Path(place)) for place in places if place is not None)

    def _is_written_to(self, place: Path) -> bool:
        # rather read once too early than changed rows
        return place in self.above_targets or not self.targets.isdisjoint((place, *place.parents))

    def _crosses(self, name: str, node: PipelineNode) -> bool:
        return any(self.nodes[other].dataframe_backend != node.dataframe_backend for other in self.consumers[name])

    def _is_bare_file(self, node: PipelineNode) -> bool:
        source = node.source
        if node.transformer is not None or len(node.sources) != 1 or not isinstance(source, FileDataSource):
            return False
        options = (source.filter, source.selects, source.renames, source.drops, source.drop_duplicates)
        return ENGINES[node.dataframe_backend.value].formats[source.format].typed and not any(options)

    def _may_be_computed_again(self, node: PipelineNode) -> bool:
        """Whether its rows cost little to compute, and come out the same: of a file that keeps types, one by one."""
        source = node.source
        if len(node.sources) != 1 or source.drop_duplicates or source._df is not None:
            return False
        if isinstance(source, FileDataSource):
            there = not source.reader_methods and ENGINES[node.dataframe_backend.value].formats[source.format].typed
        else:
            name = getattr(source, "node_name", "")
            how = self.hows.get(name)
            there = how in {"written", "streamed", "materialised"} or (how == "fused" and self.again[name])
        engine, steps = ENGINES[node.dataframe_backend.value], node.transformer.nodes if node.transformer else ()
        texts = [text for text in (source.filter, *(source.selects or ())) if text and text.strip() != "*"]
        return (
            there
            # a bad value in a row that a rule drops would stop one engine and not the other
            and not (engine.lazy_casts and any(map(may_stop, texts)))
            and all(extent(text, "SQL") == "row" for text in texts)
            and all(_is_row_wise(step, engine) for step in steps)
        )

    def _reads(self, node: PipelineNode) -> Iterable[ReadPlan]:
        for position, source in enumerate(node.sources):
            label = "df" if position == 0 else f"sources.{source.name or position}"
            via = (
                ("this run" if source.node_name in self.upstream else "primary sink")
                if hasattr(source, "node_name")
                else ""
            )
            yield ReadPlan(label, source.type, source.description, getattr(source, "format", None), via)  # type: ignore[arg-type]
        named = list(node.transformer.upstream_node_names if node.transformer else ())
        named += [other for rule in node.rules for other in rule.upstream_node_names]
        for other in dict.fromkeys(named):
            yield ReadPlan(
                f"nodes.{other}", "PIPELINE_NODE", other, None, "this run" if other in self.upstream else "primary sink"
            )


def _is_row_wise(step: Any, engine: Capabilities) -> bool:
    if not hasattr(step, "expr"):
        return False
    from laktory.expressions.projection import is_row_wise

    text = step.statement(engine.dialect)
    return isinstance(text, str) and is_row_wise(text, engine.dialect, casts=not engine.lazy_casts)


def _digests(nodes: Mapping[str, PipelineNode], order: Iterable[str]) -> dict[str, str]:
    """Digest of each node: definition, engine and everything read. Equal digests give equal rows from equal sources."""
    digests: dict[str, str] = {}
    for name in order:
        node = nodes[name]
        plain = {
            "node": {key: value for key, value in node.to_plain().items() if key not in _NO_EFFECT},
            "engine": node.dataframe_backend.value,
            "api": node.dataframe_api,
            "reads": [digests[other] for other in _read_names(node)],
        }
        if node.parent_pipeline is not None and node.parent_pipeline.dialect is not None:
            plain["dialect"] = node.parent_pipeline.dialect
        # a frame held by Python counts as the same: taken for another one, it would be appended twice by a resumed run
        text = json.dumps(plain, sort_keys=True, default=lambda value: f"<{type(value).__name__}>")
        digests[name] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return digests


def _step_text(step: Any) -> str:
    if hasattr(step, "expr"):
        return "SQL: " + " ".join(step.expr.split())
    arguments = [repr(value) for value in step.func_args] + [
        f"{key}={value!r}" for key, value in step.func_kwargs.items()
    ]
    return f"{step.func_name}({', '.join(arguments)})"


def _write(node: PipelineNode, sink: Any) -> WritePlan:
    if is_table(sink):
        if sink.is_view:
            return WritePlan("VIEW", sink.full_name, None, "OVERWRITE", typed=False)
        return WritePlan("TABLE", sink.full_name, sink.format, sink.write_mode, typed=False)
    if not isinstance(sink, FileDataSink) or sink.custom_writer is not None:
        return WritePlan("CUSTOM", sink.custom_writer.func_name, getattr(sink, "format", None), "CUSTOM", typed=False)
    support = ENGINES[node.dataframe_backend.value].formats[sink.format]
    return WritePlan("FILE", sink.path, sink.format, sink.write_mode, support.typed)
