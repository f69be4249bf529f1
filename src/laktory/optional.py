"""The one door to optional packages."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING

from laktory.errors import MissingDependencyError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["install_line", "is_installed", "require"]

# module → extra of Laktory that installs it
_EXTRAS = {
    "deltalake": "delta",
    "duckdb": "duckdb",
    "fastexcel": "excel",
    "hypothesis": "testing",
    "networkx": "graph",
    "planck": "units",
    "pyarrow": "arrow",
    "pysail": "sail",
    "pyspark": "spark",
    "pytest": "testing",
    "xlsxwriter": "excel",
}


def is_installed(module: str) -> bool:
    """Whether a module can be imported."""
    return sys.modules.get(module) is not None or importlib.util.find_spec(module) is not None


def install_line(module: str) -> str:
    """How to install an optional module."""
    return f"install it with: pip install 'laktory[{_EXTRAS[module.partition('.')[0]]}]'"


def require(module: str, purpose: str) -> ModuleType:
    """Import an optional module, e.g. ``require("duckdb", "dataframe_backend: DUCKDB")``.

    Raises
    ------
    MissingDependencyError
        With the exact install line, when the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        msg = f"{purpose} needs the package {package!r}; {install_line(package)}"
        raise MissingDependencyError(msg) from None
