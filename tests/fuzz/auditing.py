"""What an expression makes Python do: files opened, processes started, modules imported, code run, connections made.

An audit hook cannot be taken out again, so there is one, and it notes nothing until somebody listens. Reading a module
of an installed library, as lazy imports do, is no find.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_WATCHED = (
    "ctypes.",
    "ftplib.",
    "glob.",
    "os.",
    "shutil.",
    "smtplib.",
    "socket.",
    "subprocess.",
    "tempfile.",
    "urllib.",
    "webbrowser.",
)
_HARMLESS = {"os.putenv", "os.unsetenv", "os.listdir", "os.scandir"}
_LIBRARIES = tuple(
    str(Path(path)) for path in {*sysconfig.get_paths().values(), sys.base_prefix, *map(str, sys.path)} if path
)
_KNOWN = {
    "laktory",
    "narwhals",
    "polars",
    "duckdb",
    "pyarrow",
    "sqlglot",
    "encodings",
    "numpy",
    *sys.stdlib_module_names,
}

_listening: list[list[str]] = []
_installed: list[bool] = []


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _listening:
        return
    if event == "open":
        name, mode = str(args[0]), str(args[1] or "r")
        if set(mode) & set("wax+") or not name.startswith(_LIBRARIES) or not name.endswith((".py", ".pyc", ".so")):
            _listening[-1].append(f"open {name} {mode}")
    elif event == "import":
        if str(args[0]).partition(".")[0] not in _KNOWN:
            _listening[-1].append(f"import {args[0]}")
    elif event == "exec":
        code = str(getattr(args[0], "co_filename", ""))
        # modules of the standard library are frozen; dataclasses and named tuples are made from texts of their own
        if not code.startswith((*_LIBRARIES, "<frozen", "<string>")):
            _listening[-1].append(f"exec {code}")
    elif event.startswith(_WATCHED) and event not in _HARMLESS:
        _listening[-1].append(event)


@contextmanager
def audited() -> Iterator[list[str]]:
    """What happens inside, as far as it is watched."""
    if not _installed:
        sys.addaudithook(_hook)
        _installed.append(True)
    seen: list[str] = []
    _listening.append(seen)
    try:
        yield seen
    finally:
        _listening.pop()
