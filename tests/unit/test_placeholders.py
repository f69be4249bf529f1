from __future__ import annotations

import re

import pytest

from laktory.errors import DefinitionError
from laktory.expressions.placeholders import bind, placeholders, substitute
from laktory.expressions.statement import fragment_problems, statement_problems
from laktory.models.dataframe.dataframeexpr import DataFrameExpr

# ---- where placeholders are ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("SELECT * FROM {df}", ["df"]),
        ("FROM {df}", ["df"]),
        ("SELECT * FROM{df}WHERE x", ["df"]),
        ("SELECT * FROM {nodes.brz} JOIN {sources.other} USING (id)", ["nodes.brz", "sources.other"]),
        (
            "SELECT * FROM {nodes.a-b.c} x, {nodes.a--b} y, {nodes.with space} z",
            ["nodes.a-b.c", "nodes.a--b", "nodes.with space"],
        ),
        ("SELECT {df}.x FROM {df}", ["df", "df"]),
        ("SELECT * FROM {ünïcode}", ["ünïcode"]),
        ("SELECT '{df}' AS a, \"{df}\" AS b, `{df}` AS c FROM {df}", ["df"]),
        ("SELECT 'it''s {df}' FROM {df}", ["df"]),
        ("SELECT 1 -- {df}\n/* {nodes.x} /* {df} */ */ FROM {df} -- {nodes.y}", ["df"]),
        ("SELECT $$ {df} $$, $tag$ {df} $tag$ FROM {df}", ["df"]),
        ("SELECT regexp_matches(a, '^[0-9]{8,8}$') FROM {df}", ["df"]),
        ("SELECT {'a': 1, 'b': x} AS s FROM {df}", ["df"]),
        ("SELECT {a: 1} AS s, MAP {}, {'x': {'y': z}} FROM {df}", ["df"]),
        ("SELECT 1", []),
        ("SELECT 'open FROM {df}", []),
        ("SELECT {8}, {8,8}, {}", []),
    ],
)
def test_placeholders_are_found_by_the_tokenizer(text: str, keys: list[str]) -> None:
    found = placeholders(text)
    assert [item.key for item in found] == keys
    assert all(text[item.start : item.end] == f"{{{item.key}}}" for item in found)


def test_only_the_spans_of_placeholders_change() -> None:
    text = "SELECT '{df}', {'a': 1} -- {df}\nFROM   {df}\tJOIN {nodes.b} USING (é)"
    assert (
        substitute(text, {"df": "t", "nodes.b": "u"}) == "SELECT '{df}', {'a': 1} -- {df}\nFROM   t\tJOIN u USING (é)"
    )
    assert substitute(text, {"df": "t"}).endswith("JOIN {nodes.b} USING (é)")


def test_table_names_are_safe_and_never_shared() -> None:
    statement = bind("SELECT __df__ FROM {df}, {nodes.a-b}, {nodes.a_b}, {nodes.A_B}, {nodes.a b}")
    names = [name.casefold() for name in statement.names.values()]
    assert len(set(names)) == 5
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in names)
    assert "__df__" not in names  # a column of the statement has that name
    assert statement.sql.count("{") == 0


def test_places_of_the_engine_lead_back_to_the_text() -> None:
    text = "SELECT a\nFROM {nodes.a_rather_long_name} x JOIN {df} y ON nope\nWHERE z"
    statement = bind(text)
    for word in ("SELECT", "x JOIN", "nope", "WHERE"):
        line = text[: text.index(word)].count("\n") + 1
        column = text.index(word) - (text.rfind("\n", 0, text.index(word)) + 1) + 1
        assert statement.place(statement.sql.index(word)) == (line, column)
        row = statement.sql.splitlines()[line - 1]
        assert statement.place_of(
            line, row.index(word.split()[0]) + 1 if word != "x JOIN" else row.index("x JOIN") + 1
        ) == (line, column)
    inside = statement.sql.index(statement.names["df"]) + 3
    assert statement.place(inside) == (2, text.splitlines()[1].index("{df}") + 1)


def test_messages_of_the_engine_name_placeholders() -> None:
    statement = bind("SELECT * FROM {df} JOIN {nodes.b} USING (id)")
    message = f'column "x" not in {statement.names["df"]} nor in "{statement.names["nodes.b"]}"'
    assert statement.in_user_words(message) == 'column "x" not in {df} nor in {nodes.b}'


