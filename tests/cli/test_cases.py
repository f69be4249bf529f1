"""One folder a case: a bad definition (or bad data, or a bad call), and exactly what the user is told.

``case.json`` may hold `args` of the command (default: ``run``), the `exit` code (default: 2), the `engines` that all
have to say the same, and ``python: false`` where only the command line can meet the problem. All others are run through
the Python API as well, which has to say the same.

What is wrong in the text is told by ``laktory validate`` as well, in the same words, and touches no file. Cases with
an `exit` code of 1 fail by what data hold; ``validate: false`` marks what only a run can know: what modules of the
user's define, what lies in the file system.
Set LAKTORY_UPDATE_CASES=1 to write what is expected anew, then read the difference.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from laktory.cli import app
from laktory.errors import MAX_CHARACTERS, MAX_LINES, LaktoryError
from laktory.models import Pipeline
from laktory.settings import settings

CASES = Path(__file__).parent / "cases"


def case_of(name: str) -> Path:
    return CASES / name.partition(":")[0]


INTERNALS = re.compile(
    r"Traceback|fault of Laktory|pydantic|narwhals|sqlglot|polars\.|duckdb\.|pyarrow\.|_core\b|type=|input_value"
    r"|<class '|object at 0x|\bat 0x[0-9a-f]{6}|function-(?:after|before|wrap|plain)|tagged-union|Input should be"
    r"|ComputeError|InvalidOperation|SchemaError|ColumnNotFound|PanicException|Binder Error|Catalog Error|NoneType"
    r"|(?<!raised )(?:RecursionError|OverflowError|KeyError|AttributeError|ValidationError)|FAILED HERE|\.py:\d"
)
PLACE = re.compile(r"[\w./-]+:\d+:\d+: |\bnode '|(?:^|\s)--?\w|'[^']+'|\(\S+\)", re.MULTILINE)
"""A position, a node, an option, or the argument at fault by its name."""
EACH = re.compile(r"\n(?=error: |Error: |\S+:\d+:\d+: )")


def options_of(name: str) -> dict[str, Any]:
    file = case_of(name) / "case.json"
    return json.loads(file.read_text("utf-8")) if file.exists() else {}


def is_of_the_text(name: str) -> bool:
    """Whether the definition alone shows the problem."""
    options = options_of(name)
    found: bool = options.get("args", ["run"]) == ["run"] and options.get("exit", 2) == 2
    return found and options.get("validate", True)


NAMES = [
    f"{name}:{engine}" if engine else name
    for name in sorted(path.name for path in CASES.iterdir() if path.is_dir())
    for engine in options_of(name).get("engines", [""])
]


@pytest.fixture
def folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    ignored = shutil.ignore_patterns("expected*.txt", "case.json")
    copied = Path(shutil.copytree(case_of(name), tmp_path / "project", ignore=ignored))
    monkeypatch.chdir(copied)
    monkeypatch.syspath_prepend(copied)
    if engine := name.partition(":")[2]:
        monkeypatch.setattr(settings, "dataframe_backend", engine)
    return copied


def check(name: str, found: str) -> None:
    expected = case_of(name) / "expected.txt"
    if os.environ.get("LAKTORY_UPDATE_CASES"):
        expected.write_text(found, "utf-8")
    assert found == expected.read_text("utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_command_line(name: str, folder: Path) -> None:
    options = options_of(name)
    before = files(folder)
    result = CliRunner().invoke(app, options.get("args", ["run"]))
    assert result.exit_code == options.get("exit", 2), result.output
    check(name, result.stderr)
    assert {path: data for path, data in files(folder).items() if path in before} == before


@pytest.mark.parametrize("name", NAMES)
def test_message_is_clear(name: str) -> None:
    told = (case_of(name) / "expected.txt").read_text("utf-8")
    assert told.strip()
    assert not INTERNALS.search(told)
    for message in EACH.split(told.strip()):
        assert PLACE.search(message), message
        assert len(message.splitlines()) <= MAX_LINES
        assert len(message) <= MAX_CHARACTERS


@pytest.mark.parametrize("name", [name for name in NAMES if is_of_the_text(name)])
def test_validate_tells_the_same_and_touches_nothing(name: str, folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix in {".jsonl", ".csv", ".parquet"}:
            path.unlink()  # whoever read it would complain
    before = sorted(folder.rglob("*"))
    result = CliRunner().invoke(app, ["validate"])
    assert result.exit_code == 2, result.output
    assert result.stderr == (case_of(name) / "expected.txt").read_text("utf-8")
    run = CliRunner().invoke(app, ["run"])
    assert run.stderr == result.stderr
    assert [path for path in sorted(folder.rglob("*")) if "__pycache__" not in path.parts] == before


@pytest.mark.parametrize("name", [name for name in NAMES if options_of(name).get("python", True)])
def test_python(name: str, folder: Path) -> None:
    definition = next(Path().glob("pipeline.*"))
    with pytest.raises((LaktoryError, ExceptionGroup)) as caught:
        pipeline = Pipeline.model_validate(definition)
        pipeline.execute(threads=1)
    error = caught.value
    errors = error.exceptions if isinstance(error, ExceptionGroup) else [error]
    told = "".join(f"{item}\n" for item in errors)
    assert told == (case_of(name) / "expected.txt").read_text("utf-8").replace("error: ", "")


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and ".laktory" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
