"""Settings of the process, from ``LAKTORY_…`` environment variables.

`settings` is made on first access; what it was given is checked then and on every assignment.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pydantic
from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from laktory.diagnostics import Problem, closest, raise_problems

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
}


def _cache_dir() -> str:
    if sys.platform == "darwin":
        return str(Path.home() / "Library" / "Caches" / "laktory")
    base = os.environ.get("XDG_CACHE_HOME", "")
    return str((Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "laktory")


cache_dir = _cache_dir()
"""The user's cache folder for Laktory."""


def _environment(field: str) -> AliasChoices:
    """The names a renamed field answers to."""
    old = [name for name, new in OLD_NAMES.items() if new == field]
    names = [f"LAKTORY_{field.upper()}", *(_old_variable(name) for name in old)]
    return AliasChoices(*names)


def _old_variable(name: str) -> str:
    return "LAKTORY_ROOT" if name == "laktory_root" else f"LAKTORY_{name.upper()}"


class Settings(BaseSettings):
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
    lock_timeout : seconds to wait for another run's lock, default 0

    Raises
    ------
    DefinitionError
        If a value is not valid, here or on assignment.
    """

    model_config = SettingsConfigDict(
        env_prefix="LAKTORY_", extra="forbid", validate_assignment=True, populate_by_name=True, validate_default=False
    )

    dataframe_backend: Literal["POLARS", "DUCKDB"] = "POLARS"
    dataframe_api: Literal["NARWHALS", "NATIVE"] = "NARWHALS"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    cli_raise_external_exceptions: bool = False
    runtime_root: str = Field("./.laktory/", validation_alias=_environment("runtime_root"))
    workspace_root: str = Field("/.laktory/", validation_alias=_environment("workspace_root"))
    build_root: str = Field(default_factory=lambda: cache_dir)
    register_nw_extensions: bool = True
    allow_outside_includes: bool = False
    allow_sql_files: bool = False
    lock_timeout: float = Field(0.0, ge=0, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        named = {OLD_NAMES.get(name, name): value for name, value in values.items()}
        try:
            super().__init__(**named)
        except pydantic.ValidationError as error:
            _raise(error, given=frozenset(named))

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in type(self).model_fields and name not in OLD_NAMES and not name.startswith("_"):
            _raise_unknown(name)
        try:
            super().__setattr__(name, value)
        except pydantic.ValidationError as error:
            _raise(error, given=frozenset({name}))

    @pydantic.field_validator("dataframe_backend", "dataframe_api", "log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        value = getattr(value, "value", value)
        return value.strip().upper() if isinstance(value, str) else value

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


def _raise(error: pydantic.ValidationError, given: frozenset[str]) -> None:
    problems = []
    for item in error.errors(include_url=False):
        loc = str(item["loc"][0])
        field = next((name for name, info in Settings.model_fields.items() if loc in _spellings(name, info)), None)
        if field is None:
            problems.append(_unknown(loc))
            continue
        # what came from the environment is named as the variable the user set
        name = f"setting {field!r}" if field in given else f"environment variable {_variable(field)!r}"
        valid: Any = (
            str(item.get("ctx", {}).get("expected", "")).replace(" or ", ", ")
            if item["type"] == "literal_error"
            else ""
        )
        expected = f", expected {_EXPECTED[item['type']]}" if item["type"] in _EXPECTED else ""
        problems.append(Problem(f"{name} cannot be {item['input']!r}{expected}", valid=valid))
    raise_problems(problems)


def _spellings(name: str, info: Any) -> list[str]:
    alias = info.validation_alias
    return [name, *(str(choice) for choice in alias.choices)] if alias is not None else [name]


def _variable(field: str) -> str:
    names = [f"LAKTORY_{field.upper()}", *(_old_variable(old) for old, new in OLD_NAMES.items() if new == field)]
    folded = {key.upper(): key for key in os.environ}
    return next((folded[name] for name in names if name in folded), names[0])


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
