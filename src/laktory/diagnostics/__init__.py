"""Source positions, collected problems and how they are shown. Knows nothing of pipelines."""

from laktory.diagnostics.marks import Mark, Marks, Path, Position, Substitution, field_name
from laktory.diagnostics.problems import (
    MAX_SHOWN,
    Problem,
    closest,
    closest_file,
    place_in,
    placed,
    raise_problems,
    render,
)
from laktory.diagnostics.words import plain_words

__all__ = [
    "MAX_SHOWN",
    "Mark",
    "Marks",
    "Path",
    "Position",
    "Problem",
    "Substitution",
    "closest",
    "closest_file",
    "field_name",
    "place_in",
    "placed",
    "plain_words",
    "raise_problems",
    "render",
]
