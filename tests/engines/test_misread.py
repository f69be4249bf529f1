"""SQL of which an engine makes something else is refused there; what is not refused gives the rows that SQL says."""

from __future__ import annotations

import polars as pl
import pytest
from building import is_refused, node, pipeline, said

from laktory.engines.capabilities import ENGINES
from laktory.errors import DefinitionError

ROWS = {"id": [1, 2, 3, 4], "v": [1, 1, None, 2], "k": ["a", "b", "a", None], "b": [True, False, None, True]}
OTHER = {"id": [2, 9], "w": [20, 90]}
ON = "SELECT COALESCE(l.id, r.id) AS id, w FROM {df} AS l FULL JOIN {nodes.r} AS r ON l.id = r.id"
USING = "SELECT id, w FROM {df} AS l FULL JOIN {nodes.r} AS r USING (id)"
JOINED = [(1, None), (2, 20), (3, None), (4, None), (9, 90)]

MISREAD = [
    ("DISTINCT FROM", "SELECT id FROM {df} WHERE v IS DISTINCT FROM 1 AND k IS NOT NULL", [(3,)]),
    ("DISTINCT FROM", "SELECT id FROM {df} WHERE v IS DISTINCT FROM 1 OR k = 'b'", [(2,), (3,), (4,)]),
    ("DISTINCT FROM", "SELECT id FROM {df} WHERE id > 0 AND v IS DISTINCT FROM 1 AND k = 'a'", [(3,)]),
    ("DISTINCT FROM", "SELECT id FROM {df} WHERE NOT v IS NOT DISTINCT FROM 1 AND k = 'a'", [(3,)]),
    ("IS TRUE", "SELECT id FROM {df} WHERE (v > 1) IS NOT TRUE", [(1,), (2,), (3,)]),
    ("IS TRUE", "SELECT id FROM {df} WHERE b IS NOT FALSE", [(1,), (3,), (4,)]),
    ("IS TRUE", "SELECT id FROM {df} WHERE NOT (b IS TRUE)", [(2,), (3,)]),
    ("IS TRUE", "SELECT id, b IS TRUE AS t FROM {df}", [(1, True), (2, False), (3, False), (4, True)]),
    ("OUTER USING", USING, JOINED),
    ("OUTER USING", "SELECT id, w FROM {df} AS l RIGHT JOIN {nodes.r} AS r USING (id)", [(2, 20), (9, 90)]),
    ("TABLE COLUMNS", "SELECT v FROM {df} AS t(v, id, k, b)", [(1,), (2,), (3,), (4,)]),
    ("EXCLUDE OF", "SELECT * EXCLUDE (r.id, v, k, b) FROM {df} AS l JOIN {nodes.r} AS r ON l.id = r.id", [(2, 20)]),
]
UNDERSTOOD = [
    ("SELECT id FROM {df} WHERE (v IS DISTINCT FROM 1) AND k IS NOT NULL", [(3,)]),
    ("SELECT id FROM {df} WHERE k IS NOT NULL AND v IS DISTINCT FROM 1", [(3,)]),
    ("SELECT id FROM {df} WHERE v IS NOT DISTINCT FROM 1 + 0", [(1,), (2,)]),
    ("SELECT id, v IS DISTINCT FROM 1 AS n FROM {df}", [(1, False), (2, False), (3, True), (4, True)]),
    ("SELECT id FROM {df} WHERE k = 'a' AND (b IS TRUE OR v IS NULL)", [(1,), (3,)]),
    ("SELECT id, CASE WHEN b IS FALSE THEN 1 ELSE 0 END AS n FROM {df}", [(1, 0), (2, 1), (3, 0), (4, 0)]),
    ("SELECT id FROM {df} WHERE COALESCE(b, TRUE)", [(1,), (3,), (4,)]),
    ("SELECT id, w FROM {df} AS l LEFT JOIN {nodes.r} AS r USING (id)", JOINED[:4]),
    (ON, JOINED),
    ("SELECT v FROM (SELECT id, v FROM {df}) AS t(v, w)", [(1,), (2,), (3,), (4,)]),
    ("SELECT id, n FROM {df} CROSS JOIN range(1) AS r(n)", [(1, 0), (2, 0), (3, 0), (4, 0)]),
]


def rows(backend, sql):
    pl.DataFrame(ROWS).write_parquet("l.parquet")
    pl.DataFrame(OTHER).write_parquet("r.parquet")
    pipeline(backend, node("r", "r.parquet"), node("a", "l.parquet", "out.parquet", steps=[sql])).execute()
    return sorted(pl.read_parquet("out.parquet").rows())


@pytest.mark.parametrize(("construct", "sql", "expected"), MISREAD)
def test_what_an_engine_misreads_is_refused_or_right(backend, construct, sql, expected):
    engine = ENGINES[backend]
    text = said(sql, engine)
    if construct not in engine.misreads and not is_refused(text, engine, "df", "nodes.r"):
        assert rows(backend, text) == expected
        return
    with pytest.raises(DefinitionError, match="this engine"):
        rows(backend, text)


LACKED = [
    ("QUALIFY", "SELECT id FROM {df} QUALIFY row_number() OVER (PARTITION BY v ORDER BY id) = 1", [(1,), (3,), (4,)]),
    (
        "RECURSIVE",
        "WITH RECURSIVE c (n) AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM c WHERE n < 3) SELECT n AS id FROM c",
        [(1,), (2,), (3,)],
    ),
    ("STAR EXCEPT", "SELECT * EXCLUDE (v, k, b) FROM {df}", [(1,), (2,), (3,), (4,)]),
    (
        "WINDOW FILTER",
        "SELECT count(*) FILTER (WHERE id > 2) OVER (PARTITION BY v) AS id FROM {df}",
        [(0,), (0,), (1,), (1,)],
    ),
    ("ORDER BY AGGREGATE", "SELECT v AS r FROM {df} GROUP BY v ORDER BY sum(id) DESC LIMIT 1", [(2,)]),
]


@pytest.mark.parametrize(("construct", "sql", "expected"), LACKED)
def test_what_an_engine_lacks_is_refused_or_right(backend, construct, sql, expected):
    engine = ENGINES[backend]
    text = said(sql, engine) if "EXCLUDE" in sql else sql
    if construct in engine.misreads:
        with pytest.raises(DefinitionError, match="this engine"):
            rows(backend, text)
    else:
        assert rows(backend, text) == expected


@pytest.mark.parametrize(("sql", "expected"), UNDERSTOOD)
def test_the_same_said_in_other_words_is_understood(backend, sql, expected):
    assert rows(backend, sql) == expected


@pytest.mark.parametrize(("sql", "expected"), [(sql, expected) for _, sql, expected in MISREAD])
def test_the_engine_still_misreads_it(sql, expected):
    """What a newer version reads as SQL says needs no refusal any more."""
    tables = {"l": pl.LazyFrame(ROWS), "r": pl.LazyFrame(OTHER)}
    plain = sql.replace("{df} AS l", "l").replace("{nodes.r} AS r", "r").replace("{df}", "l")
    found = sorted(pl.SQLContext(tables).execute(plain, eager=True).rows(), key=str)
    assert found != sorted(expected, key=str)
