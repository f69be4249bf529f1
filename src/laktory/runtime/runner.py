"""Runs a plan: nodes that are ready, side by side where it pays, and a record of what happened."""

from __future__ import annotations

import os
import time
from collections import ChainMap, deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from laktory.diagnostics import Problem, render
from laktory.diagnostics.secrets import redact
from laktory.engines.capabilities import ENGINES
from laktory.engines.errors import is_panic, os_reason
from laktory.errors import DefinitionError, LaktoryError, RunError, SinkError, within
from laktory.log import current_node, get_logger
from laktory.models.base import SPELLINGS
from laktory.models.problems import located
from laktory.planning.tables import table_sinks
from laktory.runtime import node as node_room
from laktory.runtime.custom import import_listed
from laktory.runtime.events import NodeEnded, NodeStarted, RunEnded, RunStarted
from laktory.runtime.gate import Gate
from laktory.runtime.ledger import file_sinks, sink_target
from laktory.runtime.node import NodeContext, NodeResult
from laktory.runtime.options import refuse_unknown_options
from laktory.runtime.quality import Quality
from laktory.runtime.reading import rows_in
from laktory.runtime.record import RunFolder, new_run_id, prune, run_folders, versions
from laktory.runtime.resume import Job, finish_killed, open_job, start_line
from laktory.runtime.sessions import Sessions
from laktory.runtime.tables import begun, lock_target
from laktory.runtime.writing import refuse_out_of_reach, sink_place
from laktory.storage import Locks, require_files, sink_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from laktory.models.datasinks import FileDataSink
    from laktory.models.pipeline.pipeline import Pipeline
    from laktory.planning import Plan
    from laktory.runtime.events import Listener, Status
    from laktory.storage import Target

__all__ = ["RunOptions", "RunOutcome", "run"]

_log = get_logger(__name__)

MAX_MESSAGE = 600
_KEYED = (("selects",), ("renames",))
"""Mappings whose keys name columns: those are shown."""
WAKE_SECONDS = 0.2
STOP_SECONDS = 0.5
"""How long a run that is stopped waits for its nodes. Polars ends no query before it is done."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run a plan; see `Pipeline.execute`."""

    write_sinks: bool = True
    full_refresh: bool = False
    resume: bool = False
    threads: int | None = None
    apply_transformer: bool = True
    named: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, NodeResult] = field(default_factory=dict)


@dataclass(slots=True)
class RunOutcome:
    """Record and results of a run; `errors` holds what failed, in the order it failed."""

    record: dict[str, Any]
    results: dict[str, NodeResult]
    errors: list[BaseException]
    sessions: Sessions

    def raise_errors(self) -> None:
        """Raise the one failure as it is, several as an `ExceptionGroup`."""
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            failures = [error for error in self.errors if isinstance(error, Exception)]
            msg = f"{len(failures)} nodes of pipeline {self.record['pipeline']!r} failed"
            raise ExceptionGroup(msg, failures)


def run(plan: Plan, options: RunOptions, listener: Listener = lambda _: None) -> RunOutcome:
    """Run a plan.

    Raises
    ------
    TargetLockedError
        If another run holds the pipeline or one of its targets.
    RunError
        If records cannot be kept, or the process may open no more files.
    KeyboardInterrupt
        On Ctrl-C, after the engines were stopped and the record was written.
    """
    with sink_errors(f"run pipeline {plan.pipeline.name!r}", RunError):
        return _Run(plan, options, listener).execute()


