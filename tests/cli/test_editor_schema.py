from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from laktory.cli import app
from laktory.cli.quickstart import TEMPLATE
from laktory.loading import load
from laktory.models import Pipeline

SCHEMA = json.loads(CliRunner().invoke(app, ["schema"]).stdout)

SEED = """\
name: pl-stock-prices
dataframe_backend: POLARS
nodes:
- name: brz_stock_prices
  source:
    path: ./data/stock_prices/
    format: JSONL
  sinks:
  - path: ./data/brz_stock_prices.parquet
    format: PARQUET
- name: slv_stock_prices
  source:
    node_name: brz_stock_prices
    as_stream: false
  sinks:
  - path: ./data/slv_stock_prices.parquet
    format: PARQUET
  transformer:
    nodes:
    - expr: |
        SELECT
          CAST(data.created_at AS TIMESTAMP) AS created_at,
          data.symbol AS symbol
        FROM
          {df}
    - func_name: unique
      func_kwargs:
        subset:
          - symbol
          - created_at
        keep:
          any
"""

_KINDS = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}


def faults(value: Any, schema: dict[str, Any], path: str = "$") -> Iterator[str]:
    """A validator for the keywords that the schema uses; an unknown keyword is a failure of the test itself."""
    known = {
        "$ref",
        "anyOf",
        "type",
        "enum",
        "const",
        "pattern",
        "properties",
        "required",
        "additionalProperties",
        "items",
    }
    known |= {"description", "default", "title", "$defs", "$schema", "format", "minimum", "maximum"}
    assert not set(schema) - known, set(schema) - known
    if "$ref" in schema:
        yield from faults(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], path)
    if "anyOf" in schema and all(list(faults(value, item, path)) for item in schema["anyOf"]):
        yield f"{path}: {value!r} fits nothing"
    kind = schema.get("type")
    if kind == "null" and value is not None:
        yield f"{path}: not null"
    elif kind in _KINDS and (not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind != "boolean")):
        yield f"{path}: {value!r} is no {kind}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is not in {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield f"{path}: {value!r} is not {schema['const']!r}"
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        yield f"{path}: {value!r} does not match"
    if isinstance(value, dict):
        yield from _object_faults(value, schema, path)
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            yield from faults(item, schema["items"], f"{path}[{index}]")


def _object_faults(value: dict[str, Any], schema: dict[str, Any], path: str) -> Iterator[str]:
    yield from (f"{path}: {name} is missing" for name in schema.get("required", []) if name not in value)
    for name, item in value.items():
        if name in schema.get("properties", {}):
            yield from faults(item, schema["properties"][name], f"{path}.{name}")
        elif schema.get("additionalProperties") is False:
            yield f"{path}.{name} is unknown"
        elif isinstance(schema.get("additionalProperties"), dict):
            yield from faults(item, schema["additionalProperties"], f"{path}.{name}")


