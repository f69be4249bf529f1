"""Delta tables → a plan of Polars, for every engine: it knows deletion vectors, and columns that came later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from laktory.engines.errors import reason
from laktory.errors import SourceError
from laktory.optional import require
from laktory.paths import local_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

__all__ = ["scan_delta"]


def scan_delta(path: str, version: Any, kwargs: Mapping[str, Any]) -> pl.LazyFrame:
    """The rows of a version of a table, the latest for None, lazily.

    Parameters
    ----------
    kwargs : arguments of `polars.scan_delta`

    Raises
    ------
    SourceError
        It is no table, or cannot be read.
    """
    import polars as pl

    deltalake = require("deltalake", "the format DELTA")
    try:
        table = _table_type(deltalake.DeltaTable)(path, version=version, storage_options=kwargs.get("storage_options"))
        _refuse_unreachable(table, path)
        frame = pl.scan_delta(table, **kwargs)
        frame.collect_schema()
    except deltalake.exceptions.TableNotFoundError as error:
        msg = f"{path!r} is no Delta table"
        raise SourceError(msg) from error
    except deltalake.exceptions.DeltaError as error:
        wanted = f" has no version {version}, or" if version is not None else ""
        msg = f"{path!r}{wanted} cannot be read as a Delta table: {reason(error)}"
        raise SourceError(msg) from error
    return frame


def _table_type(base: Any) -> Any:
    class Table(base):  # type: ignore[misc]
        """A table whose files are found whatever its folder is called: deltalake gives that as part of a URL."""

        def file_uris(self, *args: Any, **kwargs: Any) -> list[str]:
            found: list[str] = super().file_uris(*args, **kwargs)
            root = _local_root(self)
            if root is None:
                return found
            return [unquote(root) + file[len(root) :] if file.startswith(root) else file for file in found]

    return Table


def _local_root(table: Any) -> str | None:
    uri: str = table.table_uri
    root = local_path(uri)
    return None if root is None else root.rstrip("/") + "/"


def _refuse_unreachable(table: Any, path: str) -> None:
    """Rows that a table says are deleted are looked up by the URL of their file."""
    root = _local_root(table)
    if root is not None and root != unquote(root) and "deletionVectors" in (table.protocol().reader_features or ()):
        msg = (
            f"{path!r}: a Delta table with deletion vectors cannot be read below a folder with spaces or signs of URLs"
        )
        raise SourceError(f"{msg} in its name ({unquote(root)!r}); rename the folder")
