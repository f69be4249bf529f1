"""``laktory validate``."""

from laktory.cli import console
from laktory.cli.definition import load_pipeline, planned
from laktory.cli.options import Backend, Debug, Directory, File, SparkConf, SparkRemote, Var, VarFile

__all__ = ["validate"]


def validate(
    file: File = "pipeline.yaml",
    var: Var = None,
    var_file: VarFile = None,
    backend: Backend = None,
    spark_remote: SparkRemote = None,  # noqa: ARG001 - acts in its callback
    spark_conf: SparkConf = None,  # noqa: ARG001 - acts in its callback
    directory: Directory = None,  # noqa: ARG001 - acts in its callback
    debug: Debug = False,  # noqa: ARG001 - acts in its callback
) -> None:
    """Tell everything that is wrong with a definition, without reading or writing any data."""
    with console.logs_on_stderr():
        pipeline = load_pipeline(file, var, var_file, backend)
        made = planned(pipeline)
    console.out(f"{file} is valid: {console.count(len(made.nodes), 'node')}")
