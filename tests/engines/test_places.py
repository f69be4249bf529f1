"""What fails while a node runs is told with the node and its place in the file. Every engine."""

import os
from pathlib import Path

import pytest
from building import node, numbers, pipeline

from laktory import models
from laktory.errors import ExpressionError, RunError, SinkError, SourceError, StepError, within

HEAD = """\
name: p
dataframe_backend: {backend}
imports: [functions_of_places]
nodes:
- name: a
  source: {{path: in.parquet, format: PARQUET}}
  sinks: [{{path: a.parquet, format: PARQUET}}]
- name: x
"""
FUNCTIONS = """\
from laktory.errors import DefinitionError

def number():
    return 1

def fails():
    raise ValueError("no way")

def refuses():
    raise DefinitionError("not so")

def full(df):
    raise OSError("no room")
"""


@pytest.fixture
def failed(backend, tmp_path, monkeypatch):
    """Runs a pipeline of YAML whose node `x` fails; node `a` before it has written."""
    numbers()
    Path("functions_of_places.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)

    def run(body, kind=RunError):
        Path("p.yaml").write_text(HEAD.format(backend=backend) + body)
        with pytest.raises(kind) as caught:
            models.Pipeline.model_validate(Path("p.yaml")).execute()
        assert caught.value.node == "x"
        assert caught.value.exit_code == 1
        assert Path("a.parquet").exists()
        return caught.value

    return run


@pytest.mark.parametrize(
    ("option", "place", "path", "message"),
    [
        ("filter: id > '3'", "9:34: nodes[1].source.filter: a comparison takes values of one kind", ("filter",), ""),
        (
            'selects: ["s = 3 AS x"]',
            "9:37: nodes[1].source.selects[0]: a comparison takes values of one kind",
            ("selects", 0),
            "",
        ),
        ("filter: idd = 1", "9:34: nodes[1].source.filter: 'filter' of source 'a'", ("filter",), "mean 'id'?"),
        ('selects: ["*", "idd + 1 AS y"]', "9:41: nodes[1].source.selects[1]", ("selects", 1), "mean 'id'?"),
        ("selects: {s: s, idd: y}", "9:42: nodes[1].source.selects:", ("selects", "idd"), "mean 'id'?"),
        ("filter: nothing = 1", "9:34: nodes[1].source.filter", ("filter",), "not there; columns: id, x, s"),
        ("renames: {idd: y}", "9:36: nodes[1].source.renames:", ("renames", "idd"), "mean 'id'?"),
        ("drop_duplicates: [id, ss]", "9:48: nodes[1].source.drop_duplicates[1]", ("drop_duplicates", 1), "mean 's'?"),
        (
            "filter: x.y > 1",
            "9:34: nodes[1].source.filter: 'filter' cannot be computed on these columns: ",
            ("filter",),
            "",
        ),
        ("drops: [id, x, s]", "9:33: nodes[1].source.drops: ", ("drops",), "leaves no column"),
    ],
)
def test_an_option_of_a_source_has_its_place(failed, option, place, path, message):
    error = failed(f"  source: {{node_name: a, {option}}}\n")
    assert str(error).startswith(f"node 'x': p.yaml:{place}")
    assert message in str(error)
    assert error.path == ("sources", 0, *path)
    assert not [
        name for name in ("Binder", "Exception", "NotFound", "narwhals", "DefinitionError") if name in str(error)
    ]


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("{path: inn.parquet, format: PARQUET}", "9:18: nodes[1].source.path: 'inn.parquet' does not exist; did you"),
        (
            "{custom_reader: functions_of_places.number}",
            "9:27: nodes[1].source.custom_reader: 'functions_of_places.number' gives no frame: the data of type 'int'",
        ),
        (
            "{custom_reader: functions_of_places.fails}",
            "9:27: nodes[1].source.custom_reader: 'functions_of_places.fails' raised ValueError: no way",
        ),
        (
            "{custom_reader: functions_of_places.refuses}",
            "9:27: nodes[1].source.custom_reader: 'functions_of_places.refuses' raised DefinitionError: not so",
        ),
    ],
)
def test_a_source_that_cannot_be_read_has_its_place(failed, source, place):
    error = failed(f"  source: {source}\n  depends_on: [a]\n")
    assert str(error).startswith(f"node 'x': p.yaml:{place}")
    assert error.path[:2] == ("sources", 0)


def test_the_second_of_several_sources_and_a_step_have_their_places(failed):
    error = failed("  sources:\n  - node_name: a\n  - {node_name: a, name: b, filter: idd > 1}\n", StepError)
    assert str(error).startswith("node 'x': p.yaml:11:37: nodes[1].sources[1].filter: ")
    steps = (
        "  transformer:\n    nodes:\n    - expr: SELECT * FROM {df}\n    - {func_name: rename, func_args: [{idd: y}]}\n"
    )
    error = failed("  source: {node_name: a}\n" + steps, StepError)
    assert str(error).startswith("node 'x': p.yaml:13:19: nodes[1].transformer.nodes[1].func_name: method 'rename'")
    assert (error.step, error.path) == (1, ("transformer", "nodes", 1, "func_name"))


def test_a_sink_has_its_place(failed):
    Path("x.csv").write_text("other\n1\n")
    sinks = "  sinks:\n  - {path: x.parquet, format: PARQUET}\n  - {path: x.csv, format: CSV, mode: APPEND}\n"
    error = failed("  source: {node_name: a}\n" + sinks, SinkError)
    assert str(error).startswith("node 'x': p.yaml:12:12: nodes[1].sinks[1].path: cannot append to 'x.csv'")
    writer = "  sinks: [{custom_writer: functions_of_places.full}]\n"
    error = failed("  source: {node_name: a}\n" + writer)
    assert "p.yaml:10:27: nodes[1].sinks[0].custom_writer: 'functions_of_places.full' raised OSError" in str(error)


def test_a_sink_that_cannot_be_locked_has_its_place(backend):
    numbers()
    os.mkfifo("x")
    Path("p.yaml").write_text(
        f"name: p\ndataframe_backend: {backend}\nnodes:\n- name: x\n  source: {{path: in.parquet, format: PARQUET}}\n"
        "  sinks: [{path: x, format: PARQUET}]\n"
    )
    with pytest.raises(
        SinkError, match=r"^node 'x': p\.yaml:6:18: nodes\[0\]\.sinks\[0\]\.path: 'x' is neither a file"
    ):
        models.Pipeline.model_validate(Path("p.yaml")).execute()


def test_without_a_file_the_message_is_alone(backend):
    numbers()
    made = pipeline(backend, node("x", {"path": "in.parquet", "format": "PARQUET", "filter": "id > '3'"}, "x.parquet"))
    with pytest.raises(RunError, match=r"^node 'x': a comparison takes values of one kind") as caught:
        made.execute()
    assert isinstance(caught.value.__cause__, ExpressionError)
    assert (caught.value.node, caught.value.path) == ("x", ("sources", 0, "filter"))
    with pytest.raises(SourceError, match=r"^node 'x': 'inn\.parquet' does not exist"):
        pipeline(backend, node("x", "inn.parquet", "x.parquet")).execute()


def test_places_within_places_are_put_together():
    with pytest.raises(RunError) as caught, within("sources", 0), within("filter"):
        raise RunError("no")
    assert (caught.value.path, str(caught.value)) == (("sources", 0, "filter"), "no")
