import io
import json
from datetime import date
from pathlib import Path

import pytest

from laktory import models
from laktory.errors import DefinitionError

SEED = Path(__file__).parents[1] / "seed" / "pipeline.yaml"


def node(name, **kwargs):
    kwargs.setdefault("source", {"path": f"./{name}.parquet", "format": "PARQUET"})
    return {"name": name, **kwargs}


@pytest.mark.parametrize("how", ["file", "text", "path", "yaml file", "yaml text", "dict", "json"])
def test_the_seed_loads_in_every_spelling(how):
    text = SEED.read_text()
    first = models.Pipeline.model_validate(SEED)
    with SEED.open() as fp:
        pl = {
            "file": lambda: models.Pipeline.model_validate(fp),
            "text": lambda: models.Pipeline.model_validate(text),
            "path": lambda: models.Pipeline.model_validate(SEED),
            "yaml file": lambda: models.Pipeline.model_validate_yaml(fp),
            "yaml text": lambda: models.Pipeline.model_validate_yaml(fp.read()),
            "dict": lambda: models.Pipeline.model_validate(first.to_plain()),
            "json": lambda: models.Pipeline.model_validate_json(json.dumps(first.to_plain())),
        }[how]()
    assert pl.sorted_node_names == ["brz_stock_prices", "slv_stock_prices"]
    assert pl.nodes_dict["slv_stock_prices"].source.node_name == "brz_stock_prices"
    assert pl.nodes_dict["slv_stock_prices"].transformer.nodes[1].func_kwargs == {
        "subset": ["symbol", "created_at"],
        "keep": "any",
    }


def test_block_text_is_kept_to_the_byte():
    expr = models.Pipeline.model_validate(SEED).nodes[1].transformer.nodes[0].expr
    assert expr.startswith("SELECT\n  CAST(data.created_at AS TIMESTAMP) AS created_at,\n")
    assert expr.endswith("FROM\n  {df}\n")


def test_a_single_item_list_is_a_pipeline():
    assert models.Pipeline.model_validate("- name: stock_prices\n  nodes: []\n").name == "stock_prices"


def test_dump_and_load_again():
    pl = models.Pipeline.model_validate(SEED)
    dumped = pl.model_dump(exclude_unset=True)
    assert list(dumped) == ["name", "nodes", "dataframe_backend", "dataframe_api", "root_path"]
    for again in (
        models.Pipeline.model_validate(dumped),
        models.Pipeline.model_validate_json(pl.model_dump_json(exclude_unset=True)),
        models.Pipeline.model_validate_yaml(pl.model_dump_yaml(exclude_unset=True)),
        models.Pipeline.model_validate_json_file(io.StringIO(pl.model_dump_json(exclude_unset=True))),
    ):
        assert again.nodes[1].transformer.nodes[0].expr == pl.nodes[1].transformer.nodes[0].expr
        assert again.nodes[0].sinks[0].path == "./data/brz_stock_prices.parquet"
        assert again.dataframe_backend.value == "POLARS"


def test_parents_and_inherited_backend():
    pl = models.Pipeline(name="p", dataframe_backend="DUCKDB", nodes=[node("a"), node("b", dataframe_backend="polars")])
    a, b = pl.nodes
    assert a.parent is pl
    assert a.source.parent_pipeline is pl
    assert a.source.parent_pipeline_node is a
    assert (a.source.dataframe_backend.value, b.source.dataframe_backend.value) == ("DUCKDB", "POLARS")
    assert str(a.dataframe_backend) == "DataFrameBackends.DUCKDB"


def test_an_appended_node_belongs_to_the_pipeline():
    pl = models.Pipeline(name="p", dataframe_backend="DUCKDB", nodes=[node("a")])
    pl.nodes.append(models.PipelineNode(**node("b", source={"node_name": "a"})))
    assert pl.sorted_node_names == ["a", "b"]
    assert pl.nodes_dict["b"].dataframe_backend.value == "DUCKDB"
    pl.nodes.append(models.PipelineNode(**node("b")))
    with pytest.raises(DefinitionError, match="declared twice"):
        _ = pl.sorted_nodes


def test_assignment_is_validated_and_leaves_the_model_as_it_was():
    pl = models.Pipeline(name="p", nodes=[node("a")])
    with pytest.raises(DefinitionError, match="not defined in pipeline"):
        pl.nodes[0].source = {"node_name": "zz"}
    assert pl.nodes[0].source.path == "./a.parquet"
    with pytest.raises(DefinitionError, match="expected a list"):
        pl.nodes[0].tags = 3
    assert pl.nodes[0].tags == []
    pl.nodes[0].source = models.FileDataSource(path="x.csv", format="csv")
    assert pl.nodes[0].source.format == "CSV"
    assert pl.nodes[0].source.parent is pl.nodes[0]


