"""From a file and the options of a command to a resolved pipeline, every problem at its place."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laktory.diagnostics import closest, raise_problems
from laktory.diagnostics.secrets import register_variables
from laktory.errors import DefinitionError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from laktory.loading import Document
    from laktory.models import Pipeline

__all__ = ["load_pipeline", "variables_of"]


def variables_of(pairs: Sequence[str] | None, files: Sequence[str] | None) -> dict[str, Any]:
    """Variables of ``--var`` and ``--var-file``; the former win, and a later one wins over an earlier one.

    Raises
    ------
    DefinitionError
        If a pair has no ``=``, or a file holds no mapping.
    """
    variables: dict[str, Any] = {}
    for file in files or ():
        from laktory.loading import load

        found = load(Path(file)).value
        if not isinstance(found, dict):
            msg = f"--var-file {file!r} holds no variables, expected a mapping of 'name: value' lines"
            raise DefinitionError(msg)
        variables |= found
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            msg = f"--var {pair!r} is not a variable, write it as NAME=VALUE"
            raise DefinitionError(msg)
        variables[name.strip()] = _scalar(value)
    register_variables(variables)
    return variables


def load_pipeline(file: str, variables: dict[str, Any], backend: str | None = None) -> Pipeline:
    """The pipeline of a file, its variables resolved; `variables` win over those of the definition.

    Parameters
    ----------
    backend : replaces the `dataframe_backend` of the pipeline; nodes, sources and sinks that name one keep theirs

    Raises
    ------
    DefinitionError
        With every problem found.
    UnsupportedError
        If the file is a stack.
    """
    from laktory.loading import load

    _use_modules_of_project()
    engine = _known(backend)
    document = _pipeline_of(load(Path(file), vars=variables))
    resolved, problems = _resolved(document, variables)
    if engine is not None:
        resolved = replace(resolved, value={**resolved.value, "dataframe_backend": engine})
    from laktory.models import Pipeline

    try:
        pipeline = Pipeline._build(resolved.value, resolved.marks)
        if problems:
            problems += pipeline._plan_problems(())
    except DefinitionError as error:
        if not error.problems:
            raise
        problems += error.problems
    if problems:
        raise_problems(problems, document.marks)
    return pipeline


def _use_modules_of_project() -> None:
    """Modules that a pipeline lists in `imports` may lie in the working directory; installed ones come first."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)


def _resolved(document: Document, variables: dict[str, Any]) -> tuple[Document, list[Any]]:
    """Resolved as far as possible, so that what is wrong besides a variable is told at once too."""
    try:
        return document.resolve(variables, override=True), []
    except DefinitionError as error:
        if not error.problems:
            raise
        problems = list(error.problems)
    try:
        return document.resolve(variables, override=True, strict=False), problems
    except DefinitionError:
        raise_problems(problems, document.marks)


def _pipeline_of(document: Document) -> Document:
    """The document, when it holds a pipeline; commands on stacks will part from here."""
    value, marks = document.value, document.marks
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        # the seed shows a pipeline as the single item of a list
        value, marks = value[0], marks.below((0,))
    if isinstance(value, dict) and "nodes" in value:
        return replace(document, value=value, marks=marks)
    if isinstance(value, dict) and "resources" in value:
        msg = f"{document.name!r} is a stack (it has 'resources'); stack files are not supported yet, give a pipeline"
        raise UnsupportedError(msg)
    if not isinstance(value, dict):
        from laktory.models.problems import describe

        msg = f"{document.name!r} holds {describe(value)}, expected a pipeline: a mapping with 'name' and 'nodes'"
        raise DefinitionError(msg)
    guess = next((f"{key!r}: {hint}" for key in value if (hint := closest(str(key), ("nodes", "resources")))), None)
    found = ", ".join(repr(key) for key in list(value)[:8]) or "nothing"
    msg = f"{document.name!r} is no pipeline: it has no 'nodes', found {found}" + (f"; {guess}" if guess else "")
    raise DefinitionError(msg)


def _known(backend: str | None) -> str | None:
    from laktory.engines.capabilities import ENGINES

    if backend is None or backend.upper() in ENGINES:
        return backend and backend.upper()
    hint = closest(backend, ENGINES)
    msg = f"--backend {backend!r} is not a backend of this version, valid: {', '.join(ENGINES)}" + (
        f"; {hint}" if hint else ""
    )
    raise DefinitionError(msg)


def _scalar(text: str) -> Any:
    """A value as YAML would read it, when that is a single value; otherwise, and when empty, the text itself."""
    import yaml

    try:
        value = yaml.safe_load(text) if text.strip() else text
    except (yaml.YAMLError, ValueError):
        return text
    return text if isinstance(value, (dict, list, set, bytes)) else value
