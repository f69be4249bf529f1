"""What several frames have in common is computed once.

DuckDB writes one frame at a time. A step that picks any row (``unique``, ``row_number() OVER ()``) could pick
another one for each of them: a row would then be in two outputs, or in none.
"""

# ruff: noqa: S608 - queries are those of DuckDB itself

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from laktory.engines._duckdb.types import identifier

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import duckdb

__all__ = ["is_plain_scan", "share"]

_STEP = re.compile(r'(?:\AWITH |\A|,\n)"(__duckdb_s\d+)" AS NOT MATERIALIZED \(\n')
_ALIAS = re.compile(r'"unnamed_relation_[0-9a-f]+"')
_NAME = re.compile(r'"(__duckdb_s\d+)"')
_PLAIN_SCAN = re.compile(r'SELECT (?:\*|"[^"]*"(?:, "[^"]*")*) FROM "laktory_scan_\d+"(?: AS "[^"]*")?\s*')


_KEPT = re.compile(r'SELECT \* FROM "laktory_(?:scan|data|result)_\d+"\s*')


class _Step(NamedTuple):
    """One common table expression of a relation's query."""

    name: str
    text: str


def is_plain_scan(relation: duckdb.DuckDBPyRelation) -> bool:
    """Whether a relation is a file, data held in memory or a table as it is: each look at it gives the same rows."""
    return _KEPT.fullmatch(relation.sql_query()) is not None


def share(
    con: duckdb.DuckDBPyConnection,
    relations: Sequence[duckdb.DuckDBPyRelation],
    table: Callable[[str], str],
) -> list[duckdb.DuckDBPyRelation]:
    """The relations, with their common steps read from temporary tables. Plain scans of files stay as they are.

    Parameters
    ----------
    relations : of the connection `con`
    table : makes a temporary table of a query and gives its name
    """
    if len(relations) < 2:
        return list(relations)
    # the projection makes the last step of a relation one that others can have too
    plans = [_steps(relation.project("*").sql_query()) for relation in relations]
    shared = [same[0] for same in takewhile(_all_equal, zip(*(steps for steps, _ in plans), strict=False))]
    rest = "\n".join(text for steps, last in plans for text in [*(step.text for step in steps[len(shared) :]), last])
    wanted = set(_NAME.findall(rest))
    prefix: list[_Step] = []
    changed = False
    for step in shared:
        if step.name in wanted and not _PLAIN_SCAN.fullmatch(step.text):
            name = table(_query(prefix, step.text))
            step = _Step(step.name, f"SELECT * FROM {identifier(name)}")  # noqa: PLW2901
            changed = True
        prefix.append(step)
    if not changed:
        return list(relations)
    return [con.sql(_query([*prefix, *steps[len(shared) :]], last)) for steps, last in plans]


def _steps(query: str) -> tuple[list[_Step], str]:
    """A relation's query as its steps and the last SELECT."""
    found = list(_STEP.finditer(query)) if query.startswith("WITH ") else []
    if not found or found[0].start() != 0:
        return [], query
    steps = []
    ends = [match.start() for match in found[1:]]
    for match, end in zip(found, [*ends, query.rindex("\n)\nSELECT ") + 2], strict=True):
        steps.append(_Step(match[1], _ALIAS.sub('"step"', query[match.end() : end].removesuffix("\n)"))))
    return steps, query[query.rindex("\n)\nSELECT ") + 3 :]


def _all_equal(steps: Sequence[_Step]) -> bool:
    return all(step == steps[0] for step in steps)


def _query(steps: Sequence[_Step], last: str) -> str:
    if not steps:
        return last
    tables = ", ".join(f"{identifier(name)} AS NOT MATERIALIZED (\n{text}\n)" for name, text in steps)
    return f"WITH {tables}\n{last}"