# ---- what the guard lets through -----------------------------------------------------------------

QUERIES = """
SELECT * FROM {df}
SELECT * FROM {df};
SELECT * FROM {df} ; -- done
FROM {df}
FROM {df} SELECT a WHERE a > 1
TABLE {df}
VALUES (1, 2), (3, 4)
SELECT 1 AS x
(SELECT a FROM {df}) INTERSECT (SELECT a FROM {nodes.b}) ORDER BY 1 LIMIT 3
SELECT a FROM {df} EXCEPT ALL SELECT a FROM {nodes.b}
SELECT * FROM {df} UNION ALL BY NAME SELECT * FROM {nodes.b}
WITH x AS (SELECT * FROM {df}), y AS MATERIALIZED (SELECT * FROM x) SELECT * FROM y JOIN X USING (a)
WITH RECURSIVE c AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM c WHERE x < 5) SELECT * FROM c
WITH RECURSIVE c AS (SELECT 1 AS x UNION SELECT x + 1 FROM (SELECT * FROM c) WHERE x < 5), d AS (FROM c) FROM d
SELECT * FROM (WITH q AS (SELECT 1 AS a) SELECT * FROM q)
WITH o AS (SELECT 1 AS a) SELECT (SELECT max(a) FROM o) FROM {df} WHERE a IN (FROM o)
SELECT data.a.b, data['a'], l[1], l[1:2] FROM {df}
SELECT {'a': 1, 'b': {'c': x}} AS s, MAP {'k': 1}, [x * 2 FOR x IN l IF x > 1] FROM {df}
SELECT list_transform(l, lambda x: x + 1), list_filter(l, x -> x > 1) FROM {df}
SELECT * EXCLUDE (a) REPLACE (b + 1 AS b), COLUMNS('c.*'), min(COLUMNS(* EXCLUDE (a))) FROM {df}
SELECT a FROM {df} QUALIFY row_number() OVER (PARTITION BY a ORDER BY b DESC) = 1
SELECT sum(x) OVER w FROM {df} WINDOW w AS (PARTITION BY a ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
SELECT * FROM {df} ASOF JOIN {nodes.b} b ON {df}.k = b.k AND {df}.ts >= b.ts
SELECT * FROM {df} SEMI JOIN {nodes.b} USING (id)
SELECT * FROM {df} POSITIONAL JOIN {nodes.b}
SELECT * FROM {df} t, unnest(t.l) AS u(x)
SELECT * FROM {df} t LEFT JOIN LATERAL unnest(t.l) AS u(x) ON true
SELECT * FROM {df} t, LATERAL (SELECT t.a + 1 AS c)
SELECT * FROM range(10) r(i), generate_series(1, 3) g(j), (VALUES (1)) v(k)
SELECT unnest(l), unnest(s, recursive := true) FROM {df}
PIVOT {df} ON year USING sum(p) GROUP BY c
UNPIVOT {df} ON a, b INTO NAME n VALUE v
SELECT * FROM {df} PIVOT (sum(p) FOR year IN (2000, 2010))
SELECT a: x + 1, b: y FROM {df}
SELECT `a b`, "c d", 'e f', E'tab\\t', DATE '2024-01-01', DATE'2024-01-01' FROM {df}
SELECT a // b, a ** 2, a % b, a IS DISTINCT FROM b, a::INT, TRY_CAST(a AS DECIMAL(10, 2)) FROM {df}
SELECT j ->> '$.a.b', regexp_matches(a, '^[0-9]{8,8}$'), 'C:\\dir' FROM {df}
SELECT a /* read_csv('x') */, 'DROP TABLE x; SELECT getenv(1)' AS t FROM {df} -- FROM 'x.csv'
SELECT extract(year FROM d), trim(BOTH ' ' FROM a), substring(a FROM 2), d + INTERVAL 1 DAY FROM {df}
SELECT count(*) FILTER (WHERE a > 1), string_agg(a, ',' ORDER BY b DESC), GROUPING(a) FROM {df} GROUP BY ROLLUP (a)
SELECT DISTINCT ON (a) a, b FROM {df} USING SAMPLE 10%
SELECT a, b, FROM {df} GROUP BY ALL ORDER BY ALL
SELECT "select", "from" FROM {df} AS x(a, b)
""".strip().splitlines()