VALID_NODES = {
    "rules": {
        "expectations": [
            {"name": "p", "expr": "x > 0", "action": "quarantine", "tolerance": {"rel": 0.1}, "fail_above": {"abs": 3}},
            {"name": "d", "expr": {"expr": "nw.col('x') > 0", "type": "DF"}, "type": "ROW"},
            {"not_null": "x"},
            {"not_null": ["x", "y"]},
            {"unique": "x"},
            {"unique": ["x", "y"]},
            {"unique": {"columns": "x", "order_by": "y", "keep": "last"}},
            {"accepted_values": {"column": "x", "values": [1, "a", True]}},
            {"references": {"column": "x", "node": "b", "to": "y"}},
        ],
        "sinks": [{"path": "q", "format": "CSV", "is_quarantine": True, "details": True}],
    },
    "sources": {"sources": [{"path": "a", "format": "csv"}, {"node_name": "b", "name": "b"}]},
    "no_source": {"source": None, "sinks": None},
    "variables": {
        "source": {"path": "a", "format": "CSV", "has_header": "${vars.h}", "schema": "${vars.s}"},
        "tags": "${vars.tags}",
        "sinks": ["${vars.sink}", {"path": "a", "format": "${vars.f}", "mode": "${vars.m}"}],
        "transformer": "${vars.t}",
    },
    "any_case": {
        "dataframe_backend": "duckdb",
        "dataframe_api": "native",
        "source": {"type": "file", "path": "a", "format": "Parquet"},
        "sinks": [{"path": "a", "format": "parquet", "mode": "append"}],
    },
    "steps_alone": {"source": {"node_name": "b"}, "transformer": [{"expr": "SELECT 1"}, {"func_name": "unique"}]},
    "one_argument": {
        "source": {"node_name": "b"},
        "transformer": [{"func_name": "head", "func_args": 3, "func_kwargs": None}],
    },
    "schema_mapping": {
        "source": {"path": "a", "format": "CSV", "schema": {"columns": {"a": "Int64", "b": {"dtype": "String"}}}}
    },
    "schema_types": {
        "source": {
            "path": "a",
            "format": "CSV",
            "schema": {
                "columns": {"a": {"name": "List", "inner": "Int64"}, "b": {"name": "Struct", "fields": {"x": "Date"}}}
            },
        }
    },
    "schema_list": {"source": {"path": "a", "format": "CSV", "schema": {"columns": [{"name": "a", "dtype": "Int64"}]}}},
    "post_read": {
        "source": {
            "path": "a",
            "format": "CSV",
            "selects": {"a": "b"},
            "drops": "c",
            "renames": {"a": "b"},
            "drop_duplicates": ["a"],
            "filter": "a > 1",
        }
    },
    "selects_text": {"source": {"path": "a", "format": "CSV", "selects": "a", "drop_duplicates": True}},
    "data": {"source": {"data": {"a": [1, 2]}}},
    "rows": {"source": {"data": [{"a": 1}]}},
    "custom": {
        "source": {"custom_reader": "m.f"},
        "sinks": [{"custom_writer": {"func_name": "m.g", "func_args": [1]}}],
    },
    "writer": {
        "source": {"node_name": "b"},
        "sinks": [
            {
                "path": "a/",
                "format": "PARQUET",
                "writer_kwargs": {"partition_by": ["a"]},
                "writer_methods": [{"name": "m"}],
            }
        ],
    },
    "labels": {"source": {"node_name": "b"}, "tags": ["x"], "depends_on": ["b"], "primary_keys": ["a"], "comment": "c"},
}


@pytest.mark.parametrize("name", VALID_NODES)
def test_what_laktory_accepts_the_schema_accepts(name: str) -> None:
    value = {
        "name": "pl",
        "nodes": [{"name": "a", **VALID_NODES[name]}, {"name": "b", "source": {"node_name": "c"}}, {"name": "c"}],
    }
    Pipeline.model_validate(value)
    assert list(faults(value, SCHEMA)) == []


@pytest.mark.parametrize(
    "node",
    [
        {"sorce": {"path": "a", "format": "CSV"}},
        {"source": {"path": "a"}},
        {"source": {"path": "a", "format": "CSV", "hasheader": True}},
        {"source": {"path": "a", "format": "CSV", "has_header": 3}},
        {"sinks": [{"path": "a", "format": "CSV", "mode": "MERGE"}]},
        {"dataframe_backend": "PANDAS"},
        {"tags": 3},
        {"transformer": {"steps": []}},
        {"expectations": {}},
    ],
)
def test_what_laktory_refuses_the_schema_refuses(node: dict[str, Any]) -> None:
    assert list(faults({"name": "pl", "nodes": [{"name": "a", **node}]}, SCHEMA))


def test_seed_and_quickstart() -> None:
    assert list(faults(yaml.safe_load(SEED), SCHEMA)) == []
    assert list(faults(load(TEMPLATE / "pipeline.yaml").value, SCHEMA)) == []


def test_every_field_is_described_and_formats_are_suggested() -> None:
    owners = {"Pipeline": SCHEMA, **SCHEMA["$defs"]}
    for name, owner in owners.items():
        for field, schema in owner.get("properties", {}).items():
            described = "description" in schema or name in ("ReaderWriterMethod", "DField")
            assert described, f"{name}.{field}"
    assert "DELTA" in SCHEMA["$defs"]["FileDataSource"]["properties"]["format"]["anyOf"][0]["enum"]
    assert "ORC" not in SCHEMA["$defs"]["FileDataSink"]["properties"]["format"]["anyOf"][0]["enum"]


def test_unknown_kind() -> None:
    result = CliRunner().invoke(app, ["schema", "pipelines"])
    assert result.exit_code == 2
    assert result.stderr == "error: there is no schema of 'pipelines'; did you mean 'pipeline'?\n"


def test_template_exists() -> None:
    assert Path(TEMPLATE, "pipeline.yaml").is_file()
