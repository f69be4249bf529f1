"""SQL statements of steps: placeholders, the guard, and that engines run or refuse whatever it lets through."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl
from fuzzing import budget, example
from hypothesis import given
from hypothesis import strategies as st

from laktory.engines.capabilities import ENGINES
from laktory.errors import LaktoryError
from laktory.models import DataFrameExpr, Pipeline

# ---- placeholders --------------------------------------------------------------------------------

KEYS = ["df", "nodes.brz", "nodes.a-b", "sources.x", "nodes.with space", "ünï"]
INSIDE = st.lists(
    st.sampled_from(
        ["{df}", "{nodes.brz}", "{", "}", "a", " ", "é", "\n", ";", "--", "/", "*", "{{", "SELECT", "{8,8}", "${"]
    ),
    max_size=5,
).map("".join)
STRUCTS = st.sampled_from(
    ["{'a': 1}", "{a: x}", "{}", "{8,8}", "{'a': {'b': 2}}", "{ df }", "{1df}", "{df", "df}", "{'df'}"]
)
# what hides a placeholder; each as text that ends where it ends on every engine
HIDDEN = st.one_of(
    INSIDE.map(lambda text: "'" + text.replace("'", "''") + "'"),
    INSIDE.map(lambda text: '"' + text + '"'),
    INSIDE.map(lambda text: "`" + text + "`"),
    INSIDE.map(lambda text: "$$" + text.replace("$", "") + "$$"),
    INSIDE.map(lambda text: "$tag$" + text.replace("$", "") + "$tag$"),
    INSIDE.map(lambda text: "--" + text.replace("\n", " ") + "\n"),
    INSIDE.map(lambda text: "/* " + text.replace("*", "").replace("/", "") + " */"),
    INSIDE.map(lambda text: "/* /* " + text.replace("*", "").replace("/", "") + " */ {df} */"),
)
SEGMENTS = st.lists(
    st.sampled_from(KEYS).map(lambda key: (key,))
    | HIDDEN
    | STRUCTS
    | st.sampled_from(["SELECT", "FROM", "x", "+", ",", "(", ")", "1"]),
    max_size=9,
)


@budget(150)
@given(SEGMENTS, st.sampled_from([" ", " ", "\n"]))
def test_placeholders(segments: list[Any], gap: str) -> None:
    text = "SELECT" + gap + gap.join(part if isinstance(part, str) else f"{{{part[0]}}}" for part in segments)
    wanted = [part[0] for part in segments if not isinstance(part, str)]
    replaced = "SELECT" + gap + gap.join(part if isinstance(part, str) else f"<{part[0]}>" for part in segments)
    with example(text):
        step = DataFrameExpr(expr=text)
        nodes = [key.removeprefix("nodes.") for key in wanted if key.startswith("nodes.")]
        assert set(step.upstream_node_names) == set(nodes)
        assert step.to_sql({key: f"<{key}>" for key in KEYS}) == replaced


# ---- statements ----------------------------------------------------------------------------------

TABLES = ["{df}", "{nodes.other}", "{df} AS t", "{nodes.other} o"]
COLUMNS = ["a", "b", "s", "t.a", "o.k", "*", "1", "'x'", "NULL", "a + 1", "upper(s)", "count(*)", "sum(a)", "{df}.a"]
CONDITIONS = [
    "a > 1",
    "s IS NULL",
    "b",
    "s LIKE 'x%'",
    "a IN (1, 2)",
    "a = (SELECT max(k) FROM {nodes.other})",
    "true",
    "a BETWEEN 0 AND 2",
]
HOSTILE = [
    *(
        "read_csv('canary.csv')",
        "'canary.csv'",
        '"canary.csv"',
        "`canary.csv`",
        "read_text('canary.csv')",
        "glob('*')",
        "getenv('HOME')",
    ),
    *(
        "parquet_scan('x')",
        "duckdb_settings()",
        "query('SELECT 1')",
        "query_table('canary.csv')",
        "COPY {df} TO 'out.csv'",
        "ATTACH 'x.db'",
    ),
    *(
        "INSTALL httpfs",
        "; DROP TABLE x",
        "PRAGMA version",
        "SET threads=1",
        "EXPLAIN",
        "CREATE TABLE x AS",
        "DESCRIBE",
        "CALL pragma_version()",
    ),
    *(
        "WITH RECURSIVE c AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM c WHERE x < 3)",
        "LIMIT 1e9",
        "OFFSET -1",
        "PIVOT",
        "UNNEST([1, 2])",
    ),
    *(
        "'" * 3,
        '"',
        "/*",
        "--",
        "$$",
        "$tag$",
        "\\",
        "{",
        "}",
        "{nope}",
        "{{df}}",
        "((((((((",
        "CASE WHEN" * 30,
        "é",
        "\u2028",
        "\x00",
        "\u00a0",
    ),
    *(
        "range(3)",
        "generate_series(1, 3)",
        "COLUMNS('a')",
        "EXCLUDE (a)",
        "REPLACE (1 AS a)",
        "a::INT",
        "E'\\x41'",
        "x'41'",
        "U&'\\0041'",
        "1_000",
    ),
    *(
        "LATERAL",
        "QUALIFY row_number() OVER (ORDER BY a) = 1",
        "USING SAMPLE 1",
        "ASOF JOIN",
        "VALUES (1)",
        "TABLE {df}",
        "FROM {df}",
        "[x FOR x IN [1]]",
    ),
]


@st.composite
def queries(draw: Any, depth: int = 1) -> str:
    table = draw(st.sampled_from(TABLES))
    if depth and draw(st.booleans()):
        table = f"({draw(queries(depth - 1))}) AS t"
    text = f"SELECT {draw(st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=3).map(', '.join))} FROM {table}"
    if draw(st.booleans()):
        text += draw(
            st.sampled_from(
                [" JOIN {nodes.other} o2 ON true", " LEFT JOIN {nodes.other} AS o2 USING (k)", ", {nodes.other} o2"]
            )
        )
    if draw(st.booleans()):
        text += f" WHERE {draw(st.sampled_from(CONDITIONS))}"
    text += draw(
        st.sampled_from(
            ["", "", " GROUP BY a", " GROUP BY ALL", " ORDER BY 1", " ORDER BY a DESC LIMIT 2", " LIMIT 1", ";"]
        )
    )
    if depth and draw(st.booleans()):
        text += draw(st.sampled_from([" UNION ALL ", " EXCEPT ", " INTERSECT "])) + draw(queries(depth - 1))
    if depth and draw(st.booleans()):
        text = f"WITH t AS ({draw(queries(0))}) {text}"
    return text


@st.composite
def statements(draw: Any) -> str:
    text = draw(queries())
    for _ in range(draw(st.sampled_from([0, 1, 1, 2, 3]))):
        at, length = draw(st.integers(0, len(text))), draw(st.sampled_from([0, 0, 1, 5, 20]))
        text = (
            text[:at]
            + " " * draw(st.integers(0, 1))
            + draw(st.sampled_from(HOSTILE) | st.characters())
            + " "
            + text[at + length :]
        )
    return text


FRAMES = {
    "df": pl.DataFrame({"a": [1, 2, None], "b": [True, None, False], "s": ["x", None, ""]}),
    "other": pl.DataFrame({"k": [1, 2, 2], "o": ["p", "q", None]}),
}


def run(text: str, engine: str) -> Any:
    """Rows, an error of the library that collecting raises, or None: refused."""
    definition = {
        "name": "p",
        "dataframe_backend": engine,
        "nodes": [
            {"name": "other", "source": {"df": FRAMES["other"]}},
            {"name": "n", "source": {"df": FRAMES["df"]}, "transformer": {"nodes": [{"expr": text}]}},
        ],
    }
    try:
        pipeline = Pipeline.model_validate(definition)
        pipeline.execute(write_sinks=False)
        return pipeline.nodes_dict["n"].output_df.head(50).collect("polars").to_native().rows()
    except LaktoryError:
        raise
    except Exception as error:
        if type(error).__module__.partition(".")[0].lstrip("_") not in {"duckdb", "polars", "narwhals", "builtins"}:
            raise
        return error


@budget(30)
@given(statements())
def test_any_statement(tmp_path: Path, text: str) -> None:
    Path("canary.csv").write_text("a\nCANARY\n")
    for engine in ENGINES:
        with example(engine, text):
            before = sorted(path.name for path in Path().iterdir() if path.name != ".laktory")
            found = run(text, engine)
            assert "CANARY" not in str(found)
            if not isinstance(found, Exception):
                assert not re.search(r"canary\.csv[\"`]", text) or "'" in text, "a file was named where a table stands"
            assert sorted(path.name for path in Path().iterdir() if path.name != ".laktory") == before