@pytest.mark.parametrize("text", QUERIES)
def test_queries_pass(text: str) -> None:
    assert statement_problems(text, "duckdb") == []
    assert statement_problems(text, "postgres", ["df", "nodes.b"]) == []


REFUSED = {
    # more than a query
    "SELECT 1; DROP TABLE x": "exactly one query, found 2 statements",
    "-- nothing": "found only comments",
    "CREATE TABLE x AS SELECT 1": "found 'CREATE'",
    "INSERT INTO {df} VALUES (1)": "found 'INSERT'",
    "UPDATE {df} SET a = 1": "found 'UPDATE'",
    "DELETE FROM {df}": "found 'DELETE'",
    "TRUNCATE {df}": "found 'TRUNCATE'",
    "MERGE INTO {df} USING x ON a = b WHEN MATCHED THEN DELETE": "found 'MERGE'",
    "COPY {df} TO 'x.csv'": "found 'COPY'",
    "ATTACH 'x.db'": "found 'ATTACH'",
    "INSTALL httpfs": "found 'INSTALL'",
    "SET threads = 1": "found 'SET'",
    "PRAGMA version": "found 'PRAGMA'",
    "CALL f()": "found 'CALL'",
    "EXPLAIN SELECT 1": "found 'EXPLAIN'",
    "DESCRIBE {df}": "found 'DESCRIBE'",
    "SUMMARIZE {df}": "found 'SUMMARIZE'",
    "CHECKPOINT": "found 'CHECKPOINT'",
    "VACUUM": "found 'VACUUM'",
    "PREPARE p AS SELECT 1": "found 'PREPARE'",
    "BEGIN": "found 'BEGIN'",
    "SELECT 1 INTO t FROM {df}": "only queries, found INTO",
    "WITH x AS (COPY (SELECT 1) TO '/tmp/x.csv') SELECT * FROM x": "cannot be understood",
    "WITH x AS (INSERT INTO {df} VALUES (1) RETURNING a) SELECT * FROM x": "only queries, found INSERT",
    "FROM (SUMMARIZE 'x.csv')": "only queries, found SUMMARIZE",
    "FROM (DESCRIBE 'x.csv')": "only queries, found DESCRIBE",
    "FROM (SHOW TABLES)": "table 'SHOW'",
    # files
    "FROM 'x.csv'": "'x.csv' names a file",
    'SELECT * FROM "x.csv"': "'x.csv' names a file",
    "SELECT * FROM `x.csv`": "'x.csv' names a file",
    "SELECT * FROM 'https://example.org/x.csv'": "names a file",
    "PIVOT 'x.csv' ON y USING sum(p)": "'x.csv' names a file",
    "SELECT (SELECT max(a) FROM 'x.csv') FROM {df}": "'x.csv' names a file",
    "SELECT * FROM {df} JOIN 'x.csv' USING (a)": "'x.csv' names a file",
    "SELECT * FROM ({df} JOIN 'x.csv' USING (a))": "'x.csv' names a file",
    "SELECT ARRAY(FROM 'x.csv')": "'x.csv' names a file",
    "SELECT list_transform(l, x -> (SELECT 1 FROM 'x.csv')) FROM {df}": "'x.csv' names a file",
    "SELECT * REPLACE ((SELECT 1 FROM 'x.csv') AS a) FROM {df}": "'x.csv' names a file",
    "SELECT 1 LIMIT (SELECT 1 FROM 'x.csv')": "'x.csv' names a file",
    'WITH "x.csv" AS (SELECT * FROM "x.csv") SELECT * FROM "x.csv"': "'x.csv' names a file",
    'SELECT * FROM "x.csv", (WITH "x.csv" AS (SELECT 1) SELECT 1)': "'x.csv' names a file",
    # DuckDB finds the name of a recursive WITH only on the right of its UNION; elsewhere it would be a file or view
    'WITH RECURSIVE "x.csv" AS (SELECT * FROM "x.csv") SELECT * FROM "x.csv"': "'x.csv' names a file",
    'WITH RECURSIVE q AS (WITH r AS (SELECT * FROM q) FROM r) FROM q': "table 'q' is not a placeholder",
    "WITH RECURSIVE q AS (SELECT * FROM q UNION ALL SELECT 1) FROM q": "table 'q' is not a placeholder",
    "WITH RECURSIVE q AS (SELECT 1 AS a UNION ALL BY NAME SELECT * FROM q) FROM q": "table 'q' is not a placeholder",
    "WITH RECURSIVE q AS (SELECT 1 AS a EXCEPT SELECT * FROM q) FROM q": "table 'q' is not a placeholder",
    "WITH RECURSIVE q AS (WITH r AS (FROM q) SELECT 1 UNION ALL FROM r) FROM q": "table 'q' is not a placeholder",
    "WITH RECURSIVE q AS (SELECT 1 AS a UNION ALL SELECT 2 ORDER BY (SELECT 1 FROM q)) FROM q": "table 'q' is not",
    'WITH "\u017f" AS (SELECT 1) FROM s': "table 's' is not a placeholder",
    'WITH "data/*" AS (SELECT 1 AS a) SELECT * FROM "data/*"': "'data/*' names a file: it cannot be a name in WITH",
    "WITH laktory_data_0 AS (SELECT 1 AS a) FROM laktory_data_0": "'laktory_data_0' is reserved",
    "WITH {df} AS (SELECT 1 AS a) FROM {df}": "'{df}' is reserved: it cannot be a name in WITH",
    "SELECT pg_get_viewdef(1) FROM {df}": "function 'pg_get_viewdef' is not allowed",
    "SELECT * FROM read_csv('x')": "function 'read_csv' is not allowed: a step reads no files",
    "SELECT * FROM READ_PARQUET ('x')": "function 'read_parquet' is not allowed",
    "SELECT * FROM {df} UNION SELECT * FROM scan_ipc('x')": "function 'scan_ipc' is not allowed",
    "SELECT a FROM {df}, LATERAL read_text('/etc/hostname')": "function 'read_text' is not allowed",
    "SELECT * FROM ROWS FROM (read_csv('x'))": "function 'read_csv' is not allowed",
    "SELECT * FROM range((SELECT count(*) FROM glob('*')))": "function 'glob' is not allowed",
    "SELECT * FROM \"read_csv\"('x')": "function 'read_csv' is not allowed",
    "SELECT * FROM st_read('x')": "st_read(…) cannot stand where a table is expected",
    "SELECT * FROM list_value(1)": "cannot stand where a table is expected",
    "SELECT * FROM parquet_metadata('x')": "function 'parquet_metadata' is not allowed",
    "SELECT * FROM sniff_csv('x')": "function 'sniff_csv' is not allowed",
    # the state of the engine
    "SELECT * FROM query('SELECT 1')": "function 'query' is not allowed",
    "SELECT * FROM query_table(['x'])": "function 'query_table' is not allowed",
    "SELECT * FROM duckdb_settings()": "function 'duckdb_settings' is not allowed",
    "SELECT * FROM pragma_version()": "function 'pragma_version' is not allowed",
    "SELECT getenv('HOME') FROM {df}": "function 'getenv' is not allowed",
    "SELECT \"getenv\" /* */ ('HOME') FROM {df}": "function 'getenv' is not allowed",
    "SELECT 'HOME'.getenv() FROM {df}": "function 'getenv' is not allowed",
    "SELECT main.current_setting('x') FROM {df}": "function 'current_setting' is not allowed",
    "SELECT\u00a0getenv\u00a0('HOME')": "function 'getenv' is not allowed",
    # tables that are no placeholders
    "SELECT * FROM slv_stocks": "table 'slv_stocks' is not a placeholder nor defined by WITH",
    "SELECT * FROM information_schema.tables": "table 'information_schema.tables' is not a placeholder",
    "SELECT * FROM {df}.x": "table '{df}.x' is not a placeholder",
    "SELECT * FROM main.__df__, {df}": "table 'main.__df__' is not a placeholder",
    "WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a": "table 'b' is not a placeholder",
    # what the guard and an engine would read differently
    r"SELECT X'\' AS x, ' FROM read_csv(''x'') -- ' FROM {df}": "a text may not begin with X'…",
    "SELECT a /*! , (SELECT 1 FROM 'x.csv') */ FROM {df}": "a comment that begins with '/*!'",
    "SELECT a -- \r '\n UNION SELECT * FROM read_csv('x') -- '\n FROM {df}": "a control character",
    "SELECT 1 \x00": "a control character",
    "SELECT $1 FROM {df}": "'$' outside quotes is not allowed",
    "SELECT q'[it s]' FROM {df}": "a text may not begin with q'…",
    "SELECT {{ x }} FROM {df}": "'{{' is not SQL",
    "SELECT {# x #} 1 FROM {df}": "is not SQL",
    "SELECT 'open FROM {df}": "a quote or a comment is not closed",
    "SELECT /* open FROM {df}": "cannot be",
    "SELEC * FROM {df}": "cannot be understood near 'FROM'",
    "SELECT * FORM {df}": "cannot be understood near",
    "  \n": "the SQL text is empty",
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_anything_else_is_refused(text: str) -> None:
    problems = statement_problems(text)
    assert problems, "the statement passed"
    assert any(REFUSED[text] in problem.message for problem in problems), [problem.message for problem in problems]


def test_files_are_allowed_by_the_setting_and_nothing_else_is() -> None:
    for text in ("FROM 'x.csv'", "SELECT * FROM read_csv('x.csv')", "SELECT * FROM glob('*')"):
        assert statement_problems(text, files=True) == []
    for text in (
        "COPY {df} TO 'x.csv'",
        "SELECT getenv('HOME')",
        "SELECT * FROM other",
        "SELECT * FROM duckdb_secrets()",
    ):
        assert statement_problems(text, files=True) != []


def test_an_unknown_placeholder_names_what_there_is() -> None:
    (problem,) = statement_problems("SELECT *\nFROM {node.brz}", "duckdb", ["df", "nodes.brz"])
    assert problem.message == "nothing is named {node.brz} here"
    assert problem.valid == ["{df}", "{nodes.brz}"]
    assert problem.hint == "did you mean '{nodes.brz}'?"
    assert (problem.line, problem.column) == (2, 6)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("SELECT *\n  FROM {nodes.long_name} x JOIN other USING (a)", (2, 33)),
        ("SELECT a,\n  getenv('x') FROM {df}", (2, 3)),
        ("SELECT {df}.a FROM {df} WHERE WHERE", (1, 31)),
    ],
)
def test_problems_stand_at_their_place(text: str, place: tuple[int, int]) -> None:
    problem = statement_problems(text)[0]
    assert (problem.line, problem.column) == place


