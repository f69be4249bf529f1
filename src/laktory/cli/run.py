"""``laktory run``."""

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laktory.cli import console
from laktory.cli.definition import load_pipeline, planned
from laktory.cli.options import Backend, Debug, Directory, File, Json, Select, Var, VarFile, whole_number

if TYPE_CHECKING:
    from laktory.planning import Plan
    from laktory.runtime.events import Event
    from laktory.runtime.runner import RunOptions

__all__ = ["run"]


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
    json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    directory: Directory = None,  # noqa: ARG001 - acts in its callback
    debug: Debug = False,  # noqa: ARG001 - acts in its callback
) -> None:
    """Run a pipeline: read, transform and write its nodes.

    With --json the run record is printed, and log lines go to standard error.
    Exit codes: 0 done, 1 the run failed, 2 the definition or the call is wrong, 130 Ctrl-C, 143 SIGTERM.
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
    if json:
        _run_as_json(made, options)
    elif quiet or not console.is_terminal():
        _run_plainly(made, options, quiet=quiet)
    else:
        _run_on_terminal(made, options)


def _run_plainly(plan: "Plan", options: "RunOptions", *, quiet: bool) -> None:
    from laktory.runtime.runner import run as execute

    last = _LastRecord()
    try:
        outcome = execute(plan, options, last)
    finally:
        if last.record and not quiet:
            with console.unread_allowed():
                console.out(console.summary(last.record))
    outcome.raise_errors()


def _run_as_json(plan: "Plan", options: "RunOptions") -> None:
    from laktory.runtime.runner import run as execute

    last = _LastRecord()
    try:
        with console.logs_on_stderr():
            outcome = execute(plan, options, last)
    finally:
        if last.record:
            with console.unread_allowed():
                console.out_json(last.record)
    outcome.raise_errors()


def _run_on_terminal(plan: "Plan", options: "RunOptions") -> None:
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
    outcome.raise_errors()


class _LastRecord:
    """Keeps the record of a run, also of one that was stopped."""

    def __init__(self) -> None:
        self.record: dict[str, Any] | None = None

    def __call__(self, event: "Event") -> None:
        from laktory.runtime.events import RunEnded

        if isinstance(event, RunEnded):
            self.record = event.record
