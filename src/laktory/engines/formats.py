"""What files of a format are called, which files a path means, and what types a format holds."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING

from laktory.diagnostics import closest
from laktory.engines.capabilities import EXTENSIONS
from laktory.errors import SinkError, SourceError
from laktory.paths import local_path, path_kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    import narwhals as nw

__all__ = [
    "COMPRESSION",
    "compression_of",
    "extension",
    "foreign_entry",
    "list_files",
    "name_parts",
    "refuse_types",
]

COMPRESSION = MappingProxyType({".gz": "gzip", ".zst": "zstd"})
"""How a text file is compressed, by the end of its name."""

_SIGNS = re.compile(r"[*?\[\]]")
_NOT_IN_EXCEL = frozenset(
    {
        "Binary",
        "Duration",
        "Time",
        "List",
        "Map",
        "Struct",
        "Array",
        "Object",
        "Int128",
        "UInt128",
        "zoned Datetime",
        "empty Struct",
    }
)
_NOT_IN_AVRO = frozenset(
    {
        "Duration",
        "Time",
        "UInt64",
        "Int128",
        "UInt128",
        "Categorical",
        "Enum",
        "Array",
        "Map",
        "Object",
        "Unknown",
        "ns Datetime",
        "zoned Datetime",
    }
)
_NOT_IN_JSON = frozenset({"Binary", "Duration", "Map", "Object"})
_REFUSED = {
    "CSV": frozenset({"Binary", "Duration", "List", "Map", "Struct", "empty Struct", "Array", "Object"}),
    "JSON": _NOT_IN_JSON,
    "JSONL": _NOT_IN_JSON,
    "NDJSON": _NOT_IN_JSON,
    "PARQUET": frozenset({"Object", "empty Struct"}),
    "IPC": frozenset({"Object"}),
    "AVRO": _NOT_IN_AVRO,
    "EXCEL": _NOT_IN_EXCEL,
    "XML": frozenset({"Binary", "Map"}),
}
_WORDS = {
    "empty Struct": "a struct without fields",
    "ns Datetime": "a datetime in nanoseconds",
    "zoned Datetime": "a datetime with a time zone",
}


def extension(format: str) -> str:  # noqa: A002 - the field's name
    """Usual file extension of a format, with the dot."""
    return EXTENSIONS[format][0]


def compression_of(path: str, format: str) -> str | None:  # noqa: A002
    """``gzip`` or ``zstd`` when the name of a text file says so.

    Raises
    ------
    SinkError
        The format has no such compression.
    """
    compression = COMPRESSION.get(PurePath(path).suffix.lower())
    if format == "JSON" and compression == "zstd":
        msg = f"{path!r}: JSON is compressed as .gz only; JSONL also as .zst"
        raise SinkError(msg)
    return compression


def list_files(path: str, format: str) -> tuple[str, ...]:  # noqa: A002
    """Files a path means: itself, those below a directory in name order, or those a glob matches.

    Below a directory, names that start with ``.`` or ``_`` and files of other extensions are not data.
    A path that exists is meant literally, even with ``[`` in it. A URL stays as it is.

    Raises
    ------
    SourceError
        Nothing is there, or nothing of this format.
    """
    local = local_path(path)
    if local is None:
        return (path,)
    path, kind = local, path_kind(local)
    if kind == "directory":
        return _below(path, format)
    if kind == "file":
        return (path,)
    if kind == "pattern":
        found = [match for match in glob.glob(path, recursive=True) if not _hidden_match(match, path)]  # noqa: PTH207 - of text
        files = [file for file in found if not Path(file).is_dir()]
        if not files and found:
            return tuple(file for folder in sorted(found) for file in _below(folder, format))
        if not files:
            msg = f"no file matches {path!r}"
            raise SourceError(msg)
        return tuple(sorted(files, key=_by_parts))
    if os.path.islink(path):  # noqa: PTH114
        msg = f"{path!r} is a link to {os.readlink(path)!r}, which leads to nothing"  # noqa: PTH115
        raise SourceError(msg)
    parent = Path(path).parent
    hint = (
        closest(PurePath(path).name, [entry.name for entry in parent.iterdir() if not entry.name.startswith(".")])
        if parent.is_dir()
        else f"there is no folder {str(parent)!r}"
    )
    msg = f"{path!r} does not exist" + (f"; {hint}" if hint else "")
    raise SourceError(msg)


def foreign_entry(folder: str, format: str) -> str | None:  # noqa: A002
    """Something that a directory of this format does not hold; files whose names start with ``.`` or ``_`` may be."""
    for path, folders, files in os.walk(folder):
        for name in sorted(folders):
            if name.startswith("."):
                return f"{path}/{name}/"
        for name in sorted(files):
            if not name.startswith((".", "_")) and _suffix(name) not in EXTENSIONS[format]:
                return f"{path}/{name}"
    return None


def refuse_types(schema: nw.Schema, format: str, path: str) -> None:  # noqa: A002
    """Refuse columns a format cannot hold, before anything is written.

    Raises
    ------
    SinkError
        Names the column, its type and the format.
    """
    for name, dtype in schema.items():
        for kind, where in kinds_of(dtype, name):
            if kind in _REFUSED.get(format, ()):
                found = _WORDS.get(kind, f"type {kind}")
                msg = f"{path!r}: {format} cannot hold column {where!r}, {found}; cast it in the transformer"
                raise SinkError(msg)


def kinds_of(dtype: nw.dtypes.DType, where: str) -> Iterable[tuple[str, str]]:
    """The kind of a type and of those inside it, each with the place it stands at."""
    import narwhals as nw

    if isinstance(dtype, nw.Struct):
        yield ("Struct" if dtype.fields else "empty Struct"), where
        for field in dtype.fields:
            yield from kinds_of(
                field.dtype() if isinstance(field.dtype, type) else field.dtype, f"{where}.{field.name}"
            )
    elif isinstance(dtype, (nw.List, nw.Array)):
        yield type(dtype).__name__, where
        inner = dtype.inner
        yield from kinds_of(inner() if isinstance(inner, type) else inner, f"{where}[]")
    elif isinstance(dtype, nw.Map):
        yield "Map", where
        for inner in (dtype.key, dtype.value):
            yield from kinds_of(inner() if isinstance(inner, type) else inner, f"{where}[]")
    elif isinstance(dtype, nw.Datetime) and dtype.time_zone is not None:
        yield "zoned Datetime", where
    elif isinstance(dtype, nw.Datetime) and dtype.time_unit == "ns":
        yield "ns Datetime", where
    else:
        yield type(dtype).__name__, where


def _below(folder: str, format: str) -> tuple[str, ...]:  # noqa: A002
    if (Path(folder) / "_delta_log").is_dir():
        msg = f"{folder!r} is a Delta table, whose files also hold rows that it has no more; use the format DELTA"
        raise SourceError(msg)
    files = sorted(_walk(folder, set()), key=_by_parts)
    fitting = tuple(file for file in files if not EXTENSIONS[format] or _suffix(file) in EXTENSIONS[format])
    if fitting:
        return fitting
    wanted = " or ".join(EXTENSIONS[format])
    if not files:
        msg = f"{folder!r} holds no file; {wanted} files are expected"
        raise SourceError(msg)
    counts = Counter(_suffix(file) or "no extension" for file in files)
    found = ", ".join(f"{count} with {suffix}" for suffix, count in counts.most_common(3))
    msg = f"{folder!r} holds no {wanted} file for the format {format}, only {found}; name others with a glob"
    raise SourceError(msg)


def _walk(folder: str, visited: set[str]) -> Iterable[str]:
    real = os.path.realpath(folder)
    if real in visited:
        return
    visited.add(real)
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        msg = f"{folder!r} cannot be listed: {error.strerror}"
        raise SourceError(msg) from error
    for entry in entries:
        if entry.name.startswith((".", "_")):
            continue
        if os.path.isdir(entry.path):  # noqa: PTH112 - False for a link to itself
            yield from _walk(entry.path, visited)
        else:
            yield entry.path


def _hidden_match(match: str, pattern: str) -> bool:
    name = PurePath(match).name
    return name.startswith((".", "_")) and not PurePath(pattern).name.startswith(name[0])


def _by_parts(file: str) -> tuple[str, ...]:
    return PurePath(file).parts


def _suffix(file: str) -> str:
    path = PurePath(file)
    if path.suffix.lower() in COMPRESSION:
        path = path.with_suffix("")
    return path.suffix.lower()


def name_parts(folder: str, stem: str, format: str, ending: str = "") -> tuple[str, ...]:  # noqa: A002
    """Give the files that an engine wrote below a folder their final names; absolute paths in order.

    `ending`, behind that of the format, says how text is compressed.

    Signs of a glob in the names of folders are written as ``%2A``: readers take such a folder for no key.
    """
    root = Path(folder).absolute()
    found = sorted(Path(below) / name for below, _, names in os.walk(root) for name in names)
    files = []
    for index, path in enumerate(found):
        inner = root / _SIGNS.sub(lambda sign: f"%{ord(sign[0]):02X}", str(path.parent.relative_to(root)))
        target = inner / f"{stem}-{index:05}{extension(format)}{ending}"
        if inner != path.parent:
            inner.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        files.append(str(target))
    for below, folders, names in os.walk(root, topdown=False):
        if not folders and not names and Path(below) != root:
            Path(below).rmdir()
    return tuple(files)
