"""``laktory show``."""

from laktory.cli import console
from laktory.cli.definition import load_node
from laktory.cli.options import (
    Backend,
    Debug,
    Directory,
    FileOrNode,
    Limit,
    NodeName,
    SparkConf,
    SparkRemote,
    Var,
    VarFile,
)

__all__ = ["show"]


def show(
    file: FileOrNode,
    node: NodeName = None,
    limit: Limit = 20,
    backend: Backend = None,
    var: Var = None,
    var_file: VarFile = None,
    spark_remote: SparkRemote = None,  # noqa: ARG001 - acts in its callback
    spark_conf: SparkConf = None,  # noqa: ARG001 - acts in its callback
    directory: Directory = None,  # noqa: ARG001 - acts in its callback
    debug: Debug = False,  # noqa: ARG001 - acts in its callback
) -> None:
    """Print rows of a node, computed from the pipeline's sources; nothing is written."""
    pipeline, node = load_node(file, node, var, var_file, backend)
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
