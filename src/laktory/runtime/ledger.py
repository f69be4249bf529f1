"""What a ledger line holds of a commit: enough to read its rows again, and to see that they are still the same.

Places are not in it: a sink is known by its number among the file sinks of its node, a target by a hash, a file by its
name in its target, its size, time of change and number on disk. So no text of the definition, hence no secret, is kept,
and nothing has to be hidden in it, which could change what it says.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laktory.engines.capabilities import ENGINES
from laktory.engines.protocol import FileRead
from laktory.models.datasinks import FileDataSink
from laktory.storage import Target, delta_holds, delta_version, target_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from laktory.models.pipeline.pipelinenode import PipelineNode
    from laktory.planning import Plan
    from laktory.runtime.record import RunFolder

__all__ = [
    "LEDGER", "committed", "custom_key", "done_line", "failed_rows", "file_sinks", "is_there", "is_whole",
    "keep_scratch", "kept_read", "path_key", "read_again", "rows_read", "scratch_line",
    "settled", "sink_target", "target_keys", "targets_of", "undone_line", "write_line",
]  # fmt: skip

LEDGER = 4
"""Form of the lines, in the first of them."""


def file_sinks(node: PipelineNode) -> list[FileDataSink]:
    """Sinks of a node that are staged and committed, in order."""
    return [sink for sink in node.sinks if isinstance(sink, FileDataSink) and sink.custom_writer is None]


def sink_target(sink: FileDataSink) -> Target:
    """Where a sink leads on this machine."""
    folders = ENGINES[sink.dataframe_backend.value].folders
    return target_of(sink.path, sink.format, directory=bool(sink.partition_by) or sink.format in folders)


def targets_of(plan: Plan, root: Path) -> dict[str, Target]:
    """Targets of all nodes of a plan's pipeline, by the keys that ledgers of the root path have for them."""
    targets = [sink_target(sink) for node in plan.pipeline.nodes for sink in file_sinks(node)]
    return {key: target for target in targets for key in target_keys(target, root)}


