"""Text → plain values with positions; variables; settings.

``load`` reads YAML or JSON with everything it includes, ``resolve`` puts the values of variables in.
Names are imported on first use: the YAML parser and pydantic cost time that not every command needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from laktory.loading.document import Document, load
    from laktory.loading.variables import resolve
    from laktory.settings import Settings, settings

__all__ = ["Document", "Settings", "load", "resolve", "settings"]

_HOMES = {
    "Document": "laktory.loading.document",
    "Settings": "laktory.settings",
    "load": "laktory.loading.document",
    "resolve": "laktory.loading.variables",
    "settings": "laktory.settings",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