def test_update_is_deep_and_replaces_lists():
    pl = models.Pipeline(name="p", nodes=[node("a", tags=["x"])], variables={"k": 1})
    pl.nodes[0].update({"tags": ["y"], "comment": "c"})
    pl.update({"variables": {"l": 2}})
    assert (pl.nodes[0].tags, pl.nodes[0].comment, pl.variables) == (["y"], "c", {"k": 1, "l": 2})


def test_a_deep_copy_has_its_own_family():
    pl = models.Pipeline(name="p", nodes=[node("a")])
    copy = pl.model_copy(deep=True)
    assert copy.nodes[0].parent is copy
    assert copy.nodes[0].source.parent_pipeline is copy
    assert pl.nodes[0].parent is pl


def test_inject_vars_types_and_inheritance():
    pl = models.Pipeline(
        name="pl-${vars.env}",
        variables={"env": "dev", "flag": True, "sinks": [{"path": "o.parquet", "format": "PARQUET"}]},
        nodes=[
            node("a", sinks="${vars.sinks}", variables={"env": "prod"}, comment="${vars.env}"),
            node("b", source={"path": "x-${vars.env}.csv", "format": "CSV", "infer_schema": "${vars.flag}"}),
        ],
    )
    done = pl.inject_vars()
    assert done.name == "pl-dev"
    assert done.nodes[0].comment == "prod"
    assert isinstance(done.nodes[0].sinks[0], models.FileDataSink)
    assert done.nodes[1].source.path == "x-dev.csv"
    assert done.nodes[1].source.infer_schema is True
    assert pl.name == "pl-${vars.env}"
    assert pl.nodes[1].inject_vars().source.path == "x-dev.csv"
    assert pl.inject_vars(inplace=True) is None
    assert pl.name == "pl-dev"


def test_push_vars():
    pl = models.Pipeline(name="p", variables={"a": 1, "b": 2}, nodes=[node("n", variables={"b": 3})])
    pl.push_vars()
    assert pl.nodes[0].variables == {"a": 1, "b": 3}
    assert pl.nodes[0].source.variables == {"a": 1, "b": 3}


def test_safe_name_and_root_path():
    pl = models.Pipeline(name="a b.c")
    assert pl.safe_name == "a-b-c"
    assert pl.root_path.as_posix() == ".laktory/pipelines/a-b-c"
    assert models.Pipeline(name="a", root_path="/tmp/x").root_path == Path("/tmp/x")


BAD = [
    ({"name": "p", "nods": []}, "unknown field 'nods'", "did you mean 'nodes'?"),
    ({}, "field 'name' is missing", "add 'name'"),
    ({"name": "../x"}, "cannot be a name", ""),
    ({"name": "p", "nodes": [node("a"), node("a")]}, "node 'a' is declared twice in pipeline 'p'", ""),
    (
        {"name": "p", "nodes": [node("a", source={"node_name": "b"}), node("bb")]},
        "node 'b' is not defined",
        "did you mean 'bb'?",
    ),
    (
        {"name": "p", "nodes": [node("a", source={"node_name": "b"}), node("b", source={"node_name": "a"})]},
        "is not a DAG (directed acyclic graph). A circular dependency has been detected",
        "",
    ),
    ({"name": "p", "nodes": [node("a", source={"node_name": "a"})]}, "is not a DAG", ""),
    (
        {"name": "p", "nodes": [node("a", source={"pth": "x", "format": "CSV"})]},
        "cannot tell what kind of source",
        "did you mean 'path'?",
    ),
    (
        {"name": "p", "nodes": [node("a", source={"path": "x", "format": "CSV", "haeder": 1})]},
        "unknown field 'haeder'",
        "has_header",
    ),
    (
        {"name": "p", "nodes": [node("a", source={"type": "FIEL", "path": "x"})]},
        "'FIEL' is not a type of source",
        "did you mean 'FILE'?",
    ),
    (
        {"name": "p", "nodes": [node("a", sinks=[{"pipeline_view_name": "x"}])]},
        "type 'PIPELINE_VIEW' is not supported",
        "views of declarative pipelines",
    ),
    (
        {"name": "p", "nodes": [node("a", dlt_template="x")]},
        "'dlt_template' is not supported by this version",
        "Databricks pipelines",
    ),
    ({"name": "p", "orchestrator": {"type": "AIRFLOW"}}, "'orchestrator' is not supported by this version", "remove"),
    ({"name": "p", "dataframe_backend": object()}, "a object is not a dataframe backend", "valid: POLARS"),
    ({"name": "p", "dataframe_backend": "POLAR"}, "'POLAR' is not a dataframe backend", "did you mean 'POLARS'?"),
    (
        {"name": "p", "nodes": [node("a", sinks=[{"path": "x", "format": "CSV", "mode": "overwite"}])]},
        "'OVERWITE' is not valid here",
        "did you mean 'OVERWRITE'?",
    ),
    (
        {"name": "p", "nodes": [node("a", sinks=[{"path": "x", "format": "CSV", "mode": "MERGE"}])]},
        "mode 'MERGE' is not supported",
        "OVERWRITE",
    ),
    ({"name": "p", "nodes": [node("a", sinks="abc")]}, "expected a list, found the text 'abc'", ""),
    (
        {
            "name": "p",
            "nodes": [node("b"), {"name": "a", "source": {"node_name": "b"}, "sources": [{"node_name": "b"}]}],
        },
        "two spellings of one field",
        "sources",
    ),
    ({"name": "p", "nodes": [node("a", transformer={"nodes": [{"exp": "x"}]})]}, "", "expr"),
    ({"name": "p", "nodes": [node("a", source={"data": {"a": [1], "b": [1, 2]}})]}, "columns differ in length", ""),
    (
        {"name": "p", "nodes": [node("a", source={"path": "x", "format": "PARQUET", "infer_schema": True})]},
        "'infer_schema' has no meaning",
        "remove",
    ),
]


