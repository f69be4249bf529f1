"""Readers and writers at the same time, in processes of their own, for `test_contention.py`."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laktory.engines.capabilities import ENGINES

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 500
FILES = {"CSV": "o.csv", "JSON": "o.json", "JSONL": "o.jsonl", "PARQUET": "o.parquet", "IPC": "o.arrow"}
FOLDERS = {"PARQUET": "folder/", "JSONL": "lines/"}


def files(engine: str) -> dict[str, str]:
    """Outputs of one file."""
    return {name: path for name, path in FILES.items() if name not in ENGINES[engine].folders}


def folders(engine: str) -> list[str]:
    """Outputs that are directories."""
    return [*FOLDERS.values(), *(path for name, path in FILES.items() if name not in files(engine))]


def sinks() -> list[dict[str, str]]:
    return [
        *({"path": path, "format": name} for name, path in [*FILES.items(), *FOLDERS.items()]),
        {"path": "o_delta", "format": "DELTA"},
    ]


def pipeline(engine: str, value: int, mode: str = "OVERWRITE", rows: int = ROWS) -> Any:
    """One node whose rows all hold the same value."""
    import polars as pl

    from laktory import models

    frame = pl.DataFrame({"v": [value] * rows, "n": list(range(rows))})
    node = {"name": "a", "source": {"df": frame}, "sinks": [sink | {"mode": mode} for sink in sinks()]}
    return models.Pipeline(name="p", dataframe_backend=engine, nodes=[node])


def overwrite(folder: str, engine: str, at_most: int = 100_000) -> dict[str, Any]:
    """Overwrite all sinks until a file says stop; the names of files and how folders were swapped."""
    from laktory.storage import commits

    os.chdir(folder)
    names: list[str] = []
    swaps: list[bool] = []
    plain: Callable[[str, str], bool] = commits.exchange

    def counted(first: str, second: str) -> bool:
        swaps.append(plain(first, second))
        return swaps[-1]

    commits.exchange = counted  # type: ignore[attr-defined]
    for value in range(at_most):
        pipeline(engine, value).execute()
        names += [str(file) for path in folders(engine) for file in Path(path).iterdir()]
        if Path("stop").exists():
            break
    return {"runs": value + 1, "names": len(names), "distinct": len(set(names)), "swaps": swaps}


def read(folder: str, engine: str, count: int) -> dict[str, Any]:  # noqa: C901 - one loop over many ways
    """Read by every way there is, `count` times each; what was not whole."""
    import deltalake
    import duckdb
    import polars as pl

    os.chdir(folder)
    deadline = time.monotonic() + 60
    while not Path("o_delta/_delta_log/00000000000000000000.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    ours = {sink.path: sink for sink in pipeline(engine, 0).nodes[0].sinks}
    polars: dict[str, Callable[[Any], Any]] = {
        "CSV": pl.read_csv, "JSON": pl.read_json, "JSONL": pl.read_ndjson, "PARQUET": pl.read_parquet,
        "IPC": pl.read_ipc,
    }  # fmt: skip
    kept = duckdb.connect()
    asked = {"CSV": "read_csv", "JSON": "read_json", "JSONL": "read_json", "PARQUET": "read_parquet"}

    def of_duckdb(connection: Any, name: str, path: str) -> Any:
        return connection.sql(f"SELECT * FROM {asked[name]}('{path}')").pl()

    def of_sink(path: str) -> Any:
        return ours[path].read().collect("polars").to_native()

    ways: dict[str, Callable[[], Any]] = {}
    handles: dict[str, tuple[Any, bytes]] = {}
    for name, path in files(engine).items():
        ways[f"polars {name}"] = lambda name=name, path=path: polars[name](path)
        ways[f"laktory {name}"] = lambda path=path: of_sink(path)
        if name in asked:
            ways[f"duckdb {name}"] = lambda name=name, path=path: of_duckdb(duckdb.connect(), name, path)
            ways[f"duckdb, one connection, {name}"] = lambda name=name, path=path: of_duckdb(kept, name, path)
        handle = Path(path).open("rb")  # noqa: SIM115 - one handle all the time
        handles[name] = (handle, handle.read())
    table = deltalake.DeltaTable("o_delta")
    first = pl.from_arrow(table.to_pyarrow_table())
    ways["deltalake"] = lambda: pl.from_arrow(deltalake.DeltaTable("o_delta").to_pyarrow_table())
    ways["laktory DELTA"] = lambda: of_sink("o_delta")
    ways["deltalake, one table"] = lambda: pl.from_arrow(table.to_pyarrow_table())
    over_folders = {f"laktory {path}": lambda path=path: of_sink(path) for path in folders(engine)}
    torn, missing, values = [], {}, set()
    for _ in range(count):
        for way, look in (ways | over_folders).items():
            try:
                frame = look().cast({"v": pl.Int64, "n": pl.Int64})  # texts of CSV stay texts
            except Exception as error:  # noqa: BLE001 - counted
                missing.setdefault(way, []).append(f"{type(error).__name__}: {error}"[:3000])
                continue
            seen = frame["v"].unique().to_list()
            if len(seen) != 1 or sorted(frame["n"].to_list()) != list(range(ROWS)):
                torn.append((way, frame.height, seen))
            if way == "deltalake, one table" and not frame.sort("n").equals(first.sort("n")):
                torn.append((way, frame.height, seen))
            values |= set(seen)
        for name, (handle, content) in handles.items():
            handle.seek(0)
            if handle.read() != content:
                torn.append((f"one handle, {name}", 0, []))
    Path("stop").touch()
    on_folders = {way: found for way, found in missing.items() if way in over_folders}
    return {
        "reads": count * len(ways), "torn": torn, "values": len(values), "folders": on_folders,
        "missing": {way: found for way, found in missing.items() if way not in over_folders},
    }  # fmt: skip


def can_exchange(folder: str) -> bool:
    """Whether two folders can trade places here."""
    one, two = Path(folder, "x1"), Path(folder, "x2")
    one.mkdir()
    two.mkdir()
    libc = ctypes.CDLL(None)
    return hasattr(libc, "renameat2") and not libc.renameat2(-100, bytes(one), -100, bytes(two), 2)


def append(folder: str, engine: str, writer: int, times: int, paths: dict[str, str], timeout: float) -> list[str]:
    """Append to shared targets again and again, as a pipeline of one's own; the messages of refused runs."""
    import polars as pl

    from laktory import models
    from laktory.errors import LaktoryError

    os.chdir(folder)
    os.environ["LAKTORY_LOCK_TIMEOUT"] = str(timeout)
    _begin_together(folder)
    refused = []
    for turn in range(times):
        frame = pl.DataFrame({"id": [writer * 10_000 + turn]})
        made = [{"path": path, "format": name, "mode": "APPEND"} for path, name in paths.items()]
        node = {"name": "a", "source": {"df": frame}, "sinks": made}
        try:
            models.Pipeline(name=f"p{writer}", dataframe_backend=engine, nodes=[node]).execute()
        except LaktoryError as error:
            refused.append(f"{writer * 10_000 + turn}: {error}")
    return refused


def append_foreign(folder: str, path: str, writer: int, times: int) -> list[str]:
    """Append to a Delta table with deltalake; the messages of what failed."""
    import deltalake
    import polars as pl

    os.chdir(folder)
    _begin_together(folder)
    refused = []
    for turn in range(times):
        frame = pl.DataFrame({"id": [writer * 10_000 + turn]}).to_arrow()
        try:
            deltalake.write_deltalake(path, frame, mode="append")
        except Exception as error:  # noqa: BLE001 - counted
            refused.append(f"{writer * 10_000 + turn}: {error}")
    return refused


def _begin_together(folder: str) -> None:
    """When the file `go` appears; what takes long has been imported by then."""
    import deltalake  # noqa: F401
    import narwhals  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    Path(folder, f"ready-{os.getpid()}").touch()
    deadline = time.monotonic() + 60
    while not Path(folder, "go").exists():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def names_after(folder: str) -> list[list[str]]:
    """Names of files in folders after each of some runs."""
    os.chdir(folder)
    found = []
    for engine in ("POLARS", "DUCKDB"):
        for mode in ("OVERWRITE", "APPEND"):
            pipeline(engine, 1, mode).execute()
            found.append([str(file) for path in folders(engine) for file in Path(path).iterdir()])
    return found
