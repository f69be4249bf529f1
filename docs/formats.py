"""Writes the tables of formats.md from the engines' capability records: ``python docs/formats.py``."""

from __future__ import annotations

from pathlib import Path

from laktory.engines.capabilities import DUCKDB, MODES, POLARS, PYSPARK, SAIL

PAGE = Path(__file__).parent / "formats.md"
MARK = "<!-- written by docs/formats.py: run `make docs` -->"


def tables() -> str:
    """One table per engine: formats down, reading and modes across."""
    parts = []
    for engine in (POLARS, DUCKDB, PYSPARK, SAIL):
        rows = [
            f"| {name} | {_mark(support.read)} | {' | '.join(_mark(mode in support.modes) for mode in MODES)} "
            f"| {support.via} | {_mark(support.typed)} | {f'`{support.needs}`' if support.needs else ''} |"
            for name, support in engine.formats.items()
        ]
        head = f"| format | read | {' | '.join(MODES)} | through | exact types | needs |"
        rule = "|" + "---|" * (len(MODES) + 5)
        urls = ", ".join(f"`{scheme}://`" for scheme in sorted(engine.url_schemes)) or "none"
        name = f"{engine.name} with {engine.variant}" if engine.variant else engine.name
        parts.append("\n".join([f"### {name}", "", head, rule, *rows, "", f"URLs it reads: {urls}."]))
    return "\n\n".join(parts)


def page(text: str) -> str:
    """The page with its tables written anew."""
    return f"{text.partition(MARK)[0]}{MARK}\n\n{tables()}\n"


def _mark(yes: bool) -> str:
    return "✓" if yes else ""


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
