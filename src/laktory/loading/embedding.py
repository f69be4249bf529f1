"""Values put into the middle of a text."""

from __future__ import annotations

import json
from datetime import date, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any

from laktory.loading.unresolved import UnresolvedError

__all__ = ["embedded"]


def embedded(value: Any, reference: str) -> str:
    """`value` as part of a longer text: true and false in lower case, dates in ISO form, lists and mappings as JSON.

    Raises
    ------
    UnresolvedError
        If it has no text: None and objects that are not plain values.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal, PurePath)):
        return str(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False, default=lambda item: embedded(item, reference))
    found = "None" if value is None else f"a {type(value).__name__}"
    msg = f"{reference!r} is {found}, which cannot stand inside a longer text"
    raise UnresolvedError(msg, hint="give it a text or a number, or write nothing but the reference", always=True)
