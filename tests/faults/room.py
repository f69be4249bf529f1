"""Runs that meet a full, closed or read-only place: what `test_places_full.py` looks at, in one process per engine."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import tempfile
from pathlib import Path
from typing import Any

from inside import FILES, command, limited, litter, mount, quick_folder, read_rows, tree, unmount

ROWS = 3_000
PAGE = 4096
READ_ONLY, BIND, REMOUNT = 1, 4096, 32


def targets() -> dict[str, tuple[str, str]]:
    """Name of a case → format and path of its sink."""
    found = {f"{name} file": (name, f"place/out.{ending}") for name, ending in FILES.items()}
    found |= {f"{name} folder": (name, "place/out/") for name in FILES if name not in ("AVRO", "EXCEL")}
    return found | {"DELTA": ("DELTA", "place/out")}


def project(folder: Path, engine: str, format_: str, path: str, mode: str = "OVERWRITE", **more: Any) -> None:
    """A pipeline of one node in a folder of its own, with few rows; the working directory is there."""
    (folder / "place").mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    sink = {"path": path, "format": format_, "mode": mode}
    node = {"name": "a", "source": {"path": "in.parquet", "format": "PARQUET"}, "sinks": [sink]}
    definition = {"name": "p", "dataframe_backend": engine, "nodes": [node], **more}
    Path("pipeline.yaml").write_text(json.dumps(definition))
    source(3)


def source(rows: int) -> None:
    import polars as pl

    ids = range(rows)
    pl.DataFrame({"id": ids, "s": [os.urandom(50).hex() for _ in ids]}).write_parquet("in.parquet")


def facts(case: str, form: str, before: dict[str, str], failed: tuple[int, str, str]) -> dict[str, Any]:
    """What a failed run left."""
    return {
        "case": case, "form": form, "code": failed[0], "err": failed[2],
        "same": tree(Path("place"), leave_out=lambda path: path.name == "filler") == before,
        "litter": litter(Path()),
    }  # fmt: skip


def again(found: dict[str, Any], path: str, format_: str) -> dict[str, Any]:
    """The next run, once the fault is gone."""
    code, _, err = command("run", "-q")
    rows = read_rows(Path(path.rstrip("/")), format_) if not code else []
    return found | {"next": code, "next_err": err, "rows": len(rows), "left": litter(Path())}


def full(engine: str, names: list[str], real: bool) -> list[dict[str, Any]]:
    """No room for what is staged: a small file system, or a limit of the size of files."""
    root, _ = quick_folder()
    cases = []
    for case in names:
        format_, path = targets()[case]
        folder = root / case.replace(" ", "-")
        (folder / "place").mkdir(parents=True)
        if real:
            assert mount("tmpfs", folder / "place", "size=64k")
        project(folder, engine, format_, path)
        code, _, err = command("run", "-q")
        assert code == 0, err
        before = tree(Path("place"))
        source(ROWS)
        if real:
            cases.append(facts(case, "file system", before, command("run", "-q")))
            assert mount("tmpfs", folder / "place", "size=64m", REMOUNT)
        else:
            with limited(resource.RLIMIT_FSIZE, 50_000):
                failed = command("run", "-q")
            cases.append(facts(case, "limit", before, failed))
        cases[-1] = again(cases[-1], path, format_)
        os.chdir(root)
        if real:
            unmount(folder / "place")
    return cases


def full_of_temporary_files(engine: str) -> dict[str, Any]:
    """No room for temporary files, plenty at the target."""
    root, _ = quick_folder()
    folder, temporary = root / "project", root / "temporary"
    project(folder, engine, "JSON", "place/out.json")
    code, _, err = command("run", "-q")
    assert code == 0, err
    temporary.mkdir()
    assert mount("tmpfs", temporary, "size=64k")
    tempfile.tempdir = str(temporary)
    source(ROWS)
    found = facts("JSON file", "temporary files", tree(Path("place")), command("run", "-q"))
    tempfile.tempdir = None
    return again(found, "place/out.json", "JSON")


def sweep(engine: str, what: str, steps: list[int]) -> list[dict[str, Any]]:
    """No room at one step of a run after the other, for locks, records, staged files and commits alike.

    The steps are "pages" or "files" that are left of a file system which holds the whole project, or a limit of the
    "size" of files.
    """
    real = what != "size"
    root, _ = quick_folder()
    cases = []
    for case in ("CSV file", "PARQUET folder", "DELTA"):
        format_, path = targets()[case]
        target = Path(path.rstrip("/"))
        for step in steps:
            folder = root / f"{case.replace(' ', '-')}-{step}"
            folder.mkdir(parents=True)
            if real:
                assert mount("tmpfs", folder, "size=4m,nr_inodes=200")
            project(folder, engine, format_, path, mode="APPEND")
            code, _, err = command("run", "-q")
            assert code == 0, err
            old = read_rows(target, format_)
            source(200)
            if real:
                fill(folder, what, step)
            with contextlib.nullcontext() if real else limited(resource.RLIMIT_FSIZE, step):
                code, _, err = command("run", "-q")
            seen = read_rows(target, format_)
            for filler in folder.glob("filler*"):
                filler.unlink()
            next_code, _, next_err = command("run", "-q", "--resume") if code else (0, "", "")
            cases.append({
                "case": case, "step": step, "code": code, "err": err, "old": old, "seen": seen, "next": next_code,
                "next_err": next_err, "rows": read_rows(target, format_), "left": litter(folder),
            })  # fmt: skip
            os.chdir(root)
            if real:
                unmount(folder)
    return cases


def fill(folder: Path, what: str, free: int) -> None:
    """Leave so many pages, or files."""
    found = os.statvfs(folder)
    if what == "files":
        for number in range(found.f_ffree - free):
            (folder / f"filler{number}").touch()
        return
    with (folder / "filler").open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, (found.f_bavail - free) * PAGE)


def closed(engine: str) -> list[dict[str, Any]]:
    """A folder that may not be written to, and where the system allows it a file system that is read-only."""
    nobody = 65534
    root, real = quick_folder()
    cases = []
    for case, (format_, path) in targets().items():
        folder = root / case.replace(" ", "-")
        project(folder, engine, format_, path)
        for place in (folder, *folder.rglob("*")):
            place.chmod(0o777)
            code, _, err = command("run", "-q")
        assert code == 0, err
        for place in (folder / ".laktory").rglob("*"):
            place.chmod(0o777)
        before = tree(Path("place"))
        (folder / "place").chmod(0o555)
        if os.getuid() == 0:
            os.seteuid(nobody)
        failed = command("run", "-q")
        if os.getuid() == 0:
            os.seteuid(0)
        (folder / "place").chmod(0o777)
        cases.append(again(facts(case, "permission", before, failed), path, format_))
        if real:
            before = tree(Path("place"))
            place = folder / "place"
            assert mount("", place, "", BIND, str(place))
            assert mount("", place, "", BIND | REMOUNT | READ_ONLY)
            cases.append(facts(case, "read-only", before, command("run", "-q")))
            unmount(place)
            cases[-1] = again(cases[-1], path, format_)
    return cases


def handles(engine: str, names: list[str], frees: list[int]) -> list[dict[str, Any]]:
    """A process that may open no more files, at one step of a run after the other."""
    limit = 300
    root, _ = quick_folder()
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    cases = []
    for case in names:
        format_, path = targets()[case]
        folder = root / case.replace(" ", "-")
        project(folder, engine, format_, path)
        code, _, err = command("run", "-q")
        assert code == 0, err
        for free in frees:
            before = tree(Path("place"))
            taken = []
            try:
                while True:
                    taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                pass
            for descriptor in taken[len(taken) - free :]:
                os.close(descriptor)
            failed = command("run", "-q")
            for descriptor in taken[: len(taken) - free]:
                os.close(descriptor)
            found = facts(case, "handles", before, failed)
            cases.append(again(found, path, format_) | {"free": free})
    return cases


def broken_sources(engine: str) -> list[dict[str, Any]]:
    """Sources that end half way, whose middle is noise, or that the system cannot read; a good run had come before."""
    import polars as pl

    root, _ = quick_folder()
    noise = random.Random(7)  # the same every time
    frame = pl.DataFrame({"id": range(ROWS), "s": [noise.randbytes(50).hex() for _ in range(ROWS)]})
    writers: dict[str, Any] = {
        "PARQUET": frame.write_parquet, "IPC": frame.write_ipc, "AVRO": frame.write_avro, "EXCEL": frame.write_excel,
        "JSONL": frame.write_ndjson, "JSON": frame.write_json, "CSV": frame.write_csv,
    }  # fmt: skip
    cases = []
    for name, write in writers.items():
        file = f"in.{FILES[name]}"
        folder = root / name
        project(folder, engine, "PARQUET", "place/out.parquet")
        definition = json.loads(Path("pipeline.yaml").read_text())
        definition["nodes"][0]["source"] = {"path": file, "format": name}
        definition["nodes"][0]["sinks"].append({"path": "place/out.csv", "format": "CSV", "mode": "APPEND"})
        Path("pipeline.yaml").write_text(json.dumps(definition))
        write(file)
        code, _, err = command("run", "-q")
        assert code == 0, err
        before, whole = tree(Path("place")), Path(file).read_bytes()
        middle = len(whole) // 2
        # of CSV nobody can tell
        faults = {} if name == "CSV" else {"ends half way": whole[:middle]}
        if name in ("PARQUET", "AVRO", "EXCEL"):  # compressed, or with marks between blocks
            faults["noise in the middle"] = whole[:middle] + noise.randbytes(2_000) + whole[middle + 2_000 :]
        if name in ("CSV", "JSONL", "JSON", "PARQUET"):
            faults["cannot be read"] = b""
        for fault, content in faults.items():
            Path(file).unlink()
            if content:
                Path(file).write_bytes(content)
            else:
                Path(file).symlink_to("/proc/self/mem")  # reading its beginning is an input/output error
            cases.append(facts(name, fault, before, command("run", "-q")))
        Path(file).unlink()
        Path(file).write_bytes(whole)
        code, _, err = command("run", "-q", "--resume")
        rows = len(read_rows(Path("place/out.csv"), "CSV"))
        cases[-1] |= {"next": code, "next_err": err, "rows": rows}
    return cases
