"""What a run takes over from one that did not finish, and what killed runs left.

Every run has a job: the run it goes back to by resuming, itself for a new one. A job's ledger holds what it has
committed; each run of it begins with all of it, selected or not. From that follows, before anything is written:

- a committed node is *kept* (not run again) if its digest is the same and what it wrote is there as it was;
- a node that runs, and does not replace what its sinks hold, must not write where a run has committed since the job
  began, under whatever node's or pipeline's name: its rows would be there twice, or not be the job's;
- a node that runs reads nothing of the job but what is kept.

Whatever does not fit is refused.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laktory.diagnostics.secrets import redact
from laktory.errors import RunError, SinkError, TargetLockedError
from laktory.log import get_logger
from laktory.runtime.ledger import (
    LEDGER,
    committed,
    custom_key,
    done_line,
    file_sinks,
    is_whole,
    keep_scratch,
    path_key,
    sink_target,
    target_keys,
    targets_of,
    undone_line,
)
from laktory.runtime.node import NodeResult, kept_result
from laktory.runtime.record import RunFolder, last_unfinished, run_folders
from laktory.runtime.tables import table_marks
from laktory.storage import Locks, Target, append_line, pointed_record, read_record, recover, remove, staging_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from laktory.models.pipeline.pipelinenode import PipelineNode
    from laktory.planning import NodePlan, Plan
    from laktory.runtime.sessions import Sessions
    from laktory.storage.commits import Record

__all__ = ["Job", "finish_killed", "open_job", "start_line"]

_log = get_logger(__name__)


@dataclass(slots=True)
class Job:
    """What a run continues.

    Attributes
    ----------
    id : run it goes back to
    scope : what that run selected
    nodes : names of the nodes of that run
    lines : its ledger so far
    results : of the nodes that are kept
    unfinished : kept nodes whose custom writers did not get through
    resumed_from : run that is continued, None for a new job
    """

    id: str
    scope: list[str]
    nodes: list[str]
    lines: list[dict[str, Any]] = field(default_factory=list)
    results: dict[str, NodeResult] = field(default_factory=dict)
    unfinished: set[str] = field(default_factory=set)
    resumed_from: str | None = None


def start_line(plan: Plan, root: Path, job: Job, run_id: str, *, started: str, full_refresh: bool) -> dict[str, Any]:
    """First line of a run's ledger. Targets are named for those who tidy up, unless that would tell a secret."""
    nodes = plan.pipeline.nodes_dict
    sinks = [sink for name in plan.node_names for sink in file_sinks(nodes[name])]
    targets = {target.path: target.kind for target in map(sink_target, sinks) if redact(target.path) == target.path}
    return {
        "ledger": LEDGER,
        "run": run_id,
        "root": path_key(str(root)),
        "job": job.id,
        "pipeline": plan.pipeline.name,
        "started": started,
        "selects": list(plan.selects),
        "scope": job.scope,
        "nodes": job.nodes,
        "full_refresh": full_refresh,
        "targets": targets,
    }


def finish_killed(root: Path, plan: Plan, *, owner: str, timeout: float) -> dict[str, tuple[str, str]]:
    """Finish the commits that killed runs of a pipeline left, remove what they staged. The pipeline is locked.

    Returns
    -------
    dict
        Where these commits wrote: as `committed`.

    Raises
    ------
    TargetLockedError, SinkError
        If a pending commit cannot be finished.
    """
    last = next(reversed(run_folders(root)), None)
    if last is not None and last.was_cut_off():
        _settle(last, plan, root)
    for folder in filter(None, (root / "intents", last.path if last else None)):
        for unnamed in folder.glob("*.tmp"):
            remove(str(unnamed))
    finished: dict[str, tuple[str, str]] = {}
    for path in sorted((root / "intents").glob("*.json")):
        record = read_record(str(path))
        # no target of a copied or restored folder points back at its records: they are not its own
        if record is not None and any(_points_at(change.target, path) for change in record.changes):
            recover(str(path), owner=owner, timeout=timeout)
            finished |= _written(record)
    with suppress(RunError):
        for target in _named(last, root) if last is not None and last.was_cut_off() else ():
            if Path(staging_folder(target)).is_dir():
                # another run that holds it tidies up itself
                with suppress(SinkError, TargetLockedError):
                    Locks.acquire([target], owner=owner).release()
    return finished


