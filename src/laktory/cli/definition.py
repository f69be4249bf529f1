"""From a file and the options of a command to a resolved pipeline, every problem at its place."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laktory.diagnostics import closest, raise_problems
from laktory.diagnostics.secrets import is_secret_name, register, register_variables
from laktory.errors import DefinitionError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from laktory.loading import Document
    from laktory.models import Pipeline
    from laktory.planning import Plan

__all__ = ["load_node", "load_pipeline", "planned", "variables_of"]

_NAME = re.compile(r"[^\W\d]\w*")
_WORD = re.compile(r"\w+")
_REFERENCE = re.compile(r"\bvars?\.(\w+)")


def planned(pipeline: Pipeline, select: Sequence[str] | None = None) -> Plan:
    """The plan of a pipeline whose variables are resolved, everything looked at that needs no data.

    Raises
    ------
    DefinitionError
        With every problem found.
    """
    from laktory.planning import plan
    from laktory.runtime.options import option_problems, refuse_unknown_options

    try:
        made = plan(pipeline, select, resolved=True)
    except DefinitionError as error:
        if not error.problems:
            raise
        raise_problems([*error.problems, *option_problems(pipeline)], pipeline._marks)
    refuse_unknown_options(made)
    return made


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
    variables |= {name: _scalar(value) for name, value in map(_pair, pairs or ())}
    register_variables(variables)
    return variables


def load_pipeline(
    file: str, var: Sequence[str] | None, var_file: Sequence[str] | None, backend: str | None = None
) -> Pipeline:
    """The pipeline of a file, its variables resolved.

    Parameters
    ----------
    var, var_file : ``--var`` and ``--var-file``; the former win over the latter, both over those of the definition, and
        a later one wins over an earlier one
    backend : replaces the `dataframe_backend` of the pipeline; nodes, sources and sinks that name one keep theirs

    Raises
    ------
    DefinitionError
        With every problem found; if a pair has no ``=`` or nothing uses it, or a file of variables holds no mapping.
    UnsupportedError
        If the file is a stack.
    """
    from laktory.loading import load

    variables = variables_of(var, var_file)

    _use_modules_of_project()
    engine = _known(backend)
    document = _pipeline_of(load(Path(file), vars=variables))
    _refuse_unused([_pair(text)[0] for text in var or ()], document)
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


def load_node(
    file: str, node: str | None, var: Sequence[str] | None, var_file: Sequence[str] | None, backend: str | None
) -> tuple[Pipeline, str]:
    """The pipeline of a file, and the name of one of its nodes; a name alone is that of a node of ``pipeline.yaml``.

    Raises
    ------
    DefinitionError
        As of `load_pipeline`, or if there is no such node.
    """
    if node is None:
        file, node = "pipeline.yaml", file
    pipeline = load_pipeline(file, var, var_file, backend)
    names = [each.name for each in pipeline.nodes]
    if node not in names:
        hint = closest(node, names) or f"valid: {', '.join(names[:20])}"
        msg = f"pipeline {pipeline.name!r} has no node {node!r}; {hint}"
        raise DefinitionError(msg)
    return pipeline, node


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not _NAME.fullmatch(name.strip()):
        if (word := _WORD.search(text)) and is_secret_name(word[0]):
            register(text[word.end() :].lstrip(" :="))
        msg = f"--var {text!r} is not a variable, write it as NAME=VALUE; a name has letters, digits and '_'"
        raise DefinitionError(msg)
    return name.strip(), value


def _refuse_unused(given: Collection[str], document: Document) -> None:
    """A misspelled variable would leave the definition's own value in force."""
    text = "\n".join(line for lines in document.marks.lines.values() for line in lines) if given else ""
    words = {word.casefold() for word in _WORD.findall(text)}
    for name in given:
        if name.casefold() not in words:
            used = sorted(set(_REFERENCE.findall(text)))
            hint = closest(name, used) or f"used: {', '.join(used) or 'none'}"
            msg = f"--var {name!r}: {document.name!r} uses no such variable; {hint}"
            raise DefinitionError(msg)


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
    document = document.unwrapped
    value = document.value
    if isinstance(value, dict) and "nodes" in value:
        return document
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
    except (yaml.YAMLError, ValueError, RecursionError):  # nested without end: no single value
        return text
    return text if isinstance(value, (dict, list, set, bytes)) else value
