"""Writes the matrix of conformance.md from the suite and the capability records: ``python docs/conformance.py``."""

from __future__ import annotations

from pathlib import Path

from laktory.engines.capabilities import DUCKDB, POLARS, PYSPARK, SAIL
from laktory.testing import FEATURES, Feature

PAGE = Path(__file__).parent / "conformance.md"
MARK = "<!-- written by docs/conformance.py: run `make docs` -->"
ENGINES = {"POLARS": POLARS, "DUCKDB": DUCKDB, "Spark": PYSPARK, "Sail": SAIL}


def matrix() -> str:
    """A table per group, engines down and features across, with the reasons of what is refused below it."""
    cells = [feature.lacking(engine) is None for feature in FEATURES.values() for engine in ENGINES.values()]
    parts = [f"{len(FEATURES)} features on {len(ENGINES)} engines: {sum(cells)} run, {cells.count(False)} refused."]
    for group in dict.fromkeys(feature.group for feature in FEATURES.values()):
        features = [feature for feature in FEATURES.values() if feature.group == group]
        parts.append(f"### {group}\n\n{_table(features)}")
    return "\n\n".join(parts)


def _table(features: list[Feature]) -> str:
    reasons: dict[str, int] = {}
    lines = [f"| | {' | '.join(feature.name for feature in features)} |", "|" + "---|" * (len(features) + 1)]
    for name, engine in ENGINES.items():
        found = [feature.lacking(engine) for feature in features]
        cells = ["run" if reason is None else f"refused ({_number(reasons, reason)})" for reason in found]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    notes = [f"({number}) {reason}" for reason, number in reasons.items()]
    return "\n".join([*lines, *(["", ", ".join(notes)] if notes else [])])


def _number(reasons: dict[str, int], reason: str) -> int:
    return reasons.setdefault(reason, len(reasons) + 1)


def page(text: str) -> str:
    """The page with its matrix written anew."""
    return f"{text.partition(MARK)[0]}{MARK}\n\n{matrix()}\n"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
