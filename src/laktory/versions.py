"""Versions of Laktory and of what it works with."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

from laktory._version import __version__

__all__ = ["print_version", "show_version_info"]

_PACKAGES = ("narwhals", "polars", "duckdb", "deltalake", "pyarrow", "pydantic", "sqlglot", "typer")


def show_version_info() -> str:
    """Versions of Laktory, Python, the system and the packages that are installed, one a line."""
    lines = [f"laktory: {__version__}", f"python: {platform.python_version()}", f"platform: {platform.platform()}"]
    for package in _PACKAGES:
        try:
            lines.append(f"{package}: {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{package}: not installed")
    return "\n".join(lines)


def print_version() -> None:
    """Print the version of Laktory."""
    sys.stdout.write(f"{__version__}\n")
