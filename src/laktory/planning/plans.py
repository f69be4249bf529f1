"""The plan: plain data that the command line, the runner and every orchestrator read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from laktory.graph import Task
    from laktory.models.pipeline.pipeline import Pipeline
    from laktory.models.pipeline.pipelinenode import PipelineNode

__all__ = ["How", "NodePlan", "Plan", "ReadPlan", "WritePlan"]

How = Literal["written", "streamed", "fused", "materialised", "rescanned", "lazy"]
"""What happens to a node's frame.

``written``: computed once into its sinks. ``streamed``: the same for each batch of what is new.
``fused``: computed as part of its only consumer.
``materialised``: computed once into an intermediate file. ``rescanned``: only names a file, each consumer
scans it. ``lazy``: computed when its `output_df` is.
"""


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """One read. `label` is the placeholder it answers to; `via` says where a node's rows come from."""

    label: str
    kind: str
    what: str
    format: str | None = None
    via: Literal["", "this run", "primary sink"] = ""


@dataclass(frozen=True, slots=True)
class WritePlan:
    """One write. `typed`: reading it back gives the exact types that were written."""

    kind: str
    what: str
    format: str | None
    mode: str
    typed: bool


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One node of a plan.

    Attributes
    ----------
    engine : value of `dataframe_backend` in force
    how, why : what happens to its frame, and the reason
    upstream, consumers : nodes of the plan it waits for; nodes of the plan that read its frame
    task : orchestrator task it belongs to
    digest : hash of its resolved definition and those of everything it reads
    implicit : not selected, runs because a selected node reads it and it has no sink to read instead
    crosses_engines : a consumer works on another engine
    again : its frame may be computed several times, at little cost and with the same rows: it only names files
    """

    name: str
    engine: str
    reads: tuple[ReadPlan, ...]
    steps: tuple[str, ...]
    rules: tuple[str, ...]
    writes: tuple[WritePlan, ...]
    upstream: tuple[str, ...]
    consumers: tuple[str, ...]
    how: How
    why: str
    task: str
    digest: str
    implicit: bool = False
    crosses_engines: bool = False
    again: bool = False


@dataclass(frozen=True)
class Plan:
    """Nodes in the order they run.

    Attributes
    ----------
    pipeline : the resolved declaration the plan was made from, a snapshot
    nodes : in topological order
    tasks : how an orchestrator would group them
    selects : what was asked for, empty for everything
    digests : digest of every node of the pipeline, whatever was selected
    """

    pipeline: Pipeline = field(repr=False)
    nodes: tuple[NodePlan, ...]
    tasks: tuple[Task, ...]
    selects: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict, repr=False)

    @cached_property
    def by_name(self) -> Mapping[str, NodePlan]:
        """Node by name."""
        return {node.name: node for node in self.nodes}

    @property
    def node_names(self) -> list[str]:
        """Names in the order they run."""
        return [node.name for node in self.nodes]

    @property
    def nodes_dict(self) -> dict[str, PipelineNode]:
        """Declaration of each node of the plan by its name."""
        declared = self.pipeline.nodes_dict
        return {name: declared[name] for name in self.node_names}

    @property
    def tasks_dict(self) -> dict[str, Task]:
        """Task by name."""
        return {task.name: task for task in self.tasks}

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON-ready data."""
        return {
            "pipeline": self.pipeline.name,
            "selects": list(self.selects),
            "nodes": [asdict(node) for node in self.nodes],
            "tasks": [asdict(task) for task in self.tasks],
        }
