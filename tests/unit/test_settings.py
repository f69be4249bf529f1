from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from laktory.errors import DefinitionError
from laktory.settings import Settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in [*Settings.model_fields, "root", "workspace_laktory_root"]:
        monkeypatch.delenv(f"LAKTORY_{field.upper()}", raising=False)


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/u")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    cache = "/home/u/Library/Caches/laktory" if sys.platform == "darwin" else "/home/u/.cache/laktory"
    assert Settings().model_dump() == {
        "dataframe_backend": "POLARS",
        "dataframe_api": "NARWHALS",
        "log_level": "INFO",
        "cli_raise_external_exceptions": False,
        "runtime_root": "./.laktory/",
        "workspace_root": "/.laktory/",
        "build_root": cache,
        "register_nw_extensions": True,
        "allow_outside_includes": False,
        "allow_sql_files": False,
        "lock_timeout": 0.0,
        "spark_remote": None,
        "spark_conf": {},
    }


@pytest.mark.parametrize(
    ("variable", "text", "field", "expected"),
    [
        ("LAKTORY_DATAFRAME_BACKEND", "duckdb", "dataframe_backend", "DUCKDB"),
        ("LAKTORY_LOG_LEVEL", "debug", "log_level", "DEBUG"),
        ("LAKTORY_LOCK_TIMEOUT", "2.5", "lock_timeout", 2.5),
        ("LAKTORY_ALLOW_OUTSIDE_INCLUDES", "true", "allow_outside_includes", True),
        ("LAKTORY_RUNTIME_ROOT", "/new", "runtime_root", "/new"),
        ("LAKTORY_ROOT", "/old", "runtime_root", "/old"),
        ("LAKTORY_WORKSPACE_LAKTORY_ROOT", "/old", "workspace_root", "/old"),
        ("LAKTORY_BUILD_ROOT", "/build", "build_root", "/build"),
        ("LAKTORY_SPARK_REMOTE", "sail", "spark_remote", "sail"),
        ("LAKTORY_SPARK_CONF", '{"spark.x": 2, "spark.y": true}', "spark_conf", {"spark.x": "2", "spark.y": "true"}),
    ],
)
def test_environment(variable: str, text: str, field: str, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, text)
    assert getattr(Settings(), field) == expected


def test_newer_variable_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKTORY_ROOT", "/old")
    monkeypatch.setenv("LAKTORY_RUNTIME_ROOT", "/new")
    assert Settings().runtime_root == "/new"


def test_older_names_read_and_write() -> None:
    settings = Settings(laktory_root="/a")
    assert (settings.laktory_root, settings.runtime_root) == ("/a", "/a")
    settings.laktory_root = "/b"
    settings.workspace_laktory_root = "/c"
    assert (settings.runtime_root, settings.workspace_root) == ("/b", "/c")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "log_level",
            "LOUD",
            "setting 'log_level' cannot be 'LOUD'\n  valid: 'DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'",
        ),
        (
            "dataframe_backend",
            "PANDAS",
            "setting 'dataframe_backend' cannot be 'PANDAS'\n  valid: 'POLARS', 'DUCKDB', 'PYSPARK'",
        ),
        (
            "spark_remote",
            "spark://h:7077",
            "setting 'spark_remote' cannot be 'spark://h:7077', expected 'sail', 'sc://host:port' or 'local[2]'",
        ),
        (
            "spark_conf",
            "{x: 2}",
            "setting 'spark_conf' cannot be '{x: 2}', expected a mapping, as JSON in the environment",
        ),
        ("lock_timeout", -1, "setting 'lock_timeout' cannot be -1, expected a number of seconds, 0 or more"),
        ("allow_sql_files", "maybe", "setting 'allow_sql_files' cannot be 'maybe', expected true or false"),
        ("runtime_root", 3, "setting 'runtime_root' cannot be 3, expected a text"),
    ],
)
def test_assignment_is_checked(field: str, value: Any, message: str) -> None:
    settings = Settings()
    before = settings.model_dump()
    with pytest.raises(DefinitionError) as caught:
        setattr(settings, field, value)
    assert str(caught.value) == message
    assert settings.model_dump() == before


def test_unknown_setting_names_the_closest() -> None:
    with pytest.raises(DefinitionError, match=r"there is no setting 'log_levle'(.|\n)*did you mean 'log_level'\?"):
        Settings().log_levle = "INFO"


def test_wrong_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKTORY_LOG_LEVEL", "loud")
    with pytest.raises(DefinitionError, match="environment variable 'LAKTORY_LOG_LEVEL' cannot be 'LOUD'"):
        Settings()


def test_the_module_reads_and_writes_the_settings() -> None:
    code = """
import laktory.settings
from laktory.settings import settings
laktory.settings.laktory_root = "/x"
laktory.settings.log_level = "debug"
print(settings.runtime_root, laktory.settings.laktory_root, settings.log_level, laktory.settings.settings is settings)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["/x", "/x", "DEBUG", "True"]