class _Run:
    def __init__(self, plan: Plan, options: RunOptions, listener: Listener) -> None:
        self.plan = plan
        self.options = options
        self.listener = listener
        self.root = Path(plan.pipeline.root_path).absolute()
        self._number()
        self.sessions = Sessions()
        self.gate = Gate()
        self.locks: Locks | None = None
        self.finished: Mapping[str, tuple[str, str]] = {}
        self.turns = {name: Lock() for name, engine in ENGINES.items() if not engine.parallel}
        self.results: dict[str, NodeResult] = {}
        self.outcomes: dict[str, dict[str, Any]] = {}
        self.rows_in: dict[str, int | None] = {}
        self.errors: list[BaseException] = []
        self.nodes = plan.pipeline.nodes_dict
        self.downstream: dict[str, list[str]] = {}
        for node in plan.nodes:
            for name in node.upstream:
                self.downstream.setdefault(name, []).append(node.name)
        self.started = datetime.now(UTC)
        self.clock = time.perf_counter()

    def _number(self) -> None:
        """Be the latest run of the root path."""
        self.run_id = new_run_id(self.root)
        self.folder = RunFolder(self.root, self.run_id)
        self.job = Job(self.run_id, list(self.plan.selects), self.plan.node_names)

    def execute(self) -> RunOutcome:
        if self.options.resume and not self.options.write_sinks:
            msg = "resume=True with write_sinks=False: only a run that writes its sinks can be resumed; leave one out"
            raise DefinitionError(msg)
        import_listed(self.plan.pipeline, self.options.named)
        refuse_unknown_options(self.plan)
        require_files()
        self._refuse_out_of_reach()
        with ExitStack() as locks:
            if self.options.write_sinks:
                self._lock(locks)
            _log.info("Executing pipeline '%s'", self.plan.pipeline.name)
            status: Status = "interrupted"
            try:
                if self.options.write_sinks:
                    self._open_folder()
                self.listener(RunStarted(self.run_id, self.plan))
                self._nodes()
                status = "failed" if self.errors else "succeeded"
                record = self._end_run(status)
            except BaseException:
                if not self.options.write_sinks or self.folder.ledger.exists():
                    self._end_run("interrupted")
                raise
        return RunOutcome(record, self.results, self.errors, self.sessions)

    # ---- before and after --------------------------------------------------------------------

    def _refuse_out_of_reach(self) -> None:
        """Before anything is locked, read or written."""
        for name in self.plan.node_names if self.options.write_sinks else ():
            for sink in file_sinks(self.nodes[name]):
                try:
                    refuse_out_of_reach(sink, self.sessions)
                except RunError as error:
                    raise _told(name, error, self.plan.pipeline) from error.__cause__

    def _lock(self, locks: ExitStack) -> None:
        """The pipeline's own lock and those of all targets, held until the run ends; what killed runs left goes."""
        from laktory.settings import settings

        targets = [
            _target(sink, self.plan.pipeline) for name in self.plan.node_names for sink in file_sinks(self.nodes[name])
        ]
        targets += [lock_target(sink) for name in self.plan.node_names for _, sink in table_sinks(self.nodes[name])]
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"cannot make {str(self.plan.pipeline.root_path)!r}, the folder of run records: {os_reason(error)}"
            raise RunError(f"{msg}; set 'root_path' of the pipeline, or the setting 'runtime_root'") from error
        owner, timeout = f"run {self.run_id} of pipeline {self.plan.pipeline.name!r}", settings.lock_timeout
        locks.enter_context(Locks.acquire((), owner=owner, timeout=timeout, extra=str(self.root / "lock")))
        if any(run.run_id > self.run_id for run in run_folders(self.root)):  # begun while this one waited for the lock
            self._number()
        self.finished = finish_killed(self.root, self.plan, owner=owner, timeout=timeout)
        self.locks = locks.enter_context(Locks.acquire(targets, owner=owner, timeout=timeout))
        locks.callback(self.gate.close)  # no lock goes while a node may commit

    def _open_folder(self) -> None:
        (self.root / "intents").mkdir(parents=True, exist_ok=True)
        resume, full_refresh = self.options.resume, self.options.full_refresh
        self.job = open_job(
            self.plan, self.root, self.folder, self.sessions,
            finished=self.finished, resume=resume, full_refresh=full_refresh,
        )  # fmt: skip
        self.results |= self.job.results
        started = self.started.isoformat()
        header = start_line(self.plan, self.root, self.job, self.run_id, started=started, full_refresh=full_refresh)
        self.folder.open(header, self.job.lines)
        self.sessions.hold(self.folder.path)

    def _end_run(self, status: Status) -> dict[str, Any]:
        """Write the record. Where that fails it is one more error: what else happened is told all the same."""
        record = self._record(status)
        try:
            with sink_errors("tidy up"):
                if self.options.write_sinks:
                    self.folder.write_record(record)
                    prune(self.root)
        except SinkError as error:
            self.errors.append(error)
            if status == "succeeded":
                record["status"] = "failed"
        self.listener(RunEnded(record))
        return record

    def _record(self, status: Status) -> dict[str, Any]:
        finished = datetime.now(UTC)
        return {
            "run_id": self.run_id,
            "pipeline": self.plan.pipeline.name,
            "status": status,
            "started": self.started.isoformat(),
            "finished": finished.isoformat(),
            "seconds": round(time.perf_counter() - self.clock, 3),
            "selects": list(self.plan.selects),
            "full_refresh": self.options.full_refresh,
            "write_sinks": self.options.write_sinks,
            "resumed_from": self.job.resumed_from,
            "process": os.getpid(),
            "versions": versions(),
            "nodes": [
                self.outcomes.get(name, {"name": name, "status": "skipped", "reason": "the run was stopped"})
                for name in self.plan.node_names
            ],
        }

    # ---- nodes -------------------------------------------------------------------------------

    def _nodes(self) -> None:
        """Start each node when its upstream is done. Work happens in threads, so that signals reach this one."""
        waiting = {node.name: len(node.upstream) for node in self.plan.nodes}
        ready = deque(name for name, count in waiting.items() if not count)
        threads = self._threads()
        if threads > 1:
            import sqlglot  # noqa: F401 - its first import from several threads at once deadlocks
        pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="laktory")
        running: dict[Future[NodeResult], str] = {}

        def release(name: str) -> None:
            for consumer in self.downstream.get(name, ()):
                waiting[consumer] -= 1
                if not waiting[consumer]:
                    ready.append(consumer)

        try:
            while ready or running:
                while ready and len(running) < threads:
                    name = ready.popleft()
                    if self._settled(name):
                        release(name)
                    else:
                        running[self._start(pool, name, labelled=threads > 1)] = name
                # woken now and then: an engine's signal handling may restart an endless wait
                done, _ = wait(running, timeout=WAKE_SECONDS, return_when=FIRST_COMPLETED)
                for future in done:
                    name = running.pop(future)
                    self._finish(name, future)
                    release(name)
        except BaseException:
            with ExitStack() as steps:  # the last one first, and each whatever a second Ctrl-C cuts short
                steps.callback(pool.shutdown, wait=False, cancel_futures=True)
                steps.callback(self.sessions.abandon)
                steps.callback(self._stopped, running)
                # what stops at once removes what it has staged while the targets are still locked
                steps.callback(wait, running, timeout=STOP_SECONDS)
                steps.callback(self.gate.close)
                steps.callback(self.sessions.interrupt)
            raise
        pool.shutdown()

    def _threads(self) -> int:
        if self.options.threads is not None:
            return max(1, self.options.threads)
        nodes = self.plan.nodes
        links = max((max(len(node.upstream), len(self.downstream.get(node.name, ()))) for node in nodes), default=0)
        chain = links <= 1 and sum(not node.upstream for node in nodes) <= 1
        side_by_side = not chain and all(ENGINES[node.engine].parallel for node in nodes)
        return min(4, os.cpu_count() or 1) if side_by_side else 1

    def _settled(self, name: str) -> bool:
        """Whether a node needs no work: committed by the resumed run, or its upstream failed."""
        if name in self.results and name not in self.job.unfinished:
            result = self.results[name]
            self._end(name, "resumed", {"rows_out": result.rows} | (result.quality.facts() if result.quality else {}))
            return True
        failed = [
            other
            for other in self.plan.by_name[name].upstream
            if self.outcomes[other]["status"] in ("failed", "skipped")
        ]
        if failed:
            self._end(name, "skipped", {"reason": f"upstream {failed[0]!r} did not succeed"})
            return True
        return False

    def _start(self, pool: ThreadPoolExecutor, name: str, *, labelled: bool) -> Future[NodeResult]:
        self.listener(NodeStarted(name))
        self.outcomes[name] = {"name": name, "status": "running", "clock": time.perf_counter()}
        context = copy_context()
        if labelled:
            context.run(current_node.set, name)
        return pool.submit(context.run, self._one, name)

    def _one(self, name: str) -> NodeResult:
        options = self.options
        context = NodeContext(
            results=ChainMap(self.results, options.given),  # type: ignore[arg-type]
            sessions=self.sessions,
            named=options.named,
            folder=self.folder if options.write_sinks else None,
            intents=self.root / "intents" if options.write_sinks else None,
            locks=self.locks,
            run_id=self.run_id,
            gate=self.gate,
            replace_all=options.full_refresh,
            write_sinks=options.write_sinks,
            apply_transformer=options.apply_transformer,
            once=(self.job.id, 1),
            # of a node that runs anew, what was begun counts for nothing: it is replaced, or not resumed
            tables=begun(self.job.lines) if name in self.job.unfinished else {},
        )
        with ExitStack() as turns:
            for engine in self._taking_turns(name):
                turns.enter_context(self.turns[engine])
            if name in self.job.unfinished:
                return node_room.finish_custom(self.nodes[name], self.results[name], context)
            # before the node writes: it may write to what it reads
            self.rows_in[name] = rows_in(self.nodes[name], self.plan.by_name[name], context)
            return node_room.execute(self.nodes[name], self.plan.by_name[name], context)

    def _taking_turns(self, name: str) -> list[str]:
        """Engines a node works with whose nodes take turns, always in the same order."""
        node = self.plan.by_name[name]
        engines = {node.engine, *(self.results[other].engine for other in node.upstream if other in self.results)}
        return sorted(engines & self.turns.keys())

    def _finish(self, name: str, future: Future[NodeResult]) -> None:
        error = future.exception()
        if error is None:
            result = self.results[name] = future.result()
            self._end(name, "succeeded", _facts(result, self.rows_in.get(name)))
            return
        if not isinstance(error, Exception) and not is_panic(error):
            raise error
        shown = _told(name, error, self.plan.pipeline)
        self.errors.append(shown)
        facts = error.facts if isinstance(error, LaktoryError) else {}
        told = {"type": type(shown).__name__, "message": redact(str(shown))}
        self._end(name, "failed", {"error": told, **facts})

    def _stopped(self, running: Mapping[Future[NodeResult], str]) -> None:
        """Nothing is committed any more; a node that just was has not been interrupted, though its thread goes on."""
        lines = self.folder.entries()[1 + len(self.job.lines) :] if self.options.write_sinks else []
        committed = {line["node"]: line for line in lines if "read" in line}
        through = {line["node"] for line in lines if "custom_writers" in line}
        for name in running.values():
            customs = any(write.kind != "FILE" for write in self.plan.by_name[name].writes)
            if name in committed and (name in through or not customs):
                line = committed[name]
                quality = line.get("quality")
                found = Quality.resumed(self.nodes[name].rules, quality, None).facts() if quality else {}
                self._end(name, "succeeded", {"rows_out": line["rows"]} | found)
            else:
                self._end(name, "interrupted", {})

    def _end(self, name: str, status: Status, facts: dict[str, Any]) -> None:
        began = self.outcomes.get(name, {}).get("clock")
        seconds = round(time.perf_counter() - began, 3) if began is not None else 0.0
        node = self.plan.by_name[name]
        outcome = {"name": name, "status": status, "engine": node.engine, "how": node.how, "seconds": seconds, **facts}
        self.outcomes[name] = outcome
        self.listener(NodeEnded(name, status, outcome))


