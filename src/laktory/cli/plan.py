"""``laktory plan``."""

from laktory.cli import console
from laktory.cli.definition import load_pipeline, planned
from laktory.cli.options import Backend, Debug, Directory, File, Json, Select, SparkConf, SparkRemote, Var, VarFile

__all__ = ["plan"]


def plan(
    file: File = "pipeline.yaml",
    select: Select = None,
    backend: Backend = None,
    var: Var = None,
    var_file: VarFile = None,
    json: Json = False,
    spark_remote: SparkRemote = None,  # noqa: ARG001 - acts in its callback
    spark_conf: SparkConf = None,  # noqa: ARG001 - acts in its callback
    directory: Directory = None,  # noqa: ARG001 - acts in its callback
    debug: Debug = False,  # noqa: ARG001 - acts in its callback
) -> None:
    """Show what a run would do, in order, and why: engine, reads, writes, and what happens to each frame."""
    with console.logs_on_stderr():
        pipeline = load_pipeline(file, var, var_file, backend)
        made = planned(pipeline, select)
    if json:
        console.out_json(made.to_dict())
    else:
        console.show_plan(made)
