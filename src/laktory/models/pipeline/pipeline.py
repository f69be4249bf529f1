"""A pipeline: nodes that read from each other."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import pydantic
from pydantic import BeforeValidator, Field, PrivateAttr, computed_field

from laktory.diagnostics import MAX_SHOWN, Problem, closest
from laktory.graph import find_cycle, sort
from laktory.models.base import SPELLINGS, BaseModel, OrVariable, has_variable, is_variable
from laktory.models.datasources.file import Place
from laktory.models.pipeline.pipelinenode import NameText, PipelineNode
from laktory.models.pipelinechild import PipelineChild
from laktory.models.places import spread, written_marks
from laktory.models.problems import located, problems_of
from laktory.models.remainder import STAND_IN, is_plain, without
from laktory.optional import require

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import networkx as nx

    from laktory.diagnostics import Marks, Path
    from laktory.planning import Plan

__all__ = ["Pipeline", "PipelineExecutionPlan"]

_ROUNDS = 6
_PARTS = ("sources", "expectations", "sinks")
_UNSAFE = re.compile(r"[ .@{}\[\]$|]")


class Pipeline(PipelineChild):
    """Nodes and what they share. The same declaration in Python and in YAML."""

    planned: ClassVar = {
        "orchestrator": "orchestrators (Databricks, Airflow, Dagster)",
        "parameters": "run-time parameters",
        "options": "deployment options",
        "resource_options": "deployment options",
        "resource_name": "deployment options",
        "lookup_existing": "deployment options",
        "databricks_quality_monitor_enabled": "Databricks quality monitors",
    }

    name: NameText = Field(description="Name of the pipeline.")
    nodes: Annotated[list[OrVariable[PipelineNode]], BeforeValidator(lambda v: [] if v is None else v)] = Field(
        default=[], description="The nodes, in any order."
    )
    dependencies: list[str] = Field(default=[], description="pip requirements of remote runs.")
    imports: list[str] = Field(
        default=[], description="Modules imported before the first node; custom functions may come only from these."
    )
    dialect: str | None = Field(
        default=None,
        description="SQL dialect of its steps, e.g. `spark`; they are translated for each engine. "
        "Default: the engine's own words.",
    )
    root_path_: Place | None = Field(
        default=None,
        alias="root_path",
        exclude=True,
        description="Folder of run records. Default: `.laktory/pipelines/NAME`.",
    )

    _last_run: Any = PrivateAttr(default=None)

    def _problems(self) -> list[Problem]:
        return [*self._name_problems(), *self._reference_problems()]

    def _checked(self, marks: Marks | None) -> None:
        if marks is not None and marks.lines:
            spread(self, marks)
        problems = self._problems()
        if problems:
            self._refuse([*problems, *self._plan_problems(())])

    @classmethod
    def _further_problems(cls, value: Any, problems: Sequence[Problem]) -> list[Problem]:
        nodes = value.get("nodes") if isinstance(value, dict) else None
        if not isinstance(nodes, list) or not is_plain(value):
            return []
        rest, paths = {"name": STAND_IN, **value}, {problem.path for problem in problems}
        at_fault: set[Any] = set()
        for _ in range(_ROUNDS):
            at_fault |= {path[1] for path in paths if path[:1] == ("nodes",) and len(path) > 1}
            rest = without(rest, paths)
            try:
                pipeline = cls._validated(rest)
            except pydantic.ValidationError as error:
                paths = {problem.path for problem in problems_of(cls, error, rest)}
                continue
            named = [node.get("name") for node in nodes if isinstance(node, dict)]
            found = [
                *pipeline._name_problems(),
                *pipeline._reference_problems(named),
                *pipeline._plan_problems(at_fault),
            ]
            # a pipeline whose name is at fault has none
            return [replace(problem, message=problem.message.replace(f" {STAND_IN!r}", "")) for problem in found]
        return []

    def _plan_problems(self, at_fault: Collection[int]) -> list[Problem]:
        """What a plan would refuse, of the nodes that hold no variables; of those at fault already, what is left of
        their sources, rules and sinks.
        """
        from laktory.planning import pipeline_problems

        if is_variable(self.dataframe_backend_) or is_variable(self.dataframe_api_):
            return []
        chosen = [
            index
            for index, node in enumerate(self.nodes)
            if not is_variable(node) and not has_variable(node.to_plain()) and not node.name.startswith(STAND_IN)
        ]
        found = [
            problem
            for problem in pipeline_problems(self, only=chosen)
            if not (problem.path[:1] == ("nodes",) and set(problem.path[1:2]) & set(at_fault))
            or problem.path[2] in _PARTS
        ]
        return located(found, written_marks(self), SPELLINGS)

    def _name_problems(self) -> list[Problem]:
        problems: list[Problem] = []
        seen: dict[str, int] = {}
        for index, node in enumerate(self.nodes):
            if is_variable(node) or "${" in node.name:
                continue
            if node.name in seen:
                message = (
                    f"node {node.name!r} is declared twice in pipeline {self.name!r}, first as nodes[{seen[node.name]}]"
                )
                problems.append(Problem(message, ("nodes", index, "name")))
            seen.setdefault(node.name, index)
        return problems

    def _reference_problems(self, others: Collection[object] = ()) -> list[Problem]:
        """Unknown upstream nodes and cycles; nothing is said while variables may still name nodes.

        `others` are names of nodes that exist, though not here.
        """
        if any(is_variable(node) or "${" in node.name for node in self.nodes):
            return []
        upstream = self._upstream()
        names = {node.name for node in self.nodes}
        problems: list[Problem] = []
        for index, node in enumerate(self.nodes):
            for name in upstream[node.name] if len(names) == len(self.nodes) else node.upstream_node_names:
                if "${" not in name and name not in names and name not in others:
                    message = f"node {name!r} is not defined in pipeline {self.name!r}"
                    path, (line, column) = _reference(node, index, name)
                    others_here = (other for other in names - {node.name} if not other.startswith(STAND_IN))
                    valid = sorted(others_here) if len(problems) < MAX_SHOWN else []
                    problems.append(Problem(message, path, valid[:20], closest(name, valid), False, line, column))
        return [*problems, *self._cycle_problems(upstream)]

    def _cycle_problems(self, upstream: Mapping[str, list[str]]) -> Iterator[Problem]:
        """One for each circle, at a place where one of its nodes reads another."""
        left = {name: [other for other in others if other in upstream] for name, others in upstream.items()}
        places = {node.name: index for index, node in enumerate(self.nodes)}
        while (cycle := find_cycle(left)) is not None:
            message = (
                f"pipeline {self.name!r} is not a DAG (directed acyclic graph). "
                f"A circular dependency has been detected: {' → '.join(cycle)}"
            )
            reader, read = cycle[1], cycle[0]
            path, (line, column) = _reference(self.nodes[places[reader]], places[reader], read)
            yield Problem(message, path, hint="review what these nodes read", line=line, column=column)
            left = {
                name: [other for other in others if other not in cycle]
                for name, others in left.items()
                if name not in cycle
            }

    def _problems_after(self, part: BaseModel | None, ties: Any) -> list[Problem]:
        if not isinstance(part, PipelineNode) or part.name != ties[0]:
            return self._problems()
        # a node that only reads others now: an unknown one, or a circle through itself
        nodes = {node.name: node for node in self.nodes if not is_variable(node)}
        waiting, seen = [part.name], set()
        while waiting:
            for other in nodes[waiting.pop()].upstream_node_names:
                if other not in nodes or other == part.name:
                    return self._problems()
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        return []

    def _upstream(self) -> dict[str, list[str]]:
        return {node.name: node.upstream_node_names for node in self.nodes}

    # ---- what the definition says ------------------------------------------------------------

    @property
    def resolved_name(self) -> str:
        """The name with variables resolved."""
        return str(self.inject_vars_into_dump({"name": self.name})["name"])

    @property
    def safe_name(self) -> str:
        """The resolved name with each of ``. @ { } [ ] $ |`` and space replaced by ``-``."""
        return _UNSAFE.sub("-", self.resolved_name)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def root_path(self) -> FilePath:
        """Folder of run records and intermediate results."""
        if self.root_path_ is not None:
            return FilePath(self.root_path_)
        from laktory.settings import settings

        return FilePath(settings.runtime_root) / "pipelines" / self.safe_name

    @property
    def nodes_dict(self) -> dict[str, PipelineNode]:
        """Node by name; without those that are variables yet."""
        return {node.name: node for node in self.nodes if not is_variable(node)}

    @property
    def sorted_node_names(self) -> list[str]:
        """Names in an order in which each node comes after those it reads."""
        problems = self._problems()
        if problems:
            self._refuse(problems)
        return sort(self._upstream())

    @property
    def sorted_nodes(self) -> list[PipelineNode]:
        """Nodes in an order in which each comes after those it reads."""
        by_name = self.nodes_dict
        return [by_name[name] for name in self.sorted_node_names]

    @property
    def dag(self) -> nx.DiGraph[str]:
        """Nodes and what they read, as a graph of `networkx`: edges lead from a node to its consumers.

        Raises
        ------
        DefinitionError
            If nodes are missing, doubled, or read each other in a circle.
        MissingDependencyError
            If `networkx` is not installed.
        """
        graph = require("networkx", "Pipeline.dag").DiGraph()
        graph.add_nodes_from(self.sorted_node_names)
        graph.add_edges_from((other, name) for name, others in self._upstream().items() for other in others)
        return graph

    @property
    def data_sources(self) -> list[Any]:
        """Sources of all nodes."""
        return [source for node in self.nodes for source in node.data_sources]

    # ---- verbs -------------------------------------------------------------------------------

    def plan(self, selects: Sequence[str] | None = None) -> Plan:
        """What a run would do, without reading or writing anything.

        Raises
        ------
        DefinitionError
            With every problem that needs no data to be seen.
        """
        from laktory.planning import plan

        return plan(self, selects)

    def get_execution_plan(self, selects: Sequence[str] | None = None) -> Plan:
        """Same as `plan`, under the name that scripts use."""
        return self.plan(selects)

    def execute(
        self,
        write_sinks: bool = True,
        full_refresh: bool | None = None,
        named_dfs: Mapping[str, Any] | None = None,
        update_tables_metadata: bool = True,
        selects: Sequence[str] | None = None,
        use_orchestrator: bool = False,
        refresh: str | None = None,
        reset_mode: str | None = None,
        params: Mapping[str, str] | None = None,
        *,
        resume: bool = False,
        threads: int | None = None,
    ) -> None:
        """Run the pipeline; each node's `output_df` is then what it produced.

        Parameters
        ----------
        write_sinks : write the sinks
        full_refresh : replace what sinks hold, whatever their mode; same as ``refresh="FULL"``
        named_dfs : more frames by name, for ``{name}`` in SQL and method arguments
        update_tables_metadata : accepted for older scripts; files have no table metadata
        selects : node names, task names or tags; ``*x``, ``x*``, ``*x*`` add ancestors or descendants
        use_orchestrator : run by the orchestrator (none in this version)
        refresh : ``INCREMENTAL`` (default) or ``FULL``
        reset_mode, params : None; resetting by truncation and run-time parameters are not in this version
        resume : continue the last unfinished run: nodes it committed are not run again
        threads : nodes that may run side by side; default: chosen from the machine

        Raises
        ------
        DefinitionError, UnsupportedError
            If the definition or the call is wrong. Nothing was read or written.
        RunError
            If a node failed; an `ExceptionGroup` if several did.
        """
        from laktory.runtime.doors import execute_pipeline

        del update_tables_metadata
        execute_pipeline(
            self,
            write_sinks=write_sinks,
            full_refresh=full_refresh,
            refresh=refresh,
            named_dfs=named_dfs,
            selects=selects,
            use_orchestrator=use_orchestrator,
            reset_mode=reset_mode,
            params=params,
            resume=resume,
            threads=threads,
        )

    @property
    def last_run(self) -> Any:
        """Record of the last run of this object, or None."""
        return self._last_run

    def purge(self, mode: str | None = None) -> None:
        """Remove what the sinks of all nodes hold; `mode` as of a sink."""
        for node in self.sorted_nodes:
            node.purge(mode)


def PipelineExecutionPlan(pipeline: Pipeline, selects: Sequence[str] | None = None) -> Plan:  # noqa: N802
    """The plan of a pipeline, under the name that scripts use; see `Pipeline.plan`."""
    return pipeline.plan(selects)


def _reference(node: PipelineNode, index: int, name: str) -> tuple[Path, tuple[int | None, int | None]]:
    """Where a node names another one: path, and line and column inside the text."""
    here: Path = ("nodes", index)
    for position, source in enumerate(node.sources):
        if getattr(source, "node_name", None) == name:
            return (*here, "sources", position, "node_name"), (None, None)
    if name in node.depends_on:
        return (*here, "depends_on", node.depends_on.index(name)), (None, None)
    if node.transformer is not None and not is_variable(node.transformer):
        for position, step in enumerate(node.transformer.nodes):
            if not is_variable(step) and name in step.upstream_node_names:
                path, place = step.place_of(name)
                return (*here, "transformer", "nodes", position, *path), place
    for position, rule in enumerate(node.expectations):
        if not is_variable(rule) and name in rule.upstream_node_names:
            return (*here, "expectations", position, "references", "node"), (None, None)
    return here, (None, None)
