"""A result has no two columns of one name: every engine would invent another name for one of them."""

from __future__ import annotations

import polars as pl
import pytest
from building import is_refused, node, pipeline, said

from laktory.errors import DefinitionError, StepError
from laktory.expressions.statement import statement_problems
from laktory.transforms.sql import run_statement

A = {"id": [1, 2], "x": [10, 20]}
B = {"id": [1, 3], "y": [5, 6]}
ON = "FROM {a} AS a JOIN {b} AS b ON a.id = b.id"

TWICE = [
    (f"SELECT * {ON}", "named 'id'.*join with USING \\(id\\), or name the columns"),
    (f"SELECT a.*, b.* {ON}", "join with USING"),
    (f"SELECT a.id, b.id {ON}", "named 'id'.*give one of them another name: … AS id_2"),
    (f"SELECT a.id, b.y AS id {ON}", "another name"),
    (ON, "join with USING"),
    ("SELECT a.*, b.* FROM {a} AS a JOIN {b} AS b USING (id)", "leave one of them out: b\\.\\* EXCLUDE \\(id\\)"),
    ("SELECT * FROM {a} JOIN {a} AS o USING (id)", "named 'x'.*o\\.\\* EXCLUDE \\(x\\)"),
    ("SELECT * FROM {a} AS a CROSS JOIN {b}", "{b}\\.\\* EXCLUDE \\(id\\)"),
    ("SELECT * FROM {a} AS a, {b} AS b WHERE a.id = b.id", "named 'id'"),
    ("SELECT * FROM {a} AS a RIGHT JOIN {b} AS b ON a.id = b.id", "leave one of them out"),
    ("SELECT *, x + 1 AS x FROM {a}", "named 'x'.*leave one of them out: \\* EXCLUDE \\(x\\)"),
    ("SELECT x, id AS x FROM {a}", "another name"),
    ("SELECT id, sum(x) AS n, count(*) AS n FROM {a} GROUP BY id", "named 'n'"),
    (f"WITH j AS (SELECT * {ON}) SELECT * FROM j", "of the result are named 'id'"),
    (f"WITH j AS (SELECT * {ON}) SELECT id FROM j", "of 'j' are named 'id'"),
    (f"WITH j AS (SELECT * {ON}) SELECT x FROM j WHERE id > 1", "of 'j'"),
    (f"SELECT id_1 FROM (SELECT * {ON}) AS s", "of 's' are named 'id'.*in the subquery"),
    (f'SELECT "id:b" FROM (SELECT * {ON}) AS s', "of 's' are named 'id'"),
    (f"SELECT * {ON} UNION ALL SELECT * {ON}", "named 'id'"),
]
ONCE = [
    ("SELECT * FROM {a} JOIN {b} USING (id)", ["id", "x", "y"], [(1, 10, 5)]),
    ("FROM {a} JOIN {b} USING (id)", ["id", "x", "y"], [(1, 10, 5)]),
    ("SELECT * FROM {a} LEFT JOIN {b} AS b USING (id)", ["id", "x", "y"], [(1, 10, 5), (2, 20, None)]),
    ('SELECT * FROM {a} JOIN {b} AS "o o" USING (id)', ["id", "x", "y"], [(1, 10, 5)]),
    ("SELECT * FROM {a} JOIN {b} USING (id) JOIN (SELECT id, 1 AS z FROM {a}) AS o USING (id)", None, [(1, 10, 5, 1)]),
    ("WITH j AS (SELECT * FROM {a} JOIN {b} USING (id)) SELECT * FROM j", ["id", "x", "y"], [(1, 10, 5)]),
    ("SELECT * REPLACE (x + 1 AS x) FROM {a} JOIN {b} USING (id)", ["id", "x", "y"], [(1, 11, 5)]),
    ("SELECT * EXCLUDE (x) FROM {a} JOIN {b} USING (id)", ["id", "y"], [(1, 5)]),
    ("SELECT * FROM {a} NATURAL JOIN {b}", ["id", "x", "y"], [(1, 10, 5)]),
    (f"SELECT a.*, b.* EXCLUDE (id) {ON}", ["id", "x", "y"], [(1, 10, 5)]),
    (f"SELECT * EXCLUDE (id) {ON}", ["x", "y"], [(10, 5)]),
    (f"SELECT * EXCLUDE id {ON}", ["x", "y"], [(10, 5)]),
    (f"WITH j AS (SELECT * {ON}) SELECT x, y FROM j", ["x", "y"], [(10, 5)]),
    (f"SELECT b.id AS b_id, x AS id {ON} ORDER BY id", ["b_id", "id"], [(1, 10)]),
    ("SELECT * FROM {a} AS a SEMI JOIN {b} AS b ON a.id = b.id", ["id", "x"], [(1, 10)]),
    ("SELECT * FROM {a} AS a WHERE EXISTS (SELECT * FROM {b} AS b WHERE b.id = a.id)", ["id", "x"], [(1, 10)]),
    ("SELECT * FROM {a} AS a LEFT JOIN {b} AS b USING (id) WHERE b.id IS NULL", ["id", "x", "y"], [(2, 20, None)]),
    ("SELECT count(*) AS n, max(x) AS m FROM {a} JOIN {b} USING (id)", ["n", "m"], [(1, 10)]),
    ("SELECT * ILIKE 'X%', 1 AS id FROM {a}", ["x", "id"], [(10, 1), (20, 1)]),
]


