"""Declarative dataframe pipelines: one definition, on a laptop today and on a cluster tomorrow.

``import laktory as lk`` loads nothing heavy; each name below is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from laktory._version import __version__

if TYPE_CHECKING:
    from laktory import api, cli, datetime, enums, exceptions, models, narwhals_ext, typing, yaml
    from laktory.engines._spark.connection import get_spark_session, register_spark_session
    from laktory.expressions.sql import SQLParser
    from laktory.log import get_logger
    from laktory.settings import Settings, cache_dir, settings
    from laktory.versions import print_version, show_version_info

VERSION = __version__

__all__ = [
    "VERSION",
    "SQLParser",
    "Settings",
    "__version__",
    "api",
    "cache_dir",
    "cli",
    "datetime",
    "enums",
    "exceptions",
    "get_logger",
    "get_spark_session",
    "models",
    "narwhals_ext",
    "print_version",
    "register_spark_session",
    "settings",
    "show_version_info",
    "typing",
    "yaml",
]

_MODULES = frozenset({"api", "cli", "datetime", "enums", "exceptions", "models", "narwhals_ext", "typing", "yaml"})
_ATTRIBUTES = {
    "SQLParser": "laktory.expressions.sql",
    "Settings": "laktory.settings",
    "get_logger": "laktory.log",
    "get_spark_session": "laktory.engines._spark.connection",
    "register_spark_session": "laktory.engines._spark.connection",
    "print_version": "laktory.versions",
    "cache_dir": "laktory.settings",
    "settings": "laktory.settings",
    "show_version_info": "laktory.versions",
}


_PLANNED = {
    **dict.fromkeys(("dlt", "is_dlt_execute", "is_ldp_execute"), "Databricks pipelines"),
    **dict.fromkeys(("is_sdp_execute", "is_declarative_execute"), "declarative pipelines of Spark"),
    **dict.fromkeys(("dispatcher", "Dispatcher"), "running on Databricks"),
}
"""Names of other releases → what they belong to."""


def __getattr__(name: str) -> Any:
    if name in _PLANNED:
        from laktory.errors import UnsupportedNameError

        msg = f"'laktory.{name}' is not supported by this version of Laktory: {_PLANNED[name]}"
        raise UnsupportedNameError(msg)
    if name in _MODULES:
        return importlib.import_module(f"laktory.{name}")
    if name in _ATTRIBUTES:
        return getattr(importlib.import_module(_ATTRIBUTES[name]), name)
    msg = f"module 'laktory' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
