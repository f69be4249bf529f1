"""``laktory version``."""

from __future__ import annotations

from laktory.cli import console

__all__ = ["version"]


def version() -> None:
    """Print the versions of Laktory, of Python and of the packages it works with."""
    from laktory.versions import show_version_info

    console.out(show_version_info())