def _named(killed: RunFolder, root: Path) -> list[Target]:
    """Targets that a run has named; none if it ran elsewhere, before the root path was copied or moved."""
    header = killed.header() or {}
    of_here = header.get("root") == path_key(str(root))
    return [Target(path, kind) for path, kind in header["targets"].items()] if of_here else []


def _settle(killed: RunFolder, plan: Plan, root: Path) -> None:
    """Note which renames of a killed run came about and which did not, as long as where it staged tells."""
    with suppress(RunError):  # damaged: told when it is resumed
        lines = killed.lines()
        judged = {line["node"] for line in lines if line.keys() & {"done", "undone"}}
        ahead = [line for line in lines if "ahead" in line and line["node"] not in judged]
        targets = targets_of(plan, root) if ahead else {}
        for target in _named(killed, root) if ahead else ():
            targets |= dict.fromkeys(target_keys(target, root), target)
        for line in ahead:
            places = {targets[key] for key in line["writes"][0]["target"] if key in targets}
            folders = [Path(staging_folder(place)) for place in places]
            if any((folder / line["ahead"]).exists() for folder in folders):
                append_line(killed.ledger, undone_line(line["node"]))
            elif any(folder.is_dir() for folder in folders):
                append_line(killed.ledger, done_line(line["node"]))


def _points_at(target: Target, path: Path) -> bool:
    pointed = pointed_record(target)
    return pointed is not None and Path(pointed).resolve() == path.resolve()


def open_job(
    plan: Plan,
    root: Path,
    folder: RunFolder,
    sessions: Sessions,
    *,
    finished: Mapping[str, tuple[str, str]],
    resume: bool,
    full_refresh: bool,
) -> Job:
    """The job of a run that is about to begin. Everything it writes to is locked, and no commit is pending.

    Rows of commits that it has `finished` are there since it began, whoever staged them.

    Raises
    ------
    RunError
        If it cannot go on to the rows of an uninterrupted run, each once.
    """
    name, selects = plan.pipeline.name, list(plan.selects)
    if resume:
        before = last_unfinished(root, name, selects)
        if before is not None:
            return _Resumption(plan, root, before, full_refresh=full_refresh).job(folder, sessions)
        if not full_refresh:
            _refuse_renamed(plan, root)
        _log.warning("Nothing to resume: the last run of '%s' succeeded or there is none. This is a new run.", name)
    return Job(folder.run_id, selects, plan.node_names, [{"others": dict(finished)}] if finished else [])


