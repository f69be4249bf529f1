"""Pipelines to be killed, the rows their sinks hold, and what has to be true after a kill."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from laktory.engines.capabilities import ENGINES

OLD = [{"id": n, "p": "xy"[n % 2], "s": f"s{n}"} for n in range(1, 5)]
NEW = [{"id": n, "p": "xy"[n % 2], "s": f"s{n}"} for n in range(5, 8)]
WRITER = """
import json

def write(frame):
    rows = frame.collect("polars").to_native().to_dicts()
    with open("custom.jsonl", "a") as out:
        out.write("".join(json.dumps(row) + "\\n" for row in rows))
"""


@dataclass(frozen=True)
class Sink:
    """One output of a project."""

    path: str
    format: str
    mode: str = "OVERWRITE"
    partitioned: bool = False
    quarantine: bool | None = None
    """Whether it gets the rows that a rule takes out; None of a node without rules."""

    def of(self, rows):
        """Those of the rows that it gets."""
        return [row for row in rows if self.quarantine is None or (row["id"] % 2 == 0) == self.quarantine]

    def plain(self):
        kwargs = {"writer_kwargs": {"partition_by": ["p"]}} if self.partitioned else {}
        kwargs |= {"is_quarantine": True} if self.quarantine else {}
        return {"path": self.path, "format": self.format, "mode": self.mode, **kwargs}


@dataclass(frozen=True)
class Project:
    """A pipeline that hands the rows of ``in.parquet`` to every sink.

    Attributes
    ----------
    nodes : each a name, the node it reads (or nothing), its sinks and, at the end, further fields
    fresh : nothing has been written before the run that is killed
    new : rows of that run
    options : of `Warm.run`
    """

    name: str
    nodes: tuple[tuple, ...]
    fresh: bool = False
    new: list[dict] = field(default_factory=lambda: NEW)
    options: dict = field(default_factory=dict)
    custom: bool = False

    @property
    def sinks(self):
        return {sink.path: (name, sink) for name, _, sinks, *_ in self.nodes for sink in sinks}

    def build(self, folder: Path) -> None:
        (folder / "tmp").mkdir(parents=True)
        nodes = []
        for name, reads, sinks, *rest in self.nodes:
            source = {"node_name": reads} if reads else {"path": "in.parquet", "format": "PARQUET"}
            made = [sink.plain() for sink in sinks]
            nodes.append({"name": name, "source": source, "sinks": made, **(rest[0] if rest else {})})
        plain = {"name": "p", "nodes": nodes}
        if self.custom:
            (folder / "writers.py").write_text(WRITER)
            nodes[0]["sinks"].append({"custom_writer": {"func_name": "writers.write"}})
            plain["imports"] = ["writers"]
        (folder / "pipeline.json").write_text(json.dumps(plain))

    def give(self, folder: Path, rows) -> None:
        pl.DataFrame(rows).write_parquet(folder / "in.parquet")

    def applied(self, held: dict, times: int = 1) -> dict:
        """What the sinks hold after plain runs on top of what they held."""
        for _ in range(times):
            held = {path: self._after(sink, held[path]) for path, (_, sink) in self.sinks.items()}
        return held

    def _after(self, sink: Sink, rows):
        full = self.options.get("full_refresh", False)
        new = sink.of(self.new)
        if sink.mode == "IGNORE" and rows is not None and not full:
            return rows
        if sink.mode == "APPEND" and not full:
            return ordered([*(rows or ()), *new])
        return ordered(new)


def ordered(rows):
    return sorted(rows, key=lambda row: row["id"])


def held(folder: Path, project: Project) -> dict:
    """Rows of every sink as a plain reader finds them, None where nothing is."""
    return {path: _rows(folder / path, sink) for path, (_, sink) in project.sinks.items()}


def _rows(path: Path, sink: Sink):
    if sink.format == "DELTA":
        from deltalake import DeltaTable

        if not any((path / "_delta_log").glob("*.json")):
            return None
        found = pl.DataFrame(DeltaTable(str(path)).to_pyarrow_table())
    elif path.is_file():
        found = _frame(path, sink.format)
    else:
        files = [file for file in path.rglob("*") if file.is_file()]
        if not files:
            return None
        found = pl.concat([_with_keys(file, path, sink.format) for file in files], how="diagonal")
    return ordered({name: value for name, value in row.items() if value is not None} for row in found.rows(named=True))


def _with_keys(file: Path, root: Path, format_: str):
    keys = dict(part.split("=", 1) for part in file.relative_to(root).parts[:-1])
    return _frame(file, format_).with_columns(pl.lit(value).alias(name) for name, value in keys.items())


def _frame(path: Path, format_: str):
    read = {
        "PARQUET": pl.read_parquet,
        "CSV": pl.read_csv,
        "JSON": pl.read_json,
        "JSONL": pl.read_ndjson,
        "NDJSON": pl.read_ndjson,
        "IPC": pl.read_ipc,
        "AVRO": pl.read_avro,
        "EXCEL": pl.read_excel,
    }[format_]
    return read(path)


# ---- what a killed run left --------------------------------------------------------------------


def decided(folder: Path, project: Project, before: dict, seen: dict) -> dict:
    """What the sinks hold once pending commits are finished: a commit is its record, whatever is visible of it yet."""
    after = project.applied(before)
    result = {}
    for name, _, sinks, *_ in project.nodes:
        pending = (folder / f".laktory/pipelines/p/intents/{name}.json").exists()
        changed = [sink.path for sink in sinks if before[sink.path] != after[sink.path]]
        new = pending or any(seen[path] == after[path] for path in changed)
        if new and not pending:
            assert all(seen[path] == after[path] for path in changed), f"{name}: a part of its sinks, and no record"
        result |= {sink.path: (after if new else before)[sink.path] for sink in sinks}
    return result


def check_seen(project: Project, before: dict, seen: dict) -> None:
    """A reader sees old or new, whole; files that are appended to a directory arrive one by one."""
    after = project.applied(before)
    for path, rows in seen.items():
        _, sink = project.sinks[path]
        if sink.partitioned and sink.mode == "APPEND" and sink.format != "DELTA" and rows is not None:
            old = before[path] or []
            assert [row for row in rows if row in old] == old, f"{path}: old rows are missing: {rows}"
            assert all(row in after[path] for row in rows), f"{path}: rows of nowhere: {rows}"
        else:
            assert rows in (before[path], after[path]), f"{path}: neither old nor new: {rows}"


def succeeded(folder: Path) -> set[str]:
    """Ids of the runs that succeeded: a run after such a one has nothing to resume."""
    records = (folder / ".laktory/pipelines/p/runs").glob("*/record.json")
    return {path.parent.name for path in records if json.loads(path.read_text())["status"] == "succeeded"}


def litter(folder: Path, kept_runs: int | None = None) -> list[str]:
    """What no run that went through may leave."""
    state = folder / ".laktory/pipelines/p"
    runs = sorted((state / "runs").iterdir())
    found = [*(folder / "tmp").iterdir(), *folder.rglob(".laktory-*"), *(state / "intents").iterdir()]
    found += [*folder.rglob("*.tmp"), *folder.rglob("*.lost"), *folder.rglob("*.old"), *folder.rglob("*#*")]
    found += [path for run in runs[:-1] for path in run.rglob("*") if path.parent.name == "scratch"]
    found += [path for path in state.iterdir() if path.name not in ("intents", "runs")]
    if kept_runs is not None:
        found += [run for number, run in enumerate(runs[:-kept_runs], 1) if not _only_it_knows(run, runs[number:])]
    return sorted({str(path.relative_to(folder)) for path in found})


def _only_it_knows(run: Path, later: list[Path]) -> bool:
    """Whether it is the last run that wrote some text file: it alone holds the types, and stays."""
    keys = {key for write in _writes(run) if write["schema"] for key in write["target"]}
    return bool(keys - {key for other in later for write in _writes(other) for key in write["target"]})


def _writes(run: Path) -> list[dict]:
    ledger = run / "ledger.jsonl"
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    return [write for line in lines for write in json.loads(line).get("writes", ())]


def copied(template: Path, folder: Path) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    return shutil.copytree(template, folder, symlinks=True)


# ---- projects ----------------------------------------------------------------------------------

_ENDING = {"PARQUET": "parquet", "IPC": "arrow", "EXCEL": "xlsx"}


def _file(format_: str, mode: str, stem: str = "a") -> Sink:
    return Sink(f"{stem}-{mode.lower()}.{_ENDING.get(format_, format_.lower())}", format_, mode)


def _folder(format_: str, mode: str, *, partitioned: bool = False) -> Sink:
    return Sink(f"{format_.lower()}-{mode.lower()}{'-parts' if partitioned else ''}/", format_, mode, partitioned)


def _table(mode: str, *, partitioned: bool = False) -> Sink:
    return Sink(f"delta-{mode.lower()}{'-parts' if partitioned else ''}", "DELTA", mode, partitioned)


def _judged(path: str, format_: str, mode: str = "OVERWRITE", *, moved: bool = False) -> Sink:
    return Sink(path, format_, mode, quarantine=moved)


def _wider():
    return [{**row, "z": row["id"] * 10} for row in NEW]


def of_format(format_: str, backend: str) -> list[Project]:
    """Everything a format can be: file and directory, every mode, partitions; one node with one sink each."""
    modes = [mode for mode in ENGINES[backend].formats[format_].modes if mode in ("OVERWRITE", "APPEND")]
    if format_ == "DELTA":
        sinks = [_table(mode, partitioned=parts) for mode in modes for parts in (False, True)]
    else:
        sinks = [_file(format_, mode) for mode in modes]
        if "APPEND" in modes:
            sinks += [_folder(format_, mode) for mode in modes]
        if format_ == "PARQUET":
            sinks += [_folder(format_, mode, partitioned=True) for mode in modes]
    found = [Project(f"{format_}: {sink.path}", (("a", None, (sink,)),)) for sink in sinks]
    found += [
        Project(f"{format_}: {sink.path}, first run", (("a", None, (sink,)),), fresh=True)
        for sink in sinks
        if sink.mode == "OVERWRITE"
    ]
    if "APPEND" in modes:
        sink = next(sink for sink in sinks if sink.mode == "APPEND")
        options = {"full_refresh": True}
        found.append(Project(f"{format_}: {sink.path}, full refresh", (("a", None, (sink,)),), options=options))
    if format_ == "DELTA":
        options = {"checkpoint_every": 1}
        found.append(Project("DELTA: with a checkpoint", (("a", None, (_table("APPEND"),)),), options=options))
        found += [
            Project(f"DELTA: {sink.path}, another column", (("a", None, (sink,)),), new=_wider()) for sink in sinks
        ]
    return found


def formats() -> list[str]:
    return sorted({name for engine in ENGINES.values() for name, found in engine.formats.items() if found.modes})


SQL = {"transformer": {"nodes": [{"expr": "SELECT * FROM {df} WHERE id > 0"}]}}

RULE = {"expectations": [{"name": "odd", "expr": "id % 2 = 1", "action": "QUARANTINE", "tolerance": {"rel": 1}}]}

SHAPES = [
    Project(
        "two sinks, then a node that reads them",
        (
            ("a", None, (_file("CSV", "APPEND"), _file("PARQUET", "APPEND"))),
            ("b", "a", (_folder("PARQUET", "APPEND"), _file("JSONL", "OVERWRITE", "b"))),
        ),
    ),
    Project(
        "a table and a directory of one node",
        (("a", None, (_table("APPEND"), _folder("PARQUET", "OVERWRITE"), _table("OVERWRITE"))),),
    ),
    Project(
        "an intermediate result between two nodes",
        (
            ("a", None, (_file("CSV", "APPEND"),)),
            ("m", "a", (), SQL),
            ("b", "m", (_file("JSONL", "APPEND", "b"),)),
            ("c", "m", (_table("APPEND"),)),
        ),
    ),
    Project(
        "output and quarantine",
        (
            ("a", None, (_judged("a.parquet", "PARQUET"), _judged("q.jsonl", "JSONL", "APPEND", moved=True)), RULE),
            ("b", "a", (_judged("b.csv", "CSV", "APPEND"),)),
        ),
    ),
    Project("sinks that are left as they are", (("a", None, (_file("CSV", "IGNORE"), _table("IGNORE"))),), fresh=True),
    Project("a writer of the user's", (("a", None, (_file("PARQUET", "APPEND"),)),), custom=True),
    Project("a first run of two nodes", (("a", None, (_file("CSV", "APPEND"), _table("APPEND"))),
            ("b", "a", (_folder("PARQUET", "APPEND", partitioned=True),))), fresh=True),
    Project(
        "a full refresh of two nodes",
        (("a", None, (_file("JSONL", "APPEND"), _table("APPEND"))), ("b", "a", (_folder("CSV", "APPEND"),))),
        options={"full_refresh": True},
    ),
]  # fmt: skip