def _target(sink: FileDataSink, pipeline: Pipeline) -> Target:
    try:
        with within(*sink_place(sink), "path"):
            return sink_target(sink)
    except SinkError as error:
        raise _told(sink.parent_pipeline_node.name, error, pipeline) from error.__cause__


def _facts(result: NodeResult, rows_in: int | None) -> dict[str, Any]:
    """Counts for the record."""
    return {
        "rows_in": rows_in,
        "rows_out": result.rows,
        "bytes": sum(item.bytes for item in result.written),
        "sinks": [
            {
                "path": redact(item.sink.path),
                "format": item.sink.format,
                "mode": item.sink.write_mode,
                "rows": item.rows,
                "bytes": item.bytes,
                "version": item.version,
            }
            for item in result.written
        ]
        + [
            {
                "table": redact(table.sink.full_name),
                "format": None if table.sink.is_view else table.sink.format,
                "mode": table.sink.write_mode,
                "rows": rows,
            }
            for table, rows in result.tables
        ],
    } | (result.quality.facts() if result.quality is not None else {})


def _told(name: str, error: BaseException, pipeline: Pipeline) -> RunError:
    """The failure with the node and the place it happened in; what is no `RunError` becomes one."""
    failed = error if isinstance(error, RunError) else RunError(_message(error))
    if failed is not error:
        failed.__cause__ = error
        failed.path = error.path if isinstance(error, LaktoryError) else ()
    failed.node = failed.node or name
    failed.told = f"node {name!r}: {_in_the_file(name, failed, error, pipeline) or failed}"
    return failed


def _message(error: BaseException) -> str:
    if isinstance(error, LaktoryError):
        return str(error)
    if is_panic(error):
        return "a library that this node uses gave up; see the cause"
    first_line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first_line}"[:MAX_MESSAGE]


def _in_the_file(name: str, failed: RunError, error: BaseException, pipeline: Pipeline) -> str | None:
    """The message where it belongs in the user's file, None when no file tells it."""
    if not failed.path or pipeline._marks is None:
        return None
    offset = getattr(error, "offset", None)
    index = next(position for position, node in enumerate(pipeline.nodes) if node.name == name)
    problem = Problem(
        str(failed.args[0]),
        ("nodes", index, *failed.path),
        line=getattr(error, "line", None) if offset is None else 1,
        column=getattr(error, "column", None) if offset is None else offset + 1,
        hint=getattr(error, "hint", None),
        on_key=failed.path[-2:-1] in _KEYED and isinstance(failed.path[-1], str),
    )
    [problem] = located([problem], pipeline._marks, SPELLINGS)
    return render(problem, pipeline._marks, limit=MAX_MESSAGE) if problem.position is not None else None
