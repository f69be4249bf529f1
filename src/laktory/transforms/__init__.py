"""Steps of a transformer: SQL and methods, written once over a session."""

from laktory.transforms.errors import StatementError
from laktory.transforms.steps import apply

__all__ = ["StatementError", "apply"]
