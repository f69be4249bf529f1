"""Declarations and capability records → Plan. Pure: reads and writes nothing."""

from laktory.planning.builder import plan
from laktory.planning.checks import pipeline_problems, sink_problems, source_problems
from laktory.planning.plans import NodePlan, Plan, ReadPlan, WritePlan

__all__ = ["NodePlan", "Plan", "ReadPlan", "WritePlan", "pipeline_problems", "plan", "sink_problems", "source_problems"]
