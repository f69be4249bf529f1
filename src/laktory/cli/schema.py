"""``laktory schema``."""

from typing import Annotated

import typer

from laktory.cli import console
from laktory.cli.options import Debug, Directory
from laktory.diagnostics import closest
from laktory.errors import DefinitionError

__all__ = ["schema"]

_KINDS = ("pipeline",)


def schema(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"What to describe: {', '.join(_KINDS)}.")] = "pipeline",
    directory: Directory = None,  # noqa: ARG001 - acts in its callback
    debug: Debug = False,  # noqa: ARG001 - acts in its callback
) -> None:
    """Print a JSON Schema, with which editors complete, explain and check definitions.

    Save it, and begin the YAML file with: # yaml-language-server: $schema=./pipeline.schema.json
    """
    if kind not in _KINDS:
        msg = f"there is no schema of {kind!r}; {closest(kind, _KINDS) or 'valid: ' + ', '.join(_KINDS)}"
        raise DefinitionError(msg)
    from laktory.cli.editor_schema import pipeline_schema

    console.out_json(pipeline_schema())
