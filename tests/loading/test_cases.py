"""One folder a case: a definition, and the value or the exact message it gives.

The definition is `pipeline.yaml` (or the one file that starts with ``pipeline``); `options.json` may hold keyword
arguments (`vars`, `root`, `strict`), `env` (environment variables), `settings` and `resolve: false` to leave variables
alone.
Set LAKTORY_UPDATE_CASES=1 to write what is expected anew, then read the difference.
"""

from __future__ import annotations

import json
import os
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from laktory.cli import app
from laktory.errors import DefinitionError
from laktory.loading import load, settings

CASES = Path(__file__).parent / "cases"
NAMES = sorted(path.name for path in CASES.iterdir() if path.is_dir())


def source_of(folder: Path) -> str:
    return next(path.name for path in sorted(folder.iterdir()) if path.name.startswith("pipeline"))


def outcome(folder: Path, options: dict[str, Any]) -> tuple[str, str]:
    """Name of the file that holds what is expected, and what was found."""
    source = source_of(folder)
    variables = options.get("vars")
    try:
        document = load(Path(source), vars=variables, root=options.get("root"))
        if options.get("resolve", True):
            document = document.resolve(variables, strict=options.get("strict", True))
    except DefinitionError as error:
        return "expected.txt", f"{error}\n"
    return "expected.json", json.dumps(document.value, indent=2, ensure_ascii=False, default=repr) + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_case(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check(name, monkeypatch)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("_bomb")])
def test_case_without_libyaml(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(yaml, "CSafeLoader")
    check(name, monkeypatch)


def check(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CASES / name
    options_file = folder / "options.json"
    options = json.loads(options_file.read_text("utf-8")) if options_file.exists() else {}
    monkeypatch.chdir(folder)
    for key, value in options.get("env", {}).items():
        monkeypatch.setenv(key, value)
    for key, value in options.get("settings", {}).items():
        monkeypatch.setattr(settings, key, value)
    file, found = outcome(folder, options)
    if os.environ.get("LAKTORY_UPDATE_CASES"):
        for expected in ("expected.txt", "expected.json"):
            (folder / expected).unlink(missing_ok=True)
        (folder / file).write_text(found, "utf-8")
    assert (folder / file).exists(), found
    assert found == (folder / file).read_text("utf-8")


def fails_to_load(name: str) -> bool:
    """Whether the text of a case is refused before variables and fields are looked at, without any option."""
    if (CASES / name / "options.json").exists() or not (CASES / name / "expected.txt").exists():
        return False
    with chdir(CASES / name):
        try:
            load(Path(source_of(Path())))
        except DefinitionError:
            return True
    return False


@pytest.mark.parametrize("name", [name for name in NAMES if fails_to_load(name)])
def test_the_command_line_tells_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES / name)
    before = sorted(Path().rglob("*"))
    for command in ("validate", "run"):
        result = CliRunner().invoke(app, [command, source_of(Path())])
        assert result.exit_code == 2
        assert result.stderr.replace("error: ", "") == Path("expected.txt").read_text("utf-8")
    assert sorted(Path().rglob("*")) == before


def test_cases_are_many() -> None:
    assert len(NAMES) >= 60