class _Resumption:
    """One unfinished run, looked at by the one that continues it."""

    def __init__(self, plan: Plan, root: Path, before: RunFolder, *, full_refresh: bool) -> None:
        self.plan, self.root, self.before, self.full_refresh = plan, root, before, full_refresh
        self.nodes = plan.pipeline.nodes_dict
        self.header, *self.lines = before.entries()
        if self.header["full_refresh"] != full_refresh:
            was, now = ("was", "is not") if self.header["full_refresh"] else ("was not", "is")
            msg = f"cannot resume: the unfinished run {was} a full refresh and this one {now}; run both the same way"
            raise RunError(msg)
        self.entries = {line["node"]: line for line in self.lines if "read" in line}
        self.through = {line["node"] for line in self.lines if "custom_writers" in line}
        self.kept: dict[str, dict[str, Any]] = {}
        self.unsure = self._announced()

    def _announced(self) -> set[str]:
        """Nodes whose rename is told by nothing but the line ahead of it, as others have removed what was staged."""
        lines = self.before.lines() if self.before.was_cut_off() else []
        begun = {line["node"] for line in lines if "read" in line}
        read = {name for node in self.plan.nodes if node.name in begun for name in _read_nodes(node)}
        done = {line["node"] for line in lines if "done" in line}
        return {line["node"] for line in lines if "ahead" in line} - read - done

    def job(self, folder: RunFolder, sessions: Sessions) -> Job:
        reasons = {name: self._reason(name, entry) for name, entry in self.entries.items() if name in self.nodes}
        self.kept = {name: self.entries[name] for name, reason in reasons.items() if not reason}
        running = [node for node in self.plan.nodes if node.name not in self.kept]
        unfinished = {node.name for node in self.plan.nodes if node.name in self.kept and self._custom_left(node)}
        self._refuse_doubling(running, unfinished, reasons)
        for node in running:
            self._refuse_other_rows(node)
        needed = {*self.plan.node_names, *(name for node in running for name in _read_nodes(node))}
        results = {}
        for name, entry in self.kept.items():
            keep_scratch(entry, self.before, folder)
            if name in needed:
                results[name] = kept_result(self.nodes[name], entry, folder, sessions)
        return Job(
            self.header["job"], self.header["scope"], self.header["nodes"], self.lines, results, unfinished,
            self.before.run_id,
        )  # fmt: skip

    def _reason(self, name: str, entry: Mapping[str, Any]) -> str:
        """Why a committed node is not kept, or nothing."""
        if entry["digest"] != self.plan.digests[name]:
            return "its definition or something it reads was changed since"
        if not is_whole(entry, self.nodes[name], self.before):
            return "what it wrote was changed or removed since"
        if entry["read"] is None and any(name in _read_nodes(node) for node in self.plan.nodes):
            return "what it wrote cannot be read again"
        return ""

    def _custom_left(self, node: NodePlan) -> bool:
        return node.name not in self.through and any(write.kind != "FILE" for write in node.writes)

    def _refuse_doubling(self, running: list[NodePlan], unfinished: set[str], reasons: Mapping[str, str]) -> None:
        """No node adds to what a run has committed since the job began."""
        taken = committed(self.lines, self.before.run_id)
        for run in run_folders(self.root):
            header = run.header() if run.run_id > self.header["job"] else None
            if header is not None and header.get("job") != self.header["job"]:
                taken |= committed(run.entries()[1:], run.run_id)
        cut_off = _cut_off(self.root, self.header["job"])
        taken |= cut_off
        names = [*(node.name for node in running), *unfinished]
        for name in names:
            node = self.nodes[name]
            keys = _added_to(node, self.root, full_refresh=self.full_refresh, customs_only=name in unfinished)
            for key, (what, mode) in keys.items():
                if key not in taken:
                    continue
                run_id, other = taken[key]
                if key in cut_off:
                    msg = f"node {other!r} of run {run_id} was stopped while it wrote to {what}, and what it had staged"
                    msg = f"{msg} is gone: its rows may be there, or not"
                elif run_id == self.before.run_id and other == name and name in self.unsure:
                    msg = f"node {name!r} wrote to {what}, or was about to, when run {run_id} was stopped, and it is"
                    msg = f"{msg} not there as it was: its rows may be there, or not"
                elif run_id == self.before.run_id and other == name:
                    done = "appended rows" if mode == "APPEND" else "written rows"
                    reason = reasons.get(name, "was stopped before it was through; its rows are not kept")
                    msg = f"node {name!r} has {done}, and {reason}"
                else:
                    there = f"run {run_id} has written there, as node {other!r}, since the unfinished run began"
                    msg = f"node {name!r} would write to {what}, and {there}"
                msg = f"cannot resume: {msg}; run without resuming"
                raise RunError(msg, node=name)

    def _refuse_other_rows(self, node: NodePlan) -> None:
        """Of a node of the job that is neither kept nor run now, only rows of other runs could be read."""
        whole = not self.header["scope"]
        for other in _read_nodes(node):
            of_job = whole or other in self.header["nodes"]
            if of_job and other not in self.kept and other not in self.plan.by_name:
                msg = f"cannot resume: node {node.name!r} reads {other!r}, which the unfinished run still has to run"
                raise RunError(f"{msg}; select {other!r} too, or resume without a selection", node=node.name)