def path_key(path: str) -> str:
    """What ledgers have instead of a path."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def target_keys(target: Target, root: Path) -> list[str]:
    """What ledgers of the root path have instead of a target.

    The first is the same when both are moved or copied together, the second when the target stays where it is.
    """
    return [path_key(os.path.relpath(target.path, os.path.realpath(root))), path_key(target.path)]


def write_line(
    number: int,
    target: list[str],
    staged: Iterable[tuple[str, str]],
    *,
    rows: int | None,
    offset: int | None,
    added: bool,
    commit: str | None,
    schema: str | None,
) -> dict[str, Any]:
    """What a sink is about to commit.

    Parameters
    ----------
    number : of the sink
    target : its `target_keys`
    staged : path of each staged file, and its name in the target once it is committed (a file's own: ``""``)
    rows, offset : rows of the frame, and rows before them in the same file
    added : other files of the target stay
    commit : id of the version of a Delta table
    schema : types of a file that does not keep them, as text
    """
    files = [[name, *_identity(path)] for path, name in staged]
    return {
        "sink": number, "target": target, "rows": rows, "offset": offset, "added": added, "files": files,
        "commit": commit, "schema": schema,
    }  # fmt: skip


def committed(lines: Iterable[Mapping[str, Any]], run_id: str) -> dict[str, tuple[str, str]]:
    """Where lines of a run's ledger say that rows were committed, by it or by runs that are gone: key → run, node."""
    found: dict[str, tuple[str, str]] = {}
    for line in lines:
        for write in line.get("writes", ()):
            found |= dict.fromkeys(write["target"], (run_id, line["node"]))
        if "table" in line:
            found[line["table"]["key"]] = (run_id, line["node"])
        if "custom_writers" in line:
            found[custom_key(line["node"])] = (run_id, line["node"])
        found |= {key: (other, node) for key, (other, node) in line.get("others", {}).items()}
    return found


def custom_key(node: str) -> str:
    """What stands for the places that the custom writers of a node write to."""
    return f"custom writers of {node}"


def scratch_line(read: FileRead) -> dict[str, Any]:
    """An intermediate result, by its name in the folder of the run."""
    return {"scratch": Path(read.path).name, "format": read.format, "size": _size(Path(read.path))}


def kept_read(path: str, format_: str) -> FileRead:
    """How to read an intermediate result: a file, or a folder of them."""
    return FileRead(path, format_, files=None if Path(path).is_dir() else (path,))


def _size(path: Path) -> int:
    """Bytes of a file, or of those in a folder; -1 where there is nothing."""
    if path.is_dir():
        return sum(each.stat().st_size for each in path.iterdir())
    return path.stat().st_size if path.exists() else -1


def rows_read(target: Target, format_: str, line: Mapping[str, Any], **facts: Any) -> FileRead:
    """How to read exactly the rows that a `write_line` stands for; of a Delta table, `facts` have the version."""
    names = [file[0] for file in line["files"]]
    if target.kind == "file":
        part = None if line["offset"] is None else (line["offset"], line["rows"] or 0)
        return FileRead(target.path, format_, files=(target.path,), rows=part, **facts)
    if target.kind == "delta" and not line["added"]:
        return FileRead(target.path, format_, **facts)
    files = tuple(f"{target.path}/{name}" for name in names)
    return FileRead(target.path, "PARQUET" if target.kind == "delta" else format_, files=files, **facts)


def read_again(entry: Mapping[str, Any], node: PipelineNode, folder: RunFolder) -> FileRead | None:
    """How to read what a node committed, None if its entry names nothing. The entry `is_whole`."""
    read = entry["read"]
    if read is None:
        return None
    if "scratch" in read:
        return kept_read(str(folder.scratch.resolve() / read["scratch"]), read["format"])
    sink = file_sinks(node)[read["sink"]]
    target = sink_target(sink)
    line = next(line for line in entry["writes"] if line["sink"] == read["sink"])
    version = delta_version(target.path, line["commit"]) if line["commit"] and not line["added"] else None
    return rows_read(target, sink.format, line, version=version)


def is_whole(entry: Mapping[str, Any], node: PipelineNode, folder: RunFolder) -> bool:
    """Whether everything a node committed is there as it was. Its definition is unchanged."""
    for path, size in _kept_files(entry, folder):
        if _size(path) != size:
            return False
    sinks = file_sinks(node)
    return all(is_there(sink_target(sinks[line["sink"]]), line) for line in entry["writes"])


def is_there(target: Target, line: Mapping[str, Any]) -> bool:
    """Whether a target is as a `write_line` says."""
    if line["commit"] and not line["added"] and delta_version(target.path, line["commit"]) is None:
        return False
    if line["commit"] and not delta_holds(target.path, [name for name, *_ in line["files"]]):
        return False
    for name, *identity in line["files"]:
        try:
            if _identity(f"{target.path}/{name}" if name else target.path) != identity:
                return False
        except OSError:
            return False
    return True


def _identity(path: str) -> list[int]:
    found = os.stat(path)  # noqa: PTH116 - once per file of an output
    return [found.st_size, found.st_mtime_ns, found.st_ino]


def settled(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ledger lines without those of commits that did not come about.

    The line of a commit that is one rename is written ahead of it and names the staged file. Whoever finds that still
    staged, or gone from the folder for it, says so with another line, before the folder is removed.
    """
    undone = {line["node"] for line in lines if "undone" in line}
    return [
        {key: value for key, value in line.items() if key != "ahead"}
        for line in lines
        if not line.keys() & {"done", "undone"} and not ("ahead" in line and line["node"] in undone)
    ]


def undone_line(node: str | None) -> str:
    """Says that the rename which the line of a node announced did not come about."""
    return json.dumps({"node": node, "undone": True})


def done_line(node: str) -> str:
    """Says that the rename which the line of a node announced came about."""
    return json.dumps({"node": node, "done": True})


def failed_rows(entry: Mapping[str, Any], folder: RunFolder) -> FileRead | None:
    """How to read the rows of a node that failed its rules, None without rules of type ROW."""
    failed = entry["quality"]["failed"] if "quality" in entry else None
    if failed is None:
        return None
    return kept_read(str(folder.quarantine.resolve() / failed["scratch"]), failed["format"])


def keep_scratch(entry: Mapping[str, Any], before: RunFolder, now: RunFolder) -> None:
    """What a node keeps in the folder of the run that `now` takes over from gets a second name in its folder."""
    for (old, _), (new, _) in zip(_kept_files(entry, before), _kept_files(entry, now), strict=True):
        new.parent.mkdir(parents=True, exist_ok=True)
        if old.is_dir():
            shutil.copytree(old, new, copy_function=_link)
        else:
            _link(old, new)


def _link(old: str | Path, new: str | Path) -> None:
    try:
        os.link(old, new)
    except OSError:  # a file system without hard links
        shutil.copyfile(old, new)


def _kept_files(entry: Mapping[str, Any], folder: RunFolder) -> Iterator[tuple[Path, int]]:
    """What a node keeps in the folder of a run, with sizes: its rows, those that failed its rules."""
    if entry["read"] is not None and "scratch" in entry["read"]:
        yield folder.scratch / entry["read"]["scratch"], entry["read"]["size"]
    failed = entry["quality"]["failed"] if "quality" in entry else None
    if failed is not None:
        yield folder.quarantine / failed["scratch"], failed["size"]
