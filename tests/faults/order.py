"""What a run asks of the disk, in order, for `test_durability.py`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from inside import quick_folder, read_rows

Event = tuple[str, str, str]


class Disk:
    """Stands between a run and the disk; knows what a power loss would leave of each file and folder.

    A file is safe once it was synced as it is now. What is moved without being safe is noted as a fault, and so is a
    move whose folder was not synced by the end.
    """

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.events: list[Event] = []
        self.faults: list[str] = []
        self._safe: dict[int, tuple[int, int]] = {}
        self._moved: set[str] = set()

    def synced(self, path: str) -> None:
        found = Path(path).stat()
        self._safe[found.st_ino] = (found.st_size, found.st_mtime_ns)
        self._moved.discard(path)
        self.events.append(("sync", path, ""))

    def moved(self, what: str, source: str, target: str) -> None:
        """Before it happens. Where things are staged, and among temporary files, names may change freely."""
        if "/.laktory-" in target or "/scratch/" in target or not target.startswith(self.root):
            return
        below = [Path(source), *Path(source).rglob("*")] if Path(source).is_dir() else [Path(source)]
        for path in below:
            found = path.stat()
            known = self._safe.get(found.st_ino)
            if known is None or (path.is_file() and known != (found.st_size, found.st_mtime_ns)):
                self.faults.append(f"{what} {source} -> {target}: {path} was not synced")
        self._moved.add(str(Path(target).parent))
        self.events.append((what, source, target))

    def ended(self) -> None:
        self.faults += [f"{folder} was not synced after something moved into it" for folder in sorted(self._moved)]


def watched(engine: str, cases: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Events and faults of the second run of a pipeline of one node, for each list of sinks."""
    import polars as pl

    from laktory import models
    from laktory.storage import commits

    root, _ = quick_folder()
    disk = Disk(root)
    fsync, replace, rename, link, exchange = os.fsync, os.replace, os.rename, os.link, commits.exchange

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        disk.synced(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    def replaced(source: Any, target: Any) -> None:
        disk.moved("replace", str(source), str(target))
        replace(source, target)

    def renamed(source: Any, target: Any) -> None:
        disk.moved("rename", str(source), str(target))
        rename(source, target)

    def linked(source: Any, target: Any) -> None:
        disk.moved("link", str(source), str(target))
        link(source, target)

    def exchanged(first: str, second: str) -> bool:
        disk.moved("exchange", first, second)
        return exchange(first, second)

    found: dict[str, Any] = {}
    for name, sinks in cases.items():
        folder = root / name.replace(" ", "-")
        folder.mkdir()
        os.chdir(folder)
        pl.DataFrame({"id": [1, 2], "k": ["a", "b"]}).write_parquet("in.parquet")
        node = {"name": "a", "source": {"path": "in.parquet", "format": "PARQUET"}, "sinks": sinks}
        models.Pipeline(name="p", dataframe_backend=engine, nodes=[node]).execute()
        disk.events, disk.faults = [], []
        disk._moved.clear()
        os.fsync, os.replace, os.rename, os.link = synced, replaced, renamed, linked
        commits.exchange = exchanged  # type: ignore[attr-defined]
        try:
            models.Pipeline(name="p", dataframe_backend=engine, nodes=[node]).execute()
        finally:
            os.fsync, os.replace, os.rename, os.link = fsync, replace, rename, link
            commits.exchange = exchange
        disk.ended()
        short = [tuple(part.removeprefix(f"{folder}/") for part in event) for event in disk.events]
        found[name] = {"events": short, "faults": disk.faults}
    return found


def refused_refreshes(engine: str, names: list[str]) -> list[dict[str, Any]]:
    """Full refreshes that fail, of sinks of every format that had been written; what was there after them."""
    import json
    import resource

    import room
    from inside import command, limited, litter, tree

    root, _ = quick_folder()
    cases = []
    for case in names:
        format_, path = room.targets()[case]
        appends = format_ not in ("AVRO", "EXCEL")
        room.project(root / case.replace(" ", "-"), engine, format_, path, "APPEND" if appends else "OVERWRITE")
        definition = json.loads(Path("pipeline.yaml").read_text())
        for _ in range(2):
            code, _, err = command("run", "-q")
            assert code == 0, err
        before = tree(Path("place"))
        target = Path(path.rstrip("/"))
        rows = len(read_rows(target, format_))
        failing = {"transformer": {"nodes": [{"expr": "SELECT CAST(s AS INTEGER) AS id FROM {df}"}]}}
        missing = {"source": {"path": "nothing.parquet", "format": "PARQUET"}}
        [sink] = definition["nodes"][0]["sinks"]
        second = {"sinks": [sink, {"path": "in.parquet/x.csv", "format": "CSV"}]}
        typed = {"sinks": [sink, {"path": "x.csv", "format": "CSV"}],
                 "transformer": {"nodes": [{"expr": "SELECT id, s, {'a': 1} AS st FROM {df}"}]}}  # fmt: skip
        faults = {
            "source": missing,
            "step": failing,
            "second sink": second,
            "second sink, while it is staged": typed,
            "space": {},
        }
        for fault, change in faults.items():
            node = definition["nodes"][0] | change
            Path("pipeline.yaml").write_text(json.dumps(definition | {"nodes": [node]}))
            room.source(room.ROWS if fault == "space" else 3)
            if fault == "space":
                with limited(resource.RLIMIT_FSIZE, 50_000):
                    code, _, err = command("run", "-q", "--full-refresh")
            else:
                code, _, err = command("run", "-q", "--full-refresh")
            cases.append({
                "case": case, "fault": fault, "code": code, "err": err, "rows": rows, "litter": litter(Path()),
                "same": tree(Path("place")) == before,
            })  # fmt: skip
        Path("pipeline.yaml").write_text(json.dumps(definition))
        room.source(3)
        code, _, err = command("run", "-q", "--full-refresh")
        after = len(read_rows(target, format_))
        cases.append({"case": case, "fault": "", "code": code, "err": err, "rows": rows, "after": after})
    return cases
