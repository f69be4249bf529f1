"""Settings of the process, from ``LAKTORY_…`` environment variables.

`settings` is made on first access; what it was given is checked then and on every assignment.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import pydantic
from pydantic import Field

from laktory.diagnostics import Problem, closest, raise_problems

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OLD_NAMES", "Settings", "cache_dir", "settings"]

OLD_NAMES = {"laktory_root": "runtime_root", "workspace_laktory_root": "workspace_root"}
"""Older spelling → the field it became; both can be read, assigned and set from the environment."""

_EXPECTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "float_parsing": "a number of seconds",
    "float_type": "a number of seconds",
    "greater_than_equal": "a number of seconds, 0 or more",
    "finite_number": "a number of seconds",
    "string_type": "a text",
    "dict_type": "a mapping, as JSON in the environment",
    "string_pattern_mismatch": "'sail', 'sc://host:port' or 'local[2]'",
}


def _cache_dir() -> str:
    if sys.platform == "darwin":
        return str(Path.home() / "Library" / "Caches" / "laktory")
    base = os.environ.get("XDG_CACHE_HOME", "")
    return str((Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "laktory")


cache_dir = _cache_dir()
"""The user's cache folder for Laktory."""


def _variables(field: str) -> list[str]:
    """Environment variables of a field, the newest name first."""
    older = ["ROOT" if old == "laktory_root" else old.upper() for old, new in OLD_NAMES.items() if new == field]
    return [f"LAKTORY_{name}" for name in (field.upper(), *older)]


def _from_environment() -> dict[str, tuple[str, str]]:
    """Field → the variable that sets it, and its text."""
    # by hand: the package made for this takes as long to import as all models together
    given = {name.upper(): (name, text) for name, text in os.environ.items() if name.upper().startswith("LAKTORY_")}
    return {
        field: next(given[name] for name in _variables(field) if name in given)
        for field in Settings.model_fields
        if any(name in given for name in _variables(field))
    }


def _as_conf(value: Any) -> Any:
    """Spark's configuration is text, and so are its truth values."""
    return str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, (int, float)) else value


