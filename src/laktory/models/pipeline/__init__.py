"""Pipelines and their nodes."""

from laktory.models.pipeline.pipeline import Pipeline
from laktory.models.pipeline.pipelinenode import PipelineNode

__all__ = ["Pipeline", "PipelineNode"]
