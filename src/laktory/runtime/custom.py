"""Functions of the user's own, imported only from modules that the pipeline lists."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any

from laktory.diagnostics import Problem
from laktory.errors import DefinitionError, RunError
from laktory.log import get_logger
from laktory.models.base import SPELLINGS
from laktory.models.datasources import CustomDataSource
from laktory.models.problems import raise_located
from laktory.planning import pipeline_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from laktory.models.custom import LaktoryContext, _CustomFunction
    from laktory.models.pipeline.pipeline import Pipeline

__all__ = ["call", "import_listed"]

_log = get_logger(__name__)


def import_modules(names: Iterable[str]) -> None:
    """Import what the pipeline lists, so that namespaces are registered.

    Raises
    ------
    DefinitionError
        If a module cannot be imported; the cause is told, not hidden.
    """
    for name in names:
        _log.info("Importing %s", name)
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:
            msg = f"module {name!r} cannot be imported: {type(error).__name__}: {error}"
            raise DefinitionError(msg) from error


def import_listed(pipeline: Pipeline, named: Collection[str]) -> None:
    """Import what the pipeline lists and judge again: what the modules register can be looked at only now.

    Raises
    ------
    DefinitionError
        If a module cannot be imported, or lacks what the definition asks of it. Nothing was read or written.
    """
    if not pipeline.imports:
        return
    read = (source for node in pipeline.nodes for source in node.external_sources)
    sources = (source.custom_reader for source in read if isinstance(source, CustomDataSource))
    writers = (sink.custom_writer for node in pipeline.nodes for sink in node.sinks if sink.custom_writer is not None)
    functions = [function.func_name.rpartition(".")[0] for function in (*sources, *writers)]
    for index, name in enumerate([*pipeline.imports, *dict.fromkeys(functions)]):
        try:
            import_modules([name])
        except DefinitionError as error:
            at = ("imports", index) if index < len(pipeline.imports) else ("imports",)
            raise_located([Problem(str(error), at)], pipeline._marks, SPELLINGS)
    problems = pipeline_problems(pipeline, named, imported=True)
    if problems:
        raise_located(problems, pipeline._marks, SPELLINGS)


def call(function: _CustomFunction, imports: Iterable[str], context: LaktoryContext, *first: Any) -> Any:
    """Call a custom function with its arguments; `first` come before them.

    Raises
    ------
    DefinitionError
        If it is outside the modules listed in `imports`, or does not exist.
    RunError
        If it raises.
    """
    found = _find(function.func_name, imports)
    kwargs = dict(function.func_kwargs)
    if "laktory_context" in inspect.signature(found).parameters:
        kwargs["laktory_context"] = context
    try:
        return found(*first, *function.func_args, **kwargs)
    except (Exception, SystemExit) as error:
        # a function that asks to leave the process has failed; the run goes on without it
        msg = f"{function.func_name!r} raised {type(error).__name__}: {error}"
        raise RunError(msg) from error


def _find(func_name: str, imports: Iterable[str]) -> Callable[..., Any]:
    module_name, _, name = func_name.rpartition(".")
    if not any(module_name == listed or module_name.startswith(f"{listed}.") for listed in imports):
        msg = f"{func_name!r} is not in a module that the pipeline lists in 'imports'; add {module_name!r} to it"
        raise DefinitionError(msg)
    import_modules([module_name])
    found = getattr(importlib.import_module(module_name), name, None)
    if not callable(found):
        msg = f"module {module_name!r} has no function {name!r}"
        raise DefinitionError(msg)
    return found  # type: ignore[no-any-return]
