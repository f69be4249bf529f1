"""A step that calls a method of the flowing frame."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from laktory.diagnostics import Problem, closest
from laktory.engines.capabilities import ENGINES
from laktory.errors import DefinitionError
from laktory.models.base import children_of, is_variable
from laktory.models.dataframe.dataframeexpr import node_sources
from laktory.models.datasources.base import BaseDataSource
from laktory.models.datasources.custom import CustomDataSource
from laktory.models.datasources.dataframe import DataFrameDataSource
from laktory.models.datasources.file import FileDataSource
from laktory.models.datasources.pipelinenode import PipelineNodeDataSource
from laktory.models.pipelinechild import PipelineChild
from laktory.models.problems import problem_error, problems_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from laktory.diagnostics import Path

__all__ = ["DataFrameMethod", "reference"]

_SOURCES: dict[str, type[BaseDataSource]] = {
    "FILE": FileDataSource,
    "PIPELINE_NODE": PipelineNodeDataSource,
    "DATAFRAME": DataFrameDataSource,
    "CUSTOM": CustomDataSource,
}


class DataFrameMethod(PipelineChild):
    """A method of the flowing frame, its arguments being values, frames or expressions.

    Among the arguments, at any depth of lists and mappings: ``{df}``, ``{nodes.NAME}``, ``{sources.NAME}`` and
    ``{NAME}`` stand for frames, a source in place (``{node_name: brz}``) is read, and a text that is an
    expression of the dataframe API (``nw.col('x') * 2``) is evaluated.
    """

    func_name: str = Field(description="Method, e.g. `unique`, or `namespace.method`, e.g. `laktory.union`.")
    func_args: list[Any] = Field(default=[], description="Positional arguments. A single one needs no list.")
    func_kwargs: dict[str, Any] = Field(default={}, description="Keyword arguments.")

    @field_validator("func_name")
    @classmethod
    def _public_name(cls, value: str) -> str:
        if is_variable(value):
            return value
        parts = value.split(".")
        if any(part.startswith("_") for part in parts):
            raise problem_error(f"method {value!r} is private", hint="names that begin with '_' cannot be called")
        if not all(part.isidentifier() for part in parts):
            raise problem_error(f"{value!r} is not the name of a method", hint="write 'method' or 'namespace.method'")
        return value

    @field_validator("func_args", mode="before")
    @classmethod
    def _one_as_list(cls, value: Any) -> Any:
        if value is None:
            return []
        return list(value) if isinstance(value, (list, tuple)) else [value]

    @field_validator("func_kwargs", mode="before")
    @classmethod
    def _none_as_empty(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("func_args", "func_kwargs")
    @classmethod
    def _read_sources(cls, value: Any) -> Any:
        problems: list[Problem] = []
        if isinstance(value, dict):  # the keys are parameter names, so the mapping itself is never a source
            read: Any = {key: _with_sources(item, (key,), problems) for key, item in value.items()}
        else:
            read = _with_sources(value, (), problems)
        if problems:
            raise problems_error(problems)
        return read

    @property
    def data_sources(self) -> list[BaseDataSource]:
        """Sources written in the arguments, and the nodes that references name."""
        return self.written_sources + node_sources(self, list(dict.fromkeys(self._referenced_nodes())))

    @property
    def written_sources(self) -> list[BaseDataSource]:
        """Sources written in the arguments."""
        return [child for child in children_of(self) if isinstance(child, BaseDataSource)]

    @property
    def upstream_node_names(self) -> list[str]:
        """Nodes that the arguments read, each once."""
        written = [child.node_name for child in children_of(self) if isinstance(child, PipelineNodeDataSource)]
        return list(dict.fromkeys([*written, *self._referenced_nodes()]))

    @property
    def references(self) -> list[str]:
        """Keys of the frames that the arguments name, as often as they do: ``df``, ``nodes.NAME``."""
        return [key for _, text in self._texts() if (key := reference(text)) is not None]

    def _referenced_nodes(self) -> Iterator[str]:
        return (key.removeprefix("nodes.") for key in self.references if key.startswith("nodes."))

    def _texts(self) -> Iterator[tuple[Path, str]]:
        yield from _texts(("func_args",), self.func_args)
        yield from _texts(("func_kwargs",), self.func_kwargs)

    def place_of(self, name: str) -> tuple[Path, tuple[int | None, int | None]]:
        """Where the arguments name a node: path, line and column."""
        for path, text in self._texts():
            if reference(text) == f"nodes.{name}":
                return path, (None, None)
        for field in ("func_args", "func_kwargs"):
            for path, source in _sources((field,), getattr(self, field)):
                if getattr(source, "node_name", None) == name:
                    return (*path, "node_name"), (None, None)
        return (), (None, None)

    def execute(self, df: Any, named_dfs: Mapping[str, Any] | None = None) -> Any:
        """Call the method on a narwhals or native frame.

        Returns
        -------
        narwhals.LazyFrame

        Raises
        ------
        StepError
            If there is no such method, it is not allowed, or it fails.
        """
        from laktory.models.dataframe.execution import execute_steps

        return execute_steps(self, [self], df, named_dfs)


def reference(text: str) -> str | None:
    """Key of a text that is one placeholder and nothing else: ``df`` for ``{df}``."""
    if not (text.startswith("{") and text.endswith("}")):
        return None
    key = text[1:-1]
    return key if key[:1].isidentifier() and not set(key) & set("{}'\":,()\n") else None


def _texts(path: Path, value: Any) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    for step, item in _items(value):
        yield from _texts((*path, step), item)


def _sources(path: Path, value: Any) -> Iterator[tuple[Path, BaseDataSource]]:
    if isinstance(value, BaseDataSource):
        yield path, value
    for step, item in _items(value):
        yield from _sources((*path, step), item)


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, (list, tuple)) else ()


def _with_sources(value: Any, path: Path, problems: list[Problem]) -> Any:
    """The arguments with their sources built; what is wrong with these is added to `problems`."""
    if isinstance(value, (list, tuple)):
        return [_with_sources(item, (*path, index), problems) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    kind = _kind_of_source(value)
    if kind is None:
        return {key: _with_sources(item, (*path, key), problems) for key, item in value.items()}
    try:
        return _SOURCES[kind](**value)
    except DefinitionError as error:
        for problem in error.problems:
            message = f"in the source of the arguments: {problem.message}"
            problems.append(replace(problem, message=message, path=(*path, *problem.path)))
    except TypeError:  # a key that is no text
        problems.append(Problem("the keys of a source are texts", path))
    return value


def _kind_of_source(value: dict[Any, Any]) -> str | None:
    """Kind of a mapping that describes a source; a mapping of names, as `rename` takes, is left alone."""
    named = value.get("type")
    if isinstance(named, str) and named.upper() in _SOURCES:
        return named.upper()
    if isinstance(value.get("node_name"), str):
        return "PIPELINE_NODE"
    if "path" in value and _is_meant_as_file(value):
        return "FILE"
    if isinstance(value.get("data"), (list, dict)) or ("df" in value and not isinstance(value["df"], str)):
        return "DATAFRAME"
    return "CUSTOM" if isinstance(value.get("custom_reader"), (str, dict)) else None


def _is_meant_as_file(value: dict[Any, Any]) -> bool:
    """Whether a mapping with a `path` is a file: by its format, else where the path is one and the keys are those."""
    known = {name for engine in ENGINES.values() for name in engine.formats}
    given = value.get("format")
    if isinstance(given, str) and (given.upper() in known or is_variable(given)):
        return True
    path = str(value["path"])
    if not any(sign in path for sign in "./\\$"):
        return False
    fields = {field.alias or name for name, field in FileDataSource.model_fields.items()}
    others = [str(key) for key in value if key not in fields]
    return not others or any(closest(key, ["format"]) for key in others)