def run(session, sql):
    frames = {"a": session.adopt(pl.DataFrame(A)), "b": session.adopt(pl.DataFrame(B))}
    return run_statement(sql, session, frames).collect("polars").to_native()


@pytest.mark.parametrize(("sql", "message"), TWICE)
def test_a_name_that_the_result_has_twice_is_refused_in_the_same_words(sql, message, session):
    with pytest.raises(StepError, match=f"(?s)two columns.*{message}"):
        run(session, sql)


@pytest.mark.parametrize("engine", ["POLARS", "DUCKDB"], indirect=True)  # in words that these share
@pytest.mark.parametrize(("sql", "names", "rows"), ONCE)
def test_a_key_that_both_sides_share_is_one_column(sql, names, rows, session):
    sql = said(sql, session.capabilities)
    if is_refused(sql, session.capabilities, "a", "b"):
        with pytest.raises(StepError, match="this engine"):
            run(session, sql)
        return
    try:
        found = run(session, sql)
    except StepError as error:
        # what * leaves out, Spark wants to be told of which table
        assert "column 'id' is in several tables: a.id, b.id" in str(error)
        assert session.capabilities.name == "PYSPARK"
        assert "EXCEPT" in sql
        return
    assert names is None or found.columns == names
    assert sorted(found.rows(), key=str) == rows


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT * EXCLUDE (idd) FROM {a}", "EXCLUDE names 'idd', which is no column there.*did you mean 'id'"),
        ("SELECT * EXCLUDE (x, ID) FROM {a}", "EXCLUDE names 'ID'.*did you mean 'id'"),
        ("SELECT a.* EXCLUDE (y), b.y FROM {a} AS a JOIN {b} AS b USING (id)", "EXCLUDE names 'y'"),
        ("SELECT * RENAME (z AS id2) FROM {a}", "RENAME names 'z', which is no column there"),
        ("SELECT * REPLACE (1 AS z) FROM {a}", "REPLACE names 'z', which is no column there"),
        ("SELECT * FROM (SELECT * EXCLUDE (z) FROM {a}) AS s", "EXCLUDE names 'z'"),
    ],
)
def test_a_star_without_a_column_that_is_not_there(sql, message, session):
    """A slip of the pen would keep the column that was to be left out."""
    refused = is_refused(sql, session.capabilities, "a", "b")
    with pytest.raises(StepError, match="this engine" if refused else f"(?s){message}"):
        run(session, sql)


def test_names_that_the_text_has_twice_are_found_before_anything_runs(backend):
    pl.DataFrame(A).write_parquet("l.parquet")
    steps = ["SELECT x,\n  id AS x\nFROM {df}"]
    with pytest.raises(DefinitionError, match="two columns of the result are named 'x'"):
        pipeline(backend, node("a", "l.parquet", "out.parquet", steps=steps)).execute()


def test_the_place_is_that_of_the_second_column():
    problem = statement_problems("WITH j AS (SELECT 1 AS a, 2 AS b)\nSELECT *,\n  1 AS b FROM j")[0]
    assert (problem.line, problem.column) == (3, 3)


def test_a_column_named_as_an_engine_names_the_second_key_is_not_lost(session):
    frames = {"a": session.adopt({"id": [1], "id:b": [7]}), "b": session.adopt({"id": [1]})}
    sql = "SELECT * FROM {a} JOIN {b} AS b USING (id)"
    try:
        found = run_statement(sql, session, frames).collect("polars").to_native()
    except StepError as error:
        assert "'id:b' cannot be told" in str(error)
    else:
        assert found.columns == ["id", "id:b"]
