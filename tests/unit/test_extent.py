"""How many rows expressions and statements look at, and which columns statements give."""

import pytest

from laktory.expressions.extent import extent
from laktory.expressions.projection import is_row_wise, projected


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("x > 0", "SQL", "row"),
        ("CASE WHEN x > 0 THEN UPPER(s) ELSE s END = 'A'", "SQL", "row"),
        ("COUNT(*) OVER (PARTITION BY s) = 1", "SQL", "rows"),
        ("x > AVG(x) OVER (PARTITION BY s)", "SQL", "rows"),
        ("COUNT(*) > 1", "SQL", "all"),
        ("x > AVG(x)", "SQL", "all"),
        ("maximum > 1", "SQL", "row"),
        ("nw.col('x') > 0", "DF", "row"),
        ("nw.col('x').is_in([1, 2]) & ~nw.col('s').is_null()", "DF", "row"),
        ("nw.when(nw.col('x') > 0).then(nw.lit(True)).otherwise(nw.col('b'))", "DF", "row"),
        ("nw.col('s').str.starts_with('a')", "DF", "row"),
        ("nw.col('s').str.len_chars() > 3", "DF", "row"),
        ("nw.col('l').list.max() > 3", "DF", "row"),
        ("nw.max_horizontal('x', 'y') > 3", "DF", "row"),
        ("nw.col('x').shift(1) > 0", "DF", "rows"),
        ("nw.col('x').cum_sum() > 0", "DF", "rows"),
        ("nw.col('x').is_unique()", "DF", "rows"),
        ("nw.len().over('s') == 1", "DF", "rows"),
        ("nw.col('x').max().over('s') > 3", "DF", "rows"),
        ("nw.col('x').fill_null(strategy='forward') > 0", "DF", "rows"),
        ("nw.col('x').max() > 3", "DF", "all"),
        ("nw.max('x') > 3", "DF", "all"),
        ("nw.len() > 3", "DF", "all"),
        ("nw.col('x') > nw.col('x').mean()", "DF", "all"),
        ("(nw.col('x') > 0).all()", "DF", "all"),
        ("nw.sql_expr('x > 0')", "DF", "row"),
        ("sql_expr('MAX(x)') > 0", "DF", "all"),
        ("nw.laktory.sql_expr('COUNT(*) OVER (PARTITION BY s)') > 1", "DF", "rows"),
        ("nw.laktory.current_timestamp() > nw.col('t')", "DF", "rows"),
    ],
)
def test_extent(text, kind, found):
    assert extent(text, kind) == found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("SELECT x, y * 2 AS y FROM {df} WHERE x > 0", True),
        ("SELECT * FROM {df}", True),
        ("FROM {df}", True),
        ("SELECT CAST(t AS TIMESTAMP) AS t, s.a AS a, COALESCE(x, 0) AS x FROM {df} AS t", True),
        ("SELECT x FROM {df} LIMIT 3", False),
        ("SELECT x FROM {df} ORDER BY x", False),
        ("SELECT DISTINCT x FROM {df}", False),
        ("SELECT SUM(x) AS x FROM {df}", False),
        ("SELECT x FROM {df} GROUP BY x", False),
        ("SELECT x, ROW_NUMBER() OVER (ORDER BY x) AS n FROM {df}", False),
        ("SELECT x, random() AS r FROM {df}", False),
        ("SELECT x, now() AS t FROM {df}", False),
        ("SELECT unnest(l) AS x FROM {df}", False),
        ("SELECT x FROM {df} JOIN {nodes.b} USING (x)", False),
        ("SELECT x FROM {nodes.b}", False),
        ("SELECT x FROM {df}, {df}", False),
        ("SELECT x FROM (SELECT x FROM {df})", False),
        ("SELECT x FROM {df} WHERE x IN (SELECT x FROM {df})", False),
        ("WITH a AS (SELECT x FROM {df}) SELECT x FROM a", False),
        ("SELECT x FROM {df} UNION ALL SELECT x FROM {df}", False),
        ("SELECT x FROM {df} TABLESAMPLE 10%", False),
        ("SELECT x FROM {df} QUALIFY ROW_NUMBER() OVER (ORDER BY x) = 1", False),
        ("SELEC x", False),
    ],
)
def test_row_wise(text, wanted):
    assert is_row_wise(text, "duckdb") is wanted


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("SELECT x, y * 2 AS z FROM {df}", ["x", "z"]),
        ("SELECT *, 1 AS one FROM {df}", ["x", "y", "one"]),
        ("SELECT * EXCLUDE (x) FROM {df}", ["y"]),
        ("SELECT * FROM {nodes.b}", None),
        ("SELECT a.x FROM {nodes.b} AS a", ["x"]),
        ("SELECT x + 1 FROM {df}", None),
        ("WITH a AS (SELECT x AS q FROM {df}) SELECT * FROM a", ["q"]),
        ("SELECT SUM(x) AS x FROM {df} GROUP BY y", ["x"]),
        ("VALUES (1)", None),
        ("SELECT * ILIKE 'x%' FROM {df}", None),
        ("SELECT COLUMNS('(.*)') AS 'a_\\1' FROM {df}", None),
        ("SELECT UNNEST(x) AS a FROM {df}", None),
        ("SELECT * EXCLUDE (l.x) FROM {df} AS l JOIN (SELECT 1 AS x) AS r USING (x)", None),
        ("SELECT * RENAME (r.x AS z) FROM {df} AS l CROSS JOIN (SELECT 1 AS x) AS r", ["x", "y", "z"]),
        ("SELECT * EXCLUDE (l.x) FROM {df} AS l CROSS JOIN (SELECT 1 AS x) AS r", ["y", "x"]),
    ],
)
def test_projected_columns(text, columns):
    assert projected(text, "duckdb", {"df": ["x", "y"], "nodes.b": None}) == columns
