"""Importing stays cheap, and each room uses only the libraries it is meant to use.

Modules are counted, not seconds: seconds depend on the machine.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "laktory"

ENGINES = {"polars", "duckdb", "pyarrow", "pyspark", "pysail", "deltalake", "fastexcel", "xlsxwriter"}
HEAVY = ENGINES | {"narwhals", "sqlglot", "yaml", "typer", "rich", "asyncio"}


def imported(*arguments: str, cwd: Path | None = None) -> list[str]:
    """Modules that a Python process imports from its start to its end."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = (line.split("|") for line in done.stderr.splitlines() if line.startswith("import time:"))
    return [cells[2].strip() for cells in lines if len(cells) == 3]


def packages(modules: list[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize(
    "statement",
    [
        "import laktory",
        "import laktory.models",
        "import laktory as lk; lk.models.Pipeline",
        "from laktory import models; models.Pipeline(name='p', nodes=[{'name': 'n', 'source': {'data': {'x': [1]}}}])",
    ],
)
def test_declaring_a_pipeline_loads_nothing_heavy(statement: str) -> None:
    assert packages(imported("-c", statement)) & HEAVY == set()


def test_import_laktory_loads_next_to_nothing() -> None:
    assert len(set(imported("-c", "import laktory")) - set(imported("-c", "import importlib, typing"))) <= 5


def test_models_cost_at_most_twice_what_pydantic_costs() -> None:
    nothing = len(imported("-c", "pass"))
    pydantic = len(imported("-c", "from pydantic import BaseModel")) - nothing
    assert len(imported("-c", "import laktory.models; laktory.models.Pipeline")) - nothing <= 2 * pydantic
    # the room alone names its classes
    assert "pydantic" not in packages(imported("-c", "import laktory.models"))


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["show", "--help"], ["--version"]])
def test_help_loads_no_engine(arguments: list[str]) -> None:
    assert packages(imported("-m", "laktory", *arguments)) & (ENGINES | {"narwhals", "sqlglot"}) == set()


def test_validating_a_pipeline_loads_no_engine() -> None:
    loaded = packages(imported("-m", "laktory", "validate", cwd=ROOT / "examples" / "stock_prices"))
    assert loaded & ENGINES == set()


# ---- third-party imports, by room ----------------------------------------------------------------

# room → what its modules may import when they are imported, and what only inside functions
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    "checks": ({"narwhals"}, set()),
    "cli": ({"typer", "rich"}, {"polars", "yaml"}),
    "engines": (set(), {"narwhals", "polars", "pyarrow"}),
    "engines/_duckdb": ({"narwhals", "duckdb", "polars"}, {"deltalake", "pyarrow", "sqlglot"}),
    "engines/_polars": ({"narwhals", "polars"}, {"deltalake", "pyarrow"}),
    "engines/_spark": ({"narwhals", "polars"}, {"deltalake", "pyarrow", "pyspark"}),
    "enums": (set(), {"narwhals"}),
    "expressions": (set(), {"narwhals", "polars", "pyspark", "sqlglot"}),
    "loading": ({"yaml"}, set()),
    "models": ({"pydantic", "pydantic_core", "typing_extensions"}, {"narwhals", "polars", "yaml"}),
    "narwhals_ext": (set(), {"narwhals", "polars"}),
    "planning": (set(), {"narwhals"}),
    "runtime": (set(), {"narwhals", "polars", "sqlglot"}),
    "settings": ({"pydantic"}, set()),
    "storage": (set(), {"deltalake", "narwhals", "pyarrow"}),
    "testing": ({"hypothesis", "polars", "pytest", "yaml"}, {"polars", "pyarrow"}),
    "transforms": (set(), {"narwhals", "polars"}),
    "typing": ({"pydantic"}, {"narwhals"}),
    "yaml": ({"yaml"}, set()),
}


def room_of(path: Path) -> str:
    first, *rest = path.relative_to(SOURCE).with_suffix("").parts
    return f"engines/{rest[0]}" if first == "engines" and rest[0].startswith("_") and len(rest) > 1 else first


def third_party(tree: ast.AST, *, inside: bool = False) -> Iterator[tuple[str, bool]]:
    """Packages that a module imports, and whether inside a function; imports for type checkers do not count."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield from third_party(ast.Module(node.orelse, []), inside=inside)
            continue
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for package in packages(names) - sys.stdlib_module_names - {"laktory"}:
            yield package, inside
        yield from third_party(node, inside=inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_each_room_imports_only_its_libraries() -> None:
    wrong = []
    for path in sorted(SOURCE.rglob("*.py")):
        at_import, in_functions = ALLOWED.get(room_of(path), (set(), set()))
        for package, inside in third_party(ast.parse(path.read_text(encoding="utf-8"))):
            if package not in (at_import | in_functions if inside else at_import):
                where = "inside a function of" if inside else "when importing"
                wrong.append(f"{package} {where} {path.relative_to(SOURCE).as_posix()}")
    assert wrong == []


def test_engines_do_not_know_each_other() -> None:
    """Spark alone stands on another one: Polars reads and writes for it what Spark would read or write otherwise."""
    wrong = []
    for path in sorted(SOURCE.glob("engines/_*/*.py")):
        others = {other.name for other in SOURCE.glob("engines/_*/")} - {path.parent.name, "__pycache__"}
        others -= {"_polars"} if path.parent.name == "_spark" else set()
        text = path.read_text(encoding="utf-8")
        wrong += [f"{path.parent.name}/{path.name} names {other}" for other in others if f"engines.{other}" in text]
    assert wrong == []


def test_every_module_has_its_layer() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [contract] = config["tool"]["importlinter"]["contracts"]
    placed = {name.strip(" ()") for layer in contract["layers"] for name in layer.replace("|", ":").split(":")}
    facade = {"__init__", "__main__", "_version"}
    rooms = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()} - facade
    low = {f"engines.{path.stem}" for path in (SOURCE / "engines").iterdir() if path.suffix == ".py"}
    expected = {f"laktory.{name}" for name in (rooms - {"engines"}) | (low - {"engines.__init__"})}
    assert sorted(expected - placed) == []


def test_no_parser_of_sqlglot_is_derived() -> None:
    """Those of its compiled build (`sqlglot[c]`) cannot be: a user who has that would have no SQL."""
    import sqlglot

    from laktory.expressions import parse_sql
    from laktory.expressions.statement import statement_problems

    assert statement_problems("SELECT x FROM {df}", available=["df"]) == []
    parse_sql("x + 1")
    waiting: list[type] = [sqlglot.Parser, sqlglot.Generator]
    derived = []
    while waiting:
        found = waiting.pop().__subclasses__()
        derived += [kind.__qualname__ for kind in found if "laktory" in f"{kind.__module__} {kind.__qualname__}"]
        waiting += found
    assert derived == []