@pytest.mark.parametrize(("value", "message", "hint"), BAD, ids=[case[1][:40] or case[2] for case in BAD])
def test_bad_definitions_have_one_clear_problem(value, message, hint):
    with pytest.raises(DefinitionError) as caught:
        models.Pipeline.model_validate(value)
    text = str(caught.value)
    assert message in text
    assert hint in text
    assert len(caught.value.problems) == 1
    assert len(text.splitlines()) <= 10
    with pytest.raises(DefinitionError):
        models.Pipeline(**value)


def test_all_problems_are_shown_at_their_places(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text(
        "name: p\n"
        "nodes:\n"
        "- name: a\n"
        "  source:\n"
        "    path: x.csv\n"
        "    format: CSV\n"
        "    haeder: true\n"
        "  sinks:\n"
        "  - path: o.csv\n"
        "    format: CSV\n"
        "    mode: APEND\n"
        "  colour: red\n"
    )
    with pytest.raises(DefinitionError) as caught:
        models.Pipeline.model_validate(file)
    places = [
        str(line).split(": ")[0].rpartition("/")[2] for line in str(caught.value).splitlines() if "p.yaml" in line
    ]
    assert sorted(places) == ["p.yaml:11:11", "p.yaml:12:3", "p.yaml:7:5"]
    assert "    7 |     haeder: true\n      |     ^^^^^^" in str(caught.value)


def test_any_field_may_hold_a_variable():
    models.PipelineNode(
        name="a",
        source="${vars.source}",
        sinks=["${vars.sink}"],
        transformer="${vars.transformer}",
        dataframe_backend="${vars.backend}" if False else None,
    )
    with pytest.raises(DefinitionError):
        models.PipelineNode(name="a", sinks=["vars.sink"])


def test_a_full_dump_loads_again():
    pl = models.Pipeline.model_validate(SEED)
    for again in (
        models.Pipeline.model_validate(pl.model_dump()),
        models.Pipeline.model_validate(pl.model_dump(mode="json")),
        models.Pipeline.model_validate_json(pl.model_dump_json()),
        models.Pipeline.model_validate_yaml(pl.model_dump_yaml()),
    ):
        assert again.nodes[0].source.path == "./data/stock_prices/"
        assert again.model_dump() == pl.model_dump()


def test_secrets_do_not_show_before_they_are_used():
    pl = models.Pipeline(name="p", variables={"db_password": "abcd1234efgh"})
    options = {"storage_options": {"aws_secret_access_key": "zyxw9876vuts"}}
    source = models.FileDataSource(path="s3://b/x.parquet", format="PARQUET", reader_kwargs=options)
    assert "abcd1234efgh" not in repr(pl) + str(pl)
    assert "zyxw9876vuts" not in repr(source) + str(source)


def test_on_is_a_word_where_it_is_a_key():
    text = (
        "name: p\nnodes:\n- name: a\n  source: {path: x.csv, format: CSV}\n  transformer:\n    nodes:\n"
        "    - func_name: join\n      func_kwargs: {other: '{nodes.b}', on: [id]}\n"
        "- name: b\n  source: {path: y.csv, format: CSV}\n"
    )
    assert models.Pipeline.model_validate(text).nodes[0].transformer.nodes[0].func_kwargs["on"] == ["id"]


# ---- rules ---------------------------------------------------------------------------------------

RULES = [
    {"name": "p", "expr": "x > 0", "action": "WARN"},
    {"name": "d", "expr": {"expr": "x < 9"}, "action": "DROP"},
    {"name": "q", "expr": "x\n<> 5", "action": "QUARANTINE", "tolerance": {"rel": 0.1}},
    {"name": "f", "expr": "x IS NOT NULL", "action": "FAIL"},
    {"name": "n", "expr": "nw.col('x') > 0", "action": "FAIL"},
    {"name": "a", "expr": "COUNT(*) > 1", "type": "AGGREGATE", "action": "FAIL"},
    {"not_null": "x", "action": "DROP"},
]


def test_rules_for_declarative_pipelines():
    made = models.PipelineNode(
        name="a",
        expectations=RULES,
        sinks=[{"path": "o", "format": "CSV"}, {"path": "q", "format": "CSV", "is_quarantine": True}],
    )
    expected = {"warning": {"p": "x > 0"}, "drop": {"d": "x < 9", "q": "x <> 5"}, "fail": {"f": "x IS NOT NULL"}}
    for kind, rules in expected.items():
        for prefix in ("ldp", "dlt"):
            name = f"{prefix}_{kind}_expectations"
            assert getattr(made, name) == getattr(made.sinks[0], name) == rules
            assert getattr(made.sinks[1], name) == {}
        assert getattr(made, f"sdp_{kind}_expectations") == {}
    rules = {rule.name: rule for rule in made.expectations}
    assert [name for name, rule in rules.items() if rule.is_streaming_compatible] == ["p", "d", "f", "n", "not_null_x"]
    assert [name for name, rule in rules.items() if rule.is_dlt_compatible] == ["p", "d", "q", "f"]
    assert not any(rule.is_ldp_managed or rule.is_dlt_managed for rule in made.expectations)


def test_names_of_short_forms():
    short = [
        {"not_null": ["a", "b"]},
        {"unique": {"columns": "a"}},
        {"accepted_values": {"column": "a", "values": [1]}},
    ]
    short += [{"references": {"column": "a", "node": "n", "to": "k"}}, {"not_null": "${vars.column}"}]
    names = [models.DataQualityExpectation.model_validate(rule).name for rule in short]
    assert names == ["not_null_a_b", "unique_a", "accepted_values_a", "references_a", "not_null"]


def test_texts_of_short_forms():
    short = {
        '"a" IS NOT NULL AND "b ""x""" IS NOT NULL': {"not_null": ["a", 'b "x"']},
        '"a" IS NULL OR COUNT(*) OVER (PARTITION BY "a") = 1': {"unique": "a"},
        '"a" IS NULL OR ROW_NUMBER() OVER (PARTITION BY "a" ORDER BY "t" DESC) = 1': {
            "unique": {"columns": "a", "order_by": "t", "keep": "last"}
        },
        "\"a\" IS NULL OR \"a\" IN ('it''s', 1, 2.5, TRUE, DATE '2024-01-02')": {
            "accepted_values": {"column": "a", "values": ["it's", 1, 2.5, True, date(2024, 1, 2)]}
        },
    }
    for text, rule in short.items():
        assert models.DataQualityExpectation(**rule).text == text


def test_rules_may_be_variables():
    made = models.Pipeline(
        name="p",
        variables={"rules": [{"not_null": "x"}], "action": "DROP", "columns": ["x"], "share": 0.5, "sinks": []},
        nodes=[
            {"name": "a", "expectations": "${vars.rules}", "sinks": "${vars.sinks}", "source": {"data": {"x": [1]}}},
            {
                "name": "b",
                "source": {"node_name": "a"},
                "expectations": [
                    {"not_null": "${vars.columns}", "action": "${vars.action}", "tolerance": {"rel": "${vars.share}"}},
                    {"unique": "${vars.columns}", "tolerance": "${vars.tolerance}"},
                ],
            },
        ],
    )
    resolved = made.inject_vars(vars={"tolerance": {"abs": 2}}, strict=True)
    assert [rule.text for rule in resolved.nodes[0].rules] == ['"x" IS NOT NULL']
    first, second = resolved.nodes[1].rules
    assert (first.action, first.not_null, first.tolerance.rel, second.tolerance.abs) == ("DROP", ["x"], 0.5, 2)
    assert second.unique.columns == ["x"]


def test_rules_go_to_yaml_and_back():
    made = models.PipelineNode(name="a", expectations=RULES)
    again = models.PipelineNode.model_validate_yaml(made.model_dump_yaml(exclude_unset=True))
    for one, other in zip(again.expectations, made.expectations, strict=True):
        assert (one.name, one.text, one.type, one.action) == (other.name, other.text, other.type, other.action)
        assert (one.tolerance.abs, one.tolerance.rel) == (other.tolerance.abs, other.tolerance.rel)
