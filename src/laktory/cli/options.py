"""Options that several commands have."""

# typer reads these annotations when a command is built: no postponed evaluation here
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "Backend",
    "Debug",
    "Directory",
    "File",
    "FileOrNode",
    "Json",
    "Limit",
    "NodeName",
    "Select",
    "SparkConf",
    "SparkRemote",
    "State",
    "Var",
    "VarFile",
    "Version",
    "whole_number",
]


@dataclass(slots=True)
class State:
    """What the root command has to know of the options of the command it calls."""

    debug: bool = False


def _change_directory(value: Path | None) -> Path | None:
    if value is not None:
        try:
            os.chdir(value)
        except OSError as error:
            msg = f"{str(value)!r}: {error.strerror}"
            raise typer.BadParameter(msg) from None
    return value


def _keep_debug(ctx: typer.Context, value: bool) -> bool:
    ctx.find_root().ensure_object(State).debug |= value
    return value


def _set_remote(value: str | None) -> str | None:
    if value is not None:
        from laktory.settings import settings

        settings.spark_remote = value
    return value


def _set_conf(values: list[str] | None) -> list[str] | None:
    if values:
        from laktory.settings import settings

        pairs = [value.partition("=") for value in values]
        for name, equals, _ in pairs:
            if not equals or not name.strip():
                msg = f"expected KEY=VALUE, found {name!r}"
                raise typer.BadParameter(msg)
        settings.spark_conf = settings.spark_conf | {name.strip(): value for name, _, value in pairs}
    return values


def _print_version(value: bool) -> bool:
    if value:
        from laktory._version import __version__
        from laktory.cli import console

        console.out(__version__)
        raise typer.Exit
    return value


def whole_number(at_least: int, at_most: int | None = None) -> Any:
    """Parser of an option that is a whole number within bounds."""

    def parse(text: str) -> int:
        number = int(text) if re.fullmatch(r"[+-]?\d{1,9}", str(text)) else None
        if number is None or number < at_least or (at_most is not None and number > at_most):
            valid = f"{at_least} or more" if at_most is None else f"{at_least} to {at_most}"
            msg = f"expected a whole number, {valid}, found {text!r}"
            raise typer.BadParameter(msg)
        return number

    return parse


File = Annotated[str, typer.Argument(metavar="FILE", help="Definition, YAML or JSON.")]
FileOrNode = Annotated[str, typer.Argument(metavar="[FILE]", help="Definition, YAML or JSON.")]
NodeName = Annotated[str | None, typer.Argument(metavar="NODE", help="Name of the node.", show_default=False)]
Limit = Annotated[
    int,
    typer.Option("--limit", "-n", parser=whole_number(1, 100_000), metavar="INTEGER", help="Rows to print at most."),
]
Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        "-s",
        metavar="NODES",
        help="Nodes, task names or tags; '*x' with all before it, 'x*' with all after it. Repeat it, or use commas.",
    ),
]
Backend = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Engine instead of the pipeline's own; nodes that name one keep theirs."),
]
SparkRemote = Annotated[
    str | None,
    typer.Option(
        "--spark-remote",
        "--spark",
        metavar="WHERE",
        callback=_set_remote,
        help="Spark for nodes on PYSPARK: sc://HOST:PORT (Spark Connect), or sail (in this process, without Java).",
    ),
]
SparkConf = Annotated[
    list[str] | None,
    typer.Option(
        "--spark-conf",
        metavar="KEY=VALUE",
        callback=_set_conf,
        help="Configuration of the Spark session that is made. Repeatable.",
    ),
]
Var = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="Variable, a YAML scalar; wins over every other definition. Repeatable."),
]
VarFile = Annotated[
    list[str] | None,
    typer.Option(metavar="FILE", help="YAML or JSON mapping of variables; --var wins over it. Repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", callback=_keep_debug, help="Show tracebacks.")]
Directory = Annotated[
    Path | None,
    typer.Option(
        "-C", metavar="DIR", is_eager=True, callback=_change_directory, help="Work in DIR: all paths start there."
    ),
]
Version = Annotated[
    bool, typer.Option("--version", "-v", is_eager=True, callback=_print_version, help="Print the version.")
]
