"""Runs in processes that may die: a warm one forks for each, so that a run costs milliseconds.

The warm process has imported everything and computed nothing; its children run a pipeline and are killed after their
n-th call that changes the file system. Two kinds of failpoint: those of Python (wrapped functions), and those of every
library in the process (``failpoints.c``, preloaded), which need a C compiler.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

HERE = Path(__file__).parent
SRC = HERE.parent.parent / "src"


@dataclass(frozen=True)
class Done:
    """How a run ended; `calls` as far as it could count them."""

    killed: bool
    calls: int
    error: str | None
    seconds: float


class Warm:
    """The warm process, started on first use; a context manager that ends it."""

    def __init__(self, library: Path | None = None) -> None:
        env = dict(os.environ, PYTHONPATH=f"{SRC}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        if library is not None:
            env |= {"LD_PRELOAD": str(library), "FAILPOINTS": str(library)}
        self._process = subprocess.Popen(
            [sys.executable, __file__], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def run(self, folder: Path, backend: str, **options: object) -> Done:
        """Run ``pipeline.json`` in a folder, or write ``in.parquet`` to the sink `write` (a mapping).

        Options: `kill_at` (number of a call, 0 for none), `torn` (a write there is made by half; preloaded only),
        `kill_after` (seconds), `kept_runs`, `checkpoint_every`, and those of `Pipeline.execute`.
        """
        job = {"folder": str(folder), "backend": backend, **options}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return Done(**json.loads(self._process.stdout.readline()))


def build(folder: Path) -> Path:
    """The library to preload.

    Raises
    ------
    OSError, subprocess.CalledProcessError
        Without a C compiler.
    """
    made = folder / "failpoints.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(made), str(HERE / "failpoints.c"), "-ldl"], check=True)
    return made


# ---- in the warm process -----------------------------------------------------------------------


class PythonPoints:
    """Counts the calls Python makes, and kills after one of them."""

    NAMES = (
        "chmod", "copy_file_range", "fsync", "ftruncate", "link", "mkdir", "pwrite", "rename", "replace", "rmdir",
        "sendfile", "truncate", "unlink", "utime", "write",
    )  # fmt: skip

    def __init__(self, kill_at: int) -> None:
        self.kill_at, self.calls = kill_at, 0

    def arm(self) -> None:
        import builtins
        import fcntl
        import io

        from laktory.storage import commits

        for name in self.NAMES:
            if hasattr(os, name):
                setattr(os, name, self._counted(getattr(os, name)))
        os.open = self._counted(os.open, lambda *args, **_: bool(args[1] & (os.O_CREAT | os.O_TRUNC)))
        builtins.open = io.open = self._counted(io.open, _writes)
        fcntl.flock = self._counted(fcntl.flock)
        commits.exchange = self._counted(commits.exchange)

    def _counted(self, function, counts=None):
        def call(*args, **kwargs):
            try:
                return function(*args, **kwargs)
            finally:
                if counts is None or counts(*args, **kwargs):
                    self.calls += 1
                    if self.calls == self.kill_at:
                        os.kill(os.getpid(), signal.SIGKILL)

        return call

    def count(self) -> int:
        return self.calls


def _writes(file, mode="r", *_args, **kwargs):
    return any(letter in kwargs.get("mode", mode) for letter in "wxa+")


class NativePoints:
    """Counts the calls of all libraries, and kills before one of them."""

    def __init__(self, kill_at: int, *, torn: bool) -> None:
        import ctypes

        self.library, self.kill_at, self.torn = ctypes.CDLL(os.environ["FAILPOINTS"]), kill_at, torn

    def arm(self) -> None:
        import ctypes

        self.library.failpoints_arm(ctypes.c_long(self.kill_at), int(self.torn))

    def count(self) -> int:
        import ctypes

        self.library.failpoints_count.restype = ctypes.c_long
        return self.library.failpoints_count()


def serve() -> None:
    _warm_up()
    for line in sys.stdin:
        print(json.dumps(_forked(json.loads(line))), flush=True)
    os._exit(0)  # nothing of it is needed, and DuckDB would complain of what is left


def _warm_up() -> None:
    """Everything that a run imports and builds but does not compute: threads of an engine do not survive a fork."""
    import gc
    import importlib

    import laktory
    from laktory import models

    home = Path(laktory.__file__).parent
    for file in home.rglob("*.py"):
        parts = file.relative_to(home.parent).with_suffix("").parts
        if parts[1] != "testing" and file.stem != "__main__":  # the tables of its rows are computed
            importlib.import_module(".".join(parts).removesuffix(".__init__"))
    for name in ("deltalake", "pyarrow.parquet", "pyarrow.dataset", "sqlglot", "xlsxwriter", "fastexcel"):
        importlib.import_module(name)
    source, sink = {"path": "a.csv", "format": "CSV"}, {"path": "b.csv", "format": "CSV"}
    step = {"nodes": [{"expr": "SELECT * FROM {df} WHERE id > 0"}]}
    node = {"name": "a", "source": source, "sinks": [sink], "transformer": step}
    models.Pipeline.model_validate({"name": "p", "nodes": [node]}).plan()
    gc.collect()
    gc.freeze()


def _forked(job: dict[str, object]) -> dict[str, object]:
    told, tell = os.pipe()
    kill_after, started = job.pop("kill_after", None), time.perf_counter()
    child = os.fork()
    if not child:
        os.close(told)
        error = None
        try:
            points = _child(job)
        except BaseException as failure:  # noqa: BLE001 - told to the test
            error, points = f"{type(failure).__name__}: {failure}", None
        os.write(tell, json.dumps({"error": error, "calls": points}).encode())
        os._exit(0)
    os.close(tell)
    if kill_after is not None and not select.select([told], [], [], kill_after)[0]:
        os.kill(child, signal.SIGKILL)
    with os.fdopen(told, "rb") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status)
    assert not killed or os.WTERMSIG(status) == signal.SIGKILL, status
    found = json.loads(text) if text else {"error": None, "calls": 0}
    return {"killed": killed, "seconds": time.perf_counter() - started, **found}


def _child(job: dict[str, object]) -> int:
    import atexit
    import gc

    from laktory import models
    from laktory.runtime import record
    from laktory.storage import delta

    folder, backend = str(job.pop("folder")), job.pop("backend")
    os.chdir(folder)
    sys.path.insert(0, folder)
    tempfile.tempdir = f"{folder}/tmp"
    record.KEPT_RUNS = job.pop("kept_runs", record.KEPT_RUNS)
    delta._CHECKPOINT_EVERY = job.pop("checkpoint_every", delta._CHECKPOINT_EVERY)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    kill_at, torn = job.pop("kill_at", 0), job.pop("torn", False)
    points = NativePoints(kill_at, torn=torn) if "FAILPOINTS" in os.environ else PythonPoints(kill_at)
    sink = job.pop("write", None)
    if sink is None:
        made = models.Pipeline.model_validate(json.loads(Path("pipeline.json").read_text()))
        made.dataframe_backend = backend
    else:
        source = models.FileDataSource(path="in.parquet", format="PARQUET", dataframe_backend=backend)
        made = models.FileDataSink.model_validate({**sink, "dataframe_backend": backend})
    points.arm()
    if sink is None:
        made.execute(**job)
    else:
        made.write(source.read())
    del made
    gc.collect()
    atexit._run_exitfuncs()
    return points.count()


if __name__ == "__main__":
    serve()