def _cut_off(root: Path, job: str) -> dict[str, tuple[str, str]]:
    """Where commits of runs since a job began may have written that nobody can finish: as `committed`.

    Their targets do not point back at the records: the folders for staging were removed, or the project was moved
    away from its targets.
    """
    found: dict[str, tuple[str, str]] = {}
    for path in (root / "intents").glob("*.json"):
        record = read_record(str(path))
        written = _written(record) if record is not None else {}
        found |= {key: (run_id, node) for key, (run_id, node) in written.items() if run_id >= job}
    return found


def _written(record: Record) -> dict[str, tuple[str, str]]:
    """Where a commit writes: as `committed`."""
    run_id = Path(record.note["ledger"]).parent.name
    return committed([json.loads(record.note["ledger_line"])], run_id)


def _refuse_renamed(plan: Plan, root: Path) -> None:
    """A pipeline that never ran may be one that did not finish under another name."""
    name = plan.pipeline.name
    if any(header["pipeline"] == name for run in run_folders(root) if (header := run.header())):
        return
    nodes = plan.pipeline.nodes_dict
    keys = {
        key: (node.name, what)
        for node in plan.nodes
        for key, (what, _) in _added_to(nodes[node.name], root, full_refresh=False).items()
    }
    for run, other in _unfinished_elsewhere(root):
        for key in keys.keys() & committed(run.entries()[1:], run.run_id).keys():
            node, what = keys[key]
            msg = f"nothing to resume: pipeline {name!r} has never run, and the unfinished run {run.run_id} of pipeline"
            msg = f"{msg} {other!r} has written to {what}; resume under that name, or run without resuming"
            raise RunError(msg, node=node)


def _unfinished_elsewhere(root: Path) -> Iterator[tuple[RunFolder, str]]:
    """Runs that can be resumed, with the names of their pipelines, where runs of a renamed pipeline may lie."""
    for place in _places(root):
        for run in run_folders(place):
            with suppress(RunError):  # damaged, and of another pipeline
                header = run.header()
                if header and last_unfinished(place, header["pipeline"], header["scope"]) == run:
                    yield run, header["pipeline"]


def _places(root: Path) -> Iterator[Path]:
    """Root paths where runs of a renamed pipeline may lie: this one and, where names make them, those beside it."""
    from laktory.settings import settings

    yield root
    if root.parent == Path(settings.runtime_root).absolute() / "pipelines" and root.parent.is_dir():
        yield from (place for place in root.parent.iterdir() if place != root)


def _read_nodes(node: NodePlan) -> list[str]:
    return [read.what for read in node.reads if read.kind == "PIPELINE_NODE"]


def _added_to(
    node: PipelineNode, root: Path, *, full_refresh: bool, customs_only: bool = False
) -> dict[str, tuple[str, str]]:
    """What a node writes to without replacing what is there: key → how to call it, mode."""
    if node.has_streaming_source:  # has a ledger of its own
        return {}
    keys = {custom_key(node.name): ("its custom writer", "CUSTOM") for sink in node.sinks if sink.custom_writer}
    if not full_refresh and not customs_only:
        for sink in file_sinks(node):
            if sink.write_mode != "OVERWRITE":
                keys |= dict.fromkeys(target_keys(sink_target(sink), root), (repr(redact(sink.path)), sink.write_mode))
        keys |= table_marks(node)
    return keys
