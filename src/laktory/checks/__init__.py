"""Data quality: which rows pass which rule, written once for every engine. Plans only; nothing is computed here."""

from laktory.checks.outcomes import act, check_of, is_fatal
from laktory.checks.rows import Failed, Rows, judge

__all__ = ["Failed", "Rows", "act", "check_of", "is_fatal", "judge"]
