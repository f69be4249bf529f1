"""Statements in Spark's words: what would leave the frames, run code or read files is refused."""

import pytest

from laktory.expressions.statement import fragment_problems, statement_problems

REFUSED = [
    "SELECT TRANSFORM(a) USING 'touch /tmp/x' AS (b) FROM {df}",
    "MAP a USING 'cat' FROM {df}",
    "SELECT * FROM parquet.`/etc/x`",
    "SELECT * FROM text.`passwd`",
    "SELECT * FROM `parquet`.`x`",
    "SELECT * FROM default.t",
    "SELECT * FROM t@v1",
    "SELECT * FROM IDENTIFIER('secret')",
    "SELECT * FROM STREAM read_files('x')",
    "SELECT reflect('java.lang.System', 'getenv') FROM {df}",
    "SELECT java_method('java.lang.System', 'exit', 1) FROM {df}",
    "SELECT try_reflect('a', 'b') FROM {df}",
    "SELECT secret('a', 'b') FROM {df}",
    r"SELECT '\'' AS a, (SELECT max(x) FROM secret) AS b, '\'' AS c FROM {df}",
    r'SELECT "\"" AS a, (SELECT max(x) FROM secret) AS b, "\"" AS c FROM {df}',
    "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
    "FROM {df} INSERT INTO t SELECT *",
    "SELECT * FROM {df}; DROP TABLE x",
]
ALLOWED = [
    "SELECT a FROM {df} LATERAL VIEW explode(l) t AS x",
    "SELECT * FROM VALUES (1), (2) AS t(a)",
    "SELECT * EXCEPT (a) FROM {df} WHERE a RLIKE 'x'",
    "SELECT * FROM {df} TABLESAMPLE (10 PERCENT)",
]


@pytest.mark.parametrize("statement", REFUSED)
def test_what_leaves_the_frames_is_refused(statement):
    assert statement_problems(statement, "spark", ["df"]) != []


@pytest.mark.parametrize("statement", ALLOWED)
def test_own_constructs_of_spark_are_taken(statement):
    assert statement_problems(statement, "spark", ["df"]) == []


@pytest.mark.parametrize("text", ["reflect('a', 'b')", "java_method('a', 'b')", "(SELECT 1)", "secret('a', 'b')"])
def test_pieces_of_sql(text):
    assert fragment_problems(text) != []