class Settings(pydantic.BaseModel):
    """Process-wide settings. Each field reads the environment variable ``LAKTORY_<NAME>``.

    Parameters
    ----------
    dataframe_backend : engine of pipelines that name none, default ``POLARS``
    dataframe_api : ``NARWHALS`` (default) or ``NATIVE``
    log_level : ``DEBUG``, ``INFO`` (default), ``WARNING``, ``ERROR`` or ``CRITICAL``
    cli_raise_external_exceptions : show tracebacks on the command line, default False
    runtime_root : folder of checkpoints and run records, default ``./.laktory/`` (older name: `laktory_root`)
    workspace_root : workspace folder, default ``/.laktory/`` (older name: `workspace_laktory_root`)
    build_root : folder for built artefacts, default the user's cache folder
    register_nw_extensions : register the ``laktory`` namespace with Narwhals, default True
    allow_outside_includes : let ``!use`` leave the project folder, default False
    allow_sql_files : let SQL steps read files by name, default False
    spark_remote : where Spark is: ``sc://host:port`` (Spark Connect), ``sail`` (in this process, without Java),
        ``local[2]`` (a Connect server of its own); default None, a local session
    spark_conf : configuration of the Spark session that Laktory makes, as a mapping (JSON in the environment)
    lock_timeout : seconds to wait for another run's lock, default 0

    Raises
    ------
    DefinitionError
        If a value is not valid, here or on assignment.
    """

    model_config = pydantic.ConfigDict(extra="forbid", validate_assignment=True)

    dataframe_backend: Literal["POLARS", "DUCKDB", "PYSPARK"] = "POLARS"
    dataframe_api: Literal["NARWHALS", "NATIVE"] = "NARWHALS"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    cli_raise_external_exceptions: bool = False
    runtime_root: str = "./.laktory/"
    workspace_root: str = "/.laktory/"
    build_root: str = Field(default_factory=_cache_dir)
    register_nw_extensions: bool = True
    allow_outside_includes: bool = False
    allow_sql_files: bool = False
    spark_remote: str | None = Field(None, pattern=r"^(sail|sc://.+|local(\[.+\])?)$")
    spark_conf: dict[str, str] = Field(default_factory=dict)
    lock_timeout: float = Field(0.0, ge=0, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        named = {OLD_NAMES.get(name, name): value for name, value in values.items()}
        variables = {field: found for field, found in _from_environment().items() if field not in named}
        try:
            super().__init__(**{field: text for field, (_, text) in variables.items()}, **named)
        except pydantic.ValidationError as error:
            _raise(error, {field: variable for field, (variable, _) in variables.items()})

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in type(self).model_fields and name not in OLD_NAMES and not name.startswith("_"):
            _raise_unknown(name)
        try:
            super().__setattr__(name, value)
        except pydantic.ValidationError as error:
            _raise(error, {})

    @pydantic.field_validator("dataframe_backend", "dataframe_api", "log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        value = getattr(value, "value", value)
        return value.strip().upper() if isinstance(value, str) else value

    @pydantic.field_validator("spark_conf", mode="before")
    @classmethod
    def _from_json(cls, value: Any) -> Any:
        if isinstance(value, str):
            with suppress(ValueError):  # what is no JSON is told as any other value that is no mapping
                value = json.loads(value)
        return {name: _as_conf(each) for name, each in value.items()} if isinstance(value, dict) else value

    @pydantic.field_validator("runtime_root", "workspace_root", "build_root", mode="before")
    @classmethod
    def _path_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, Path) else value

    @property
    def laktory_root(self) -> str:
        """Older name of `runtime_root`."""
        return self.runtime_root

    @laktory_root.setter
    def laktory_root(self, value: str) -> None:
        self.runtime_root = value

    @property
    def workspace_laktory_root(self) -> str:
        """Older name of `workspace_root`."""
        return self.workspace_root

    @workspace_laktory_root.setter
    def workspace_laktory_root(self, value: str) -> None:
        self.workspace_root = value


def _raise_unknown(name: str) -> None:
    raise_problems([_unknown(name)])


def _unknown(name: str) -> Problem:
    names = sorted(Settings.model_fields)
    return Problem(f"there is no setting {name!r}", valid=names, hint=closest(name, names))


def _raise(error: pydantic.ValidationError, variables: Mapping[str, str]) -> NoReturn:
    """Tell what is wrong; what came from the environment is named as the variable the user set."""
    problems = []
    for item in error.errors(include_url=False):
        field = str(item["loc"][0])
        if field not in Settings.model_fields:
            problems.append(_unknown(field))
            continue
        name = f"environment variable {variables[field]!r}" if field in variables else f"setting {field!r}"
        valid: Any = (
            str(item.get("ctx", {}).get("expected", "")).replace(" or ", ", ")
            if item["type"] == "literal_error"
            else ""
        )
        expected = f", expected {_EXPECTED[item['type']]}" if item["type"] in _EXPECTED else ""
        problems.append(Problem(f"{name} cannot be {item['input']!r}{expected}", valid=valid))
    raise_problems(problems)


settings: Settings  # made by __getattr__ below


class _SettingsModule(ModuleType):
    """Importing this module makes it the attribute `laktory.settings`, where users expect the settings themselves.

    So the module's fields are those of the settings, to read and to assign.
    """

    def __getattr__(self, name: str) -> Any:
        if name == "settings":
            made = Settings()
            self.__dict__.setdefault("settings", made)
            return self.__dict__["settings"]
        if name in Settings.model_fields or name in OLD_NAMES:
            return getattr(self.settings, name)
        msg = f"module {self.__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in Settings.model_fields or name in OLD_NAMES:
            setattr(self.settings, name, value)
        else:
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _SettingsModule
