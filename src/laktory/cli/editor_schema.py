"""JSON Schema of a pipeline as it is written: with variables, shorthands and older spellings.

Pydantic describes the declarations; what validators accept before them is added here.
"""

from __future__ import annotations

from typing import Any

from laktory.engines.capabilities import ENGINES
from laktory.models import Pipeline

__all__ = ["pipeline_schema"]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_VARIABLE = {"$ref": "#/$defs/Variable"}
_TEXT = {"type": "string"}

Schema = dict[str, Any]


def pipeline_schema() -> Schema:
    """JSON Schema (draft 2020-12) of a pipeline file."""
    schema = Pipeline.model_json_schema(by_alias=True)
    definitions: dict[str, Schema] = schema.pop("$defs")
    definitions["DataFrameBackends"] = {
        "anyOf": _in_any_case({"enum": list(ENGINES)}),
        "description": "Dataframe engine.",
    }
    _add_formats(definitions)
    _add_shorthands(definitions)
    for definition in (schema, *definitions.values()):
        _finish(definition)
    definitions["Variable"] = {
        "type": "string",
        "pattern": r"^\$\{",
        "description": "A value to come: ${vars.NAME}, ${settings.NAME} or ${{ expression }}.",
    }
    return {"$schema": _DRAFT, "title": "Laktory pipeline", **schema, "$defs": definitions}


def _add_formats(definitions: dict[str, Schema]) -> None:
    """Formats are suggested; whether the engine has them is for `laktory validate` to say."""
    readable = {name for engine in ENGINES.values() for name, found in engine.formats.items() if found.read}
    writable = {name for engine in ENGINES.values() for name, found in engine.formats.items() if found.modes}
    for owner, names in (("FileDataSource", readable), ("FileDataSink", writable)):
        field = definitions[owner]["properties"]["format"]
        del field["type"]
        field["anyOf"] = [{"enum": sorted(names)}, _TEXT]


def _add_shorthands(definitions: dict[str, Schema]) -> None:
    """What is accepted besides the full form."""
    node = definitions["PipelineNode"]["properties"]
    node["source"] = {
        **{key: value for key, value in node["sources"]["items"].items() if key != "title"},
        "description": "Where rows come from; for several, write `sources`.",
    }
    node["source"]["oneOf"] = [*node["source"]["oneOf"], {"type": "null"}]
    _also(node, "sources", {"type": "null"})
    _also(node, "sinks", {"type": "null"})
    steps = definitions["DataFrameTransformer"]["properties"]["nodes"]
    _also(node, "transformer", {"type": "array", "items": steps["items"]})
    source = definitions["FileDataSource"]["properties"]
    source["schema_definition"] = dict(source["schema"])
    tables = ("UnityCatalogDataSource", "HiveMetastoreDataSource")
    for name in ("FileDataSource", "PipelineNodeDataSource", "DataFrameDataSource", "CustomDataSource", *tables):
        for field in ("selects", "drops"):
            _also(definitions[name]["properties"], field, _TEXT)
    for owner, field in (
        ("CustomDataSource", "custom_reader"),
        ("CustomDataSink", "custom_writer"),
        ("FileDataSink", "custom_writer"),
        ("UnityCatalogDataSink", "custom_writer"),
        ("HiveMetastoreDataSink", "custom_writer"),
    ):
        _also(definitions[owner]["properties"], field, {**_TEXT, "description": "Dotted path of the function."})
    for owner in ("UnityCatalogDataSink", "HiveMetastoreDataSink"):
        _also(definitions[owner]["properties"], "view_definition", _TEXT)
    rule = definitions["DataQualityExpectation"]
    rule["required"].remove("name")  # the short forms have names of their own
    names: Schema = {"type": "array", "items": _TEXT}
    for field in ("expr", "not_null", "unique"):
        _also(rule["properties"], field, _TEXT)
    _also(rule["properties"], "unique", names)
    _also(definitions["UniqueKeys"]["properties"], "columns", _TEXT)
    method = definitions["DataFrameMethod"]["properties"]
    method["func_args"] = {"description": method["func_args"]["description"]}
    _also(method, "func_kwargs", {"type": "null"})
    _add_column_shorthands(definitions)


def _add_column_shorthands(definitions: dict[str, Schema]) -> None:
    dtype, column = {"$ref": "#/$defs/DType"}, {"$ref": "#/$defs/DataFrameColumn"}
    named: Schema = {"anyOf": [_TEXT, dtype]}
    columns = definitions["DataFrameSchema"]["properties"]["columns"]
    columns["additionalProperties"] = {"anyOf": [_TEXT, dtype, column, {"type": "object", "required": ["dtype"]}]}
    _also(definitions["DataFrameSchema"]["properties"], "columns", {"type": "array", "items": column})
    definitions["DataFrameColumn"]["properties"]["dtype"] |= named
    definitions["DataFrameColumn"]["properties"]["dtype"].pop("$ref", None)
    for owner, field in (("DType", "inner"), ("DField", "dtype")):
        _also(definitions[owner]["properties"], field, _TEXT)
    _also(definitions["DType"]["properties"], "fields", {"type": "object", "additionalProperties": named})


def _also(properties: dict[str, Schema], name: str, alternative: Schema) -> None:
    """Accept `alternative` for a property, too."""
    field = properties[name]
    if "anyOf" in field:
        field["anyOf"].append(alternative)
        return
    kept: Schema = {key: field.pop(key) for key in ("description", "default", "title") if key in field}
    properties[name] = {"anyOf": [field, alternative], **kept}


# ---- what holds everywhere -------------------------------------------------------------------


def _finish(definition: Schema) -> None:
    """Variables and names in any case, in every value of a definition; titles, which say nothing, go."""
    definition.pop("title", None)
    for name, field in definition.get("properties", {}).items():
        definition["properties"][name] = _value(field)


def _value(field: Schema) -> Schema:
    """Schema of one value; its children first."""
    field.pop("title", None)
    if isinstance(field.get("items"), dict):
        field["items"] = _value(field["items"])
    if isinstance(field.get("additionalProperties"), dict):
        field["additionalProperties"] = _value(field["additionalProperties"])
    if "oneOf" in field:
        field["anyOf"] = field.pop("oneOf")
    alternatives = field.get("anyOf")
    if alternatives is None:
        alternatives = [{key: field.pop(key) for key in list(field) if key not in ("description", "default")}]
    alternatives = [item for given in alternatives for item in _in_any_case(_children(given))]
    if any(item in ({}, _TEXT) for item in alternatives):
        # every text is accepted already: a variable is one
        field["anyOf"] = alternatives
    else:
        field["anyOf"] = [*alternatives, _VARIABLE]
    if len(field["anyOf"]) == 1:
        field |= field.pop("anyOf")[0]
    return field


def _children(item: Schema) -> Schema:
    """An alternative whose items and values may be variables, too."""
    return {
        key: _value(value) if key in ("items", "additionalProperties") and isinstance(value, dict) else value
        for key, value in item.items()
        if key != "title"
    }


def _in_any_case(item: Schema) -> list[Schema]:
    """Names in capitals are accepted in any case."""
    names = item.get("enum") or ([item["const"]] if "const" in item else [])
    if not names or not all(isinstance(name, str) and name.isupper() for name in names):
        return [item]
    pattern = "|".join(
        "".join(f"[{char}{char.lower()}]" if char.isalpha() else char for char in name) for name in names
    )
    return [{"enum": names}, {"type": "string", "pattern": f"^({pattern})$"}]