# ---- pieces of SQL -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["a > 1", "sum(a) AS s, b", "a DESC NULLS LAST", "'from' || \"select\"", "case when a then 1 end"]
)
def test_pieces_of_sql_pass(text: str) -> None:
    assert fragment_problems(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "a IN (SELECT 1)",
        "1) FROM 'x.csv' --",
        "true UNION TABLE x",
        "getenv('HOME')",
        "read_text('x')",
        "a; DROP TABLE x",
        "'open",
        "/*! x */ 1",
    ],
)
def test_pieces_with_a_query_are_refused(text: str) -> None:
    assert fragment_problems(text) != []


# ---- the model -----------------------------------------------------------------------------------


def test_upstream_nodes_are_those_outside_quotes() -> None:
    step = DataFrameExpr(expr="SELECT '{nodes.no}' FROM {nodes.b} JOIN {nodes.a} USING (x) JOIN {nodes.b} -- {nodes.c}")
    assert step.upstream_node_names == ["b", "a"]
    assert [source.node_name for source in step.data_sources] == ["b", "a"]
    assert step.to_sql({"nodes.a": "cat.sch.a"}) == step.expr.replace("{nodes.a}", "cat.sch.a")


@pytest.mark.parametrize("values", [{"expr": ""}, {"expr": " \n"}, {}, {"expr": "SELECT 1", "type": "PYTHON"}])
def test_a_sql_step_needs_a_text(values: dict[str, str]) -> None:
    with pytest.raises(DefinitionError):
        DataFrameExpr(**values)


@pytest.mark.parametrize(("begin", "end"), [("(SELECT * FROM ", ")"), ("(", ")"), ("[", "]")])
@pytest.mark.parametrize("depth", [501, 20_000])
def test_brackets_without_end_are_counted_before_they_are_parsed(begin: str, end: str, depth: int) -> None:
    inner = "{df}" if "FROM" in begin else "1"
    (problem,) = statement_problems(f"SELECT * FROM {begin * depth}{inner}{end * depth}")
    assert "nested too deeply: at most 500" in problem.message
    (problem,) = statement_problems(f"SELECT x[1], '{'(' * depth}' AS text FROM {{df}} WHERE (")
    assert "cannot be understood" in problem.message
