"""One SQL text serves every engine once it says in whose words it is."""

import re

import polars as pl
import pytest
from building import node, pipeline, rows_of

from laktory.errors import DefinitionError

SPARK = "SELECT `id`, substr(s, 2) AS digits, nvl(x, 0) AS x FROM {df} WHERE id % 2 = 0 ORDER BY id"
POSTGRES = 'SELECT "id", COALESCE(x, 0)::INT AS x FROM {nodes.a} WHERE s ILIKE \'S%\' ORDER BY "id" LIMIT 3'


@pytest.fixture
def data(backend):
    frame = pl.DataFrame({"id": [0, 1, 2, 3], "x": [1.0, None, None, 4.0], "s": ["s0", "s1", "s22", "s3"]})
    frame.write_parquet("in.parquet")
    return backend


def test_a_step_says_its_dialect(data):
    steps = [{"expr": SPARK, "dialect": "Spark"}]
    made = pipeline(data, node("a", "in.parquet", "o.parquet", steps=steps))
    made.execute()
    assert rows_of(made.nodes_dict["a"].output_df, "id") == [
        {"id": 0, "digits": "0", "x": 1.0},
        {"id": 2, "digits": "22", "x": 0.0},
    ]


def test_a_pipeline_says_the_dialect_of_its_steps(data):
    nodes = [node("a", "in.parquet"), node("b", "a", "o.parquet", steps=[POSTGRES])]
    made = pipeline(data, *nodes, dialect="postgres")
    made.execute()
    rows = rows_of(made.nodes_dict["b"].output_df, "id")
    assert [(row["id"], int(row["x"])) for row in rows] == [(0, 1), (1, 0), (2, 0)]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"expr": "SELECT 1", "dialect": "sprak"}, r"'sprak' is no SQL dialect(.|\n)*did you mean 'spark'\?"),
        ({"expr": "SELECT\n  FROM WHERE", "dialect": "spark"}, "the SQL text cannot be understood "),
        ({"expr": "SELECT * FROM secret", "dialect": "spark"}, "table 'secret' is not a placeholder"),
        ({"expr": "DROP TABLE x", "dialect": "spark"}, "a step is one query"),
    ],
)
def test_what_cannot_be_translated_is_told_before_anything_runs(data, step, message):
    with pytest.raises(DefinitionError) as caught:
        pipeline(data, node("a", "in.parquet", "o.parquet", steps=[step])).execute()
    assert re.search(message, str(caught.value))
