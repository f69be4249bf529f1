"""Source positions, collected problems and how they are shown. Knows nothing of pipelines."""

from laktory.diagnostics.marks import Mark, Marks, Path, Position, field_name
from laktory.diagnostics.problems import Problem, closest, raise_problems, render

__all__ = [
    "Mark",
    "Marks",
    "Path",
    "Position",
    "Problem",
    "closest",
    "field_name",
    "raise_problems",
    "render",
]
