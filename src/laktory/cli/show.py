"""``laktory show``."""

from typing import Annotated

import typer

from laktory.cli import console
from laktory.cli.definition import load_pipeline, node_named
from laktory.cli.options import Backend, Debug, Directory, Var, VarFile, whole_number

__all__ = ["show"]


def show(
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="Definition, YAML or JSON.")],
    node: Annotated[str | None, typer.Argument(metavar="NODE", help="Name of the node.", show_default=False)] = None,
    limit: Annotated[
        int,
        typer.Option(
            "--limit", "-n", parser=whole_number(1, 100_000), metavar="INTEGER", help="Rows to print at most."
        ),
    ] = 20,
    backend: Backend = None,
    var: Var = None,
    var_file: VarFile = None,
    directory: Directory = None,  # noqa: ARG001 - acts in its callback
    debug: Debug = False,  # noqa: ARG001 - acts in its callback
) -> None:
    """Print rows of a node, computed from the pipeline's sources; nothing is written."""
    if node is None:
        file, node = "pipeline.yaml", file
    pipeline = load_pipeline(file, var, var_file, backend)
    node_named(pipeline, node)
    from laktory.planning import plan
    from laktory.runtime.runner import RunOptions, run

    # every node before it runs too: what its sinks hold may be of another day
    made = plan(pipeline, [f"*{node}"], write_sinks=False, resolved=True)
    console.set_log_level("WARNING")
    outcome = run(made, RunOptions(write_sinks=False))
    outcome.raise_errors()
    result = outcome.results[node]
    session = outcome.sessions.get(result.engine)
    if result.output is not None:
        console.show_frame(session.collect(result.output.head(limit)), limit)
