"""What documents say is so: definitions in them validate, copies and tables are up to date."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from laktory import models
from laktory.settings import settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (f"{page.name}-{number}", text)
        for page in PAGES
        for number, (found, text) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
        if found == language
    ]


DEFINITIONS = [(name, text) for name, text in blocks("yaml") if text.startswith("name:")]


def script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("text", [text for _, text in DEFINITIONS], ids=[name for name, _ in DEFINITIONS])
def test_definitions_in_documents_are_valid(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "my_project", ModuleType("my_project"))
    monkeypatch.setattr(settings, "spark_remote", None)  # the suite runs on Sail
    assert models.Pipeline.model_validate_yaml(text).plan().nodes


def test_the_readme_shows_the_pipeline_of_the_demo() -> None:
    seed = (ROOT / "examples" / "stock_prices" / "pipeline.yaml").read_text(encoding="utf-8")
    assert seed in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["conformance.py", "formats.py", "sql_expressions.py"])
def test_tables_are_those_of_the_capability_records_and_of_the_tests(name: str) -> None:
    tables = script(ROOT / "docs" / name)
    text = tables.PAGE.read_text(encoding="utf-8")
    assert text == tables.page(text), "write them anew with: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_command_is_documented() -> None:
    from laktory.cli.main import COMMANDS

    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"## laktory {name}" not in page] == []


@pytest.mark.parametrize("folder", ["src/laktory/cli/templates/quickstart", "examples/stock_prices"])
def test_projects_that_are_shown_run(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ROOT / folder
    for path in sorted(source.rglob("*")):
        parts = path.relative_to(source).parts
        if path.is_file() and not path.match("data/*.parquet") and ".laktory" not in parts:
            copy = tmp_path.joinpath(*parts)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    rows: dict[str, int] = {}
    if (tmp_path / "make_data.py").exists():
        script(tmp_path / "make_data.py").main()
    for name in ("pipeline.yaml", "gold.yaml"):
        if Path(name).exists():
            pipeline = models.Pipeline.model_validate(Path(name))
            pipeline.execute()
            rows |= {node.name: len(node.output_df.collect("polars")) for node in pipeline.nodes}
    expected = {
        "quickstart": {"brz_orders": 8, "customers": 4, "slv_orders": 7, "gld_sales_by_country": 3},
        "stock_prices": {"brz_stock_prices": 12479, "slv_stock_prices": 12154, "gld_stock_prices_monthly": 586},
    }
    assert rows == expected[source.name]
