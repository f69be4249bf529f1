"""A filter keeps rows for which it is true: what is no truth value is refused, also where a scan would take it."""

import pytest

from laktory.errors import RunError
from laktory.models import Pipeline

ROWS = '{"id": 0, "name": "a"}\n{"id": 1, "name": "b"}\n{"id": null, "name": null}\n'


def written(tmp_path, backend, source=None, steps=()):
    """Ids that a pipeline of one node writes."""
    import polars as pl

    (tmp_path / "in.jsonl").write_text(ROWS, "utf-8")
    node = {
        "name": "kept",
        "source": {"path": "in.jsonl", "format": "JSONL", **(source or {})},
        "transformer": {"nodes": list(steps)} if steps else None,
        "sinks": [{"path": "out.parquet", "format": "PARQUET"}],
    }
    Pipeline.model_validate({"name": "pl", "dataframe_backend": backend, "nodes": [node]}).execute()
    return pl.read_parquet("out.parquet")["id"].to_list()


@pytest.mark.parametrize("text", ["id", "id + 1", "1", "name", "CASE WHEN id > 0 THEN 1 ELSE 0 END"])
def test_a_filter_of_a_source_that_is_no_predicate(tmp_path, backend, text):
    with pytest.raises(RunError, match="a filter keeps rows for which it is true, found values of type"):
        written(tmp_path, backend, {"filter": text})
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize(
    ("text", "ids"), [("id > 0", [1]), ("id IS NULL", [None]), ("TRUE", [0, 1, None]), ("NULL", [])]
)
def test_a_filter_of_a_source(tmp_path, backend, text, ids):
    assert written(tmp_path, backend, {"filter": text}) == ids


@pytest.mark.parametrize("predicate", ["nw.col('id')", "id", "nw.col('id') + 1", "nw.col('name')"])
def test_a_filter_step_that_is_no_predicate(tmp_path, backend, predicate):
    with pytest.raises(RunError, match="a filter keeps rows for which it is true, found values of type"):
        written(tmp_path, backend, steps=[{"func_name": "filter", "func_args": [predicate]}])
    assert not (tmp_path / "out.parquet").exists()


def test_a_filter_step_of_several_predicates(tmp_path, backend):
    step = {"func_name": "filter", "func_args": ["nw.col('id') >= 0", "nw.col('name') == 'b'"]}
    assert written(tmp_path, backend, steps=[step]) == [1]


def test_a_filter_step_with_a_column_by_keyword(tmp_path, backend):
    step = {"func_name": "filter", "func_kwargs": {"name": "b"}}
    assert written(tmp_path, backend, steps=[step]) == [1]


@pytest.mark.parametrize("where", ["sum(id) > 0", "id > avg(id)", "NOT count(*) = 3"])
def test_an_aggregate_in_where(tmp_path, backend, where):
    with pytest.raises(Exception, match="WHERE judges each row, and '.*' is one value of all rows"):
        written(tmp_path, backend, steps=[{"expr": f"SELECT id FROM {{df}} WHERE {where}"}])
    assert not (tmp_path / "out.parquet").exists()


def test_an_aggregate_of_a_subquery_in_where(tmp_path, backend):
    sql = "SELECT id FROM {df} WHERE id = (SELECT max(id) FROM {df})"
    assert written(tmp_path, backend, steps=[{"expr": sql}]) == [1]
