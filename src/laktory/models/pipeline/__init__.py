"""Pipelines and their nodes."""

from laktory.models.pipeline.pipeline import Pipeline, PipelineExecutionPlan
from laktory.models.pipeline.pipelinenode import PipelineNode

__all__ = ["Pipeline", "PipelineExecutionPlan", "PipelineNode"]
