"""What the tests of this room run in processes of their own: commands in a warm process, faults around them."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILES = {
    "CSV": "csv", "JSON": "json", "JSONL": "jsonl", "NDJSON": "ndjson", "PARQUET": "parquet", "IPC": "arrow",
    "AVRO": "avro", "EXCEL": "xlsx",
}  # fmt: skip
"""Formats of single files and directories that every engine writes."""


def own_process(module: str, function: str, *arguments: Any, timeout: float = 300, cwd: Path | None = None) -> Any:
    """What a function of a module of this room gives back in a new process; what it raises fails the test."""
    here = str(Path(__file__).parent)
    code = (
        f"import sys; sys.path[:0] = [{here!r}, {here + '/../engines'!r}]\n"
        f"import inside; inside._answer({module!r}, {function!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(arguments),
        capture_output=True,
        encoding="utf-8",
        timeout=timeout,
        check=False,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return json.loads(done.stdout.rpartition("\0")[2])


def _answer(module: str, function: str) -> None:
    import importlib

    try:
        found = getattr(importlib.import_module(module), function)(*json.loads(sys.stdin.read()))
    except BaseException:  # noqa: BLE001 - told by the parent
        traceback.print_exc()
        os._exit(1)
    sys.stdout.write("\0" + json.dumps(found, default=str))
    sys.stdout.flush()
    atexit._run_exitfuncs()
    os._exit(0)  # frames of failed runs keep engines alive


def command(*args: str) -> tuple[int, str, str]:
    """One command in this process: exit code, standard output, standard error."""
    from laktory.cli import app

    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app(list(args))
        except SystemExit as stop:
            code = stop.code
    return int(code or 0), out.getvalue(), err.getvalue()


def private_mounts() -> bool:
    """Give this process mounts that nobody else sees; whether the system allows it."""
    new_user, new_mounts, recursive_private = 0x10000000, 0x20000, 0x44000
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare"):
        return False
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(new_mounts if uid == 0 else new_user | new_mounts):
        return False
    if uid:
        with contextlib.suppress(OSError):
            Path("/proc/self/setgroups").write_text("deny")
        try:
            Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
            Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
        except OSError:
            return False
    if libc.mount(b"none", b"/", None, recursive_private, None):
        return False
    probe = Path(f"/tmp/laktory-probe-{os.getpid()}")
    probe.mkdir()
    allowed = mount("tmpfs", probe, "size=64k")
    if allowed:
        unmount(probe)
    probe.rmdir()
    return allowed


def quick_folder() -> tuple[Path, bool]:
    """A folder that every user may enter, in memory where mounts are allowed; whether they are."""
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    real = private_mounts()
    if real:
        assert mount("tmpfs", folder, "mode=755")
        atexit.register(unmount, folder)
    return folder, real


def mounts_allowed() -> bool:
    """Whether the tests here can make file systems of their own."""
    return bool(own_process("inside", "private_mounts"))


def mount(kind: str, place: Path, options: str = "", flags: int = 0, source: str = "none") -> bool:
    """Mount something; whether that was possible."""
    libc = ctypes.CDLL(None, use_errno=True)
    named = [os.fsencode(text) for text in (source, str(place), kind)]
    return not libc.mount(*named, ctypes.c_ulong(flags), options.encode())


def unmount(place: Path) -> None:
    lazily = 2
    ctypes.CDLL(None).umount2(os.fsencode(place), lazily)


@contextlib.contextmanager
def limited(what: int, soft: int) -> Iterator[None]:
    """A soft limit of this process, given back afterwards."""
    before = resource.getrlimit(what)
    resource.setrlimit(what, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


def tree(folder: Path, *, leave_out: Callable[[Path], bool] = lambda _: False) -> dict[str, str]:
    """Content of every file below a folder, by its name in it; folders end in a slash."""
    import hashlib

    return {
        str(path.relative_to(folder)) + ("/" if path.is_dir() else ""): ""
        if path.is_dir()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if not leave_out(path)
    }


def litter(folder: Path) -> list[str]:
    """What runs may not leave behind."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.name.startswith(".laktory-") or path.parent.name == "intents" or path.name.endswith((".tmp", ".lost"))
    )


def read_rows(path: Path, format_: str) -> list[Any]:
    """Column `id` of what lies there, in order, by readers that are not Laktory."""
    import polars as pl

    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    if format_ == "DELTA":
        import deltalake

        return sorted(pl.from_arrow(deltalake.DeltaTable(str(path)).to_pyarrow_table())["id"].to_list())  # type: ignore[index]
    readers: dict[str, Any] = {
        "CSV": pl.read_csv, "JSON": pl.read_json, "JSONL": pl.read_ndjson, "NDJSON": pl.read_ndjson,
        "PARQUET": pl.read_parquet, "IPC": pl.read_ipc, "AVRO": pl.read_avro, "EXCEL": pl.read_excel,
    }  # fmt: skip
    return sorted(value for file in files for value in readers[format_](file)["id"].to_list())
