"""Another node of the pipeline as a source."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from laktory.errors import DefinitionError
from laktory.models.datasources.base import BaseDataSource
from laktory.models.pipelinechild import Upper

__all__ = ["PipelineNodeDataSource"]


class PipelineNodeDataSource(BaseDataSource):
    """The output of another node: what it produced in this run, else its primary sink."""

    type: Annotated[Literal["PIPELINE_NODE"], Upper] = Field(default="PIPELINE_NODE", description="Kind of source.")
    node_name: str = Field(description="Name of the upstream node.")

    @property
    def description(self) -> str:
        """The node's name."""
        return self.node_name

    @property
    def node(self) -> Any:
        """The upstream node.

        Raises
        ------
        DefinitionError
            If this source belongs to no pipeline, or the pipeline has no such node.
        """
        pipeline = self.parent_pipeline
        if pipeline is None:
            msg = f"source {self.node_name!r} is not attached to a pipeline"
            raise DefinitionError(msg)
        if self.node_name not in pipeline.nodes_dict:
            msg = f"node {self.node_name!r} does not exist in pipeline {pipeline.name!r}"
            raise DefinitionError(msg)
        return pipeline.nodes_dict[self.node_name]
