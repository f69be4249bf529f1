"""``laktory run``."""

import warnings
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laktory.cli import console
from laktory.cli.definition import load_pipeline, planned
from laktory.cli.options import (
    Backend,
    Debug,
    Directory,
    File,
    Json,
    Select,
    SparkConf,
    SparkRemote,
    Var,
    VarFile,
    whole_number,
)
from laktory.errors import DataQualityWarning, RunError

if TYPE_CHECKING:
    from laktory.planning import Plan
    from laktory.runtime.events import Event
    from laktory.runtime.runner import RunOptions, RunOutcome

__all__ = ["run"]

MAX_NAMED = 5


def run(
    file: File = "pipeline.yaml",
    select: Select = None,
    backend: Backend = None,
    var: Var = None,
    var_file: VarFile = None,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Replace what sinks hold, whatever their mode.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the last unfinished run: what it committed is not run again.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and show the plan; read and write nothing.")
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(
            parser=whole_number(1),
            metavar="INTEGER",
            help="Nodes that may run side by side. Default: chosen from the machine.",
        ),
    ] = None,
    fail_on_warn: Annotated[
        bool, typer.Option("--fail-on-warn", help="Exit with code 1 if any expectation failed, whatever its action.")
    ] = False,
    json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    spark_remote: SparkRemote = None,  # noqa: ARG001 - acts in its callback
    spark_conf: SparkConf = None,  # noqa: ARG001 - acts in its callback
    directory: Directory = None,  # noqa: ARG001 - acts in its callback
    debug: Debug = False,  # noqa: ARG001 - acts in its callback
) -> None:
    """Run a pipeline: read, transform and write its nodes.

    With --json the run record is printed, and log lines go to standard error.
    Exit codes: 0 done, 1 the run failed (or an expectation, with --fail-on-warn), 2 the definition or the call is
    wrong, 130 Ctrl-C, 143 SIGTERM.
    """
    with console.logs_on_stderr() if json else nullcontext():
        pipeline = load_pipeline(file, var, var_file, backend)
        made = planned(pipeline, select)
    if dry_run:
        if json:
            console.out_json(made.to_dict())
        elif not quiet:
            console.show_plan(made)
        return
    from laktory.runtime.runner import RunOptions

    if quiet:
        console.set_log_level("ERROR")
    options = RunOptions(full_refresh=full_refresh, resume=resume, threads=threads)
    warnings.simplefilter("ignore", DataQualityWarning)  # the table tells the same
    if json:
        outcome = _run_as_json(made, options)
    elif quiet or not console.is_terminal():
        outcome = _run_plainly(made, options, quiet=quiet)
    else:
        outcome = _run_on_terminal(made, options)
    outcome.raise_errors()
    failed = console.failed_checks(outcome.record) if fail_on_warn else []
    if failed:
        more = f" and {len(failed) - MAX_NAMED} more" if len(failed) > MAX_NAMED else ""
        msg = f"--fail-on-warn: {console.count(len(failed), 'expectation')} failed: {', '.join(failed[:MAX_NAMED])}"
        raise RunError(f"{msg}{more}; the outputs are written")


def _run_plainly(plan: "Plan", options: "RunOptions", *, quiet: bool) -> "RunOutcome":
    from laktory.runtime.runner import run as execute

    last = _LastRecord()
    try:
        outcome = execute(plan, options, last)
    finally:
        if last.record and not quiet:
            with console.unread_allowed():
                if checks := console.checks_table(last.record["nodes"]):
                    console.out(checks)
                console.out(console.summary(last.record))
    return outcome


def _run_as_json(plan: "Plan", options: "RunOptions") -> "RunOutcome":
    from laktory.runtime.runner import run as execute

    last = _LastRecord()
    try:
        with console.logs_on_stderr():
            outcome = execute(plan, options, last)
    finally:
        if last.record:
            with console.unread_allowed():
                console.out_json(last.record)
    return outcome


def _run_on_terminal(plan: "Plan", options: "RunOptions") -> "RunOutcome":
    from laktory.cli.progress import Progress
    from laktory.runtime.runner import run as execute

    console.set_log_level("WARNING")
    progress = Progress(plan)
    try:
        with progress:
            outcome = execute(plan, options, progress)
    finally:
        with console.unread_allowed():
            progress.print_summary()
    return outcome


class _LastRecord:
    """Keeps the record of a run, also of one that was stopped."""

    def __init__(self) -> None:
        self.record: dict[str, Any] | None = None

    def __call__(self, event: "Event") -> None:
        from laktory.runtime.events import RunEnded

        if isinstance(event, RunEnded):
            self.record = event.record
