from __future__ import annotations

import json

import narwhals as nw
import polars as pl
import pytest

from laktory.errors import DefinitionError
from laktory.models import dtypes
from laktory.models.dataframe.dataframecolumn import DataFrameColumn
from laktory.models.dataframe.dataframeschema import DataFrameSchema

PARAMETERS = {
    "Array": {"inner": "Int8", "shape": [2, 3]},
    "Datetime": {"time_unit": "ms", "time_zone": "Europe/Paris"},
    "Decimal": {"precision": 12, "scale": 3},
    "Duration": {"time_unit": "ns"},
    "Enum": {"categories": ["a", "b"]},
    "List": {"inner": {"name": "Struct", "fields": {"x": "Float64", "y": {"name": "List", "inner": "String"}}}},
    "Struct": {"fields": [{"name": "x", "dtype": "Int64"}]},
}


@pytest.mark.parametrize("name", dtypes.NAMES)
def test_every_type_survives_narwhals(name: str) -> None:
    dtype = dtypes.DType(name=name.upper(), **PARAMETERS.get(name, {}))
    assert dtype.name == name
    assert dtypes.DType.from_narwhals(dtype.to_narwhals()) == dtype
    assert dtypes.DType.model_validate(json.loads(json.dumps({"name": name, **PARAMETERS.get(name, {})}))) == dtype


@pytest.mark.parametrize("name", [name for name in dtypes.NAMES if name not in ("Unknown", "Object")])
def test_polars_and_narwhals_mean_the_same_type(name: str) -> None:
    dtype = dtypes.DType(name=name, **PARAMETERS.get(name, {}))
    frame = nw.from_native(pl.LazyFrame(schema={"x": dtype.to_polars()}))
    assert frame.collect_schema()["x"] == dtype.to_narwhals()


@pytest.mark.parametrize("name", dtypes.NAMES)
def test_there_is_a_class_of_every_name(name: str) -> None:
    made = getattr(dtypes, name)(**PARAMETERS.get(name, {}))
    assert made == dtypes.DType(name=name, **PARAMETERS.get(name, {}))
    assert DataFrameColumn(name="x", dtype=made).dtype.to_narwhals() == made.to_narwhals()


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("bigint", "Int64"), ("INT", "Int32"), ("integer", "Int32"), ("smallint", "Int16"), ("short", "Int16"),
        ("tinyint", "Int8"), ("byte", "Int8"), ("float", "Float32"), ("double", "Float64"), ("str", "String"),
        ("varchar", "String"), ("text", "String"), ("bool", "Boolean"), ("obj", "Object"), ("varbinary", "Binary"),
        ("category", "Categorical"), ("timestamp", "Datetime"),
    ],
)  # fmt: skip
def test_aliases_are_accepted_with_a_warning(alias: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dtypes.DType(name=alias).name == name
    assert f"Data type '{alias}' should be replaced with '{name}'" in capsys.readouterr().out


def test_a_name_in_another_case_gives_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert dtypes.DType(name="string").name == "String"
    assert capsys.readouterr().out == ""


def test_a_datetime_has_no_zone_unless_it_is_given() -> None:
    assert dtypes.Datetime().to_narwhals() == nw.Datetime("us", None)
    assert dtypes.Datetime(time_zone="UTC").to_narwhals() == nw.Datetime("us", "UTC")


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ("strnig", "'strnig' is not a data type"),
        ("strnig", "did you mean 'String'?"),
        ({"name": "List"}, "List needs 'inner'"),
        ({"name": "Array", "inner": "Int8"}, "Array needs 'shape'"),
        ({"name": "Array", "inner": "Int8", "shape": 0}, "shape 0 holds a number below 1"),
        ({"name": "Struct"}, "Struct needs 'fields'"),
        ({"name": "Struct", "fields": [{"name": "a", "dtype": "Int8"}] * 2}, "'a' is there twice"),
        ({"name": "Enum"}, "Enum needs 'categories'"),
        ({"name": "Enum", "categories": ["a", "a"]}, "'a' is there twice"),
        ({"name": "Int64", "inner": "Int8"}, "Int64 has no parameter 'inner'"),
        ({"name": "Decimal", "precision": 2, "scale": 3}, "scale 3 is more than precision 2"),
        ({"name": "Datetime", "time_zone": "Mars/Olympus"}, "'Mars/Olympus' is not an IANA time zone"),
        ({"name": "Datetime", "time_unit": "s"}, "'s' is not valid here"),
        ({"name": "List", "inner": {"name": "List", "inner": "intt"}}, "'intt' is not a data type"),
        ({"name": "Int64", "time_zome": "UTC"}, "did you mean 'time_zone'?"),
    ],
)
def test_wrong_types_are_explained(definition: object, message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        DataFrameSchema(columns={"x": definition})  # type: ignore[dict-item]
    assert message in str(caught.value)
    assert str(caught.value).startswith("columns.x")


def test_a_class_keeps_its_name() -> None:
    with pytest.raises(DefinitionError, match="'Int8' is not valid here"):
        dtypes.Int64(name="Int8")


# ---- schemas -------------------------------------------------------------------------------------


SCHEMA = {
    "id": "Int64",
    "label": dtypes.String(),
    "at": {"name": "Datetime", "time_zone": "UTC"},
    "price": {"dtype": {"name": "Decimal", "precision": 10, "scale": 2}, "nullable": False},
    "tags": DataFrameColumn(name="tags", dtype={"name": "List", "inner": "String"}),
}


def test_columns_are_written_in_any_form() -> None:
    schema = DataFrameSchema(columns=SCHEMA)
    assert schema.to_polars() == pl.Schema(
        {
            "id": pl.Int64,
            "label": pl.String,
            "at": pl.Datetime("us", "UTC"),
            "price": pl.Decimal(10, 2),
            "tags": pl.List(pl.String),
        }
    )
    assert not schema.columns["price"].nullable
    listed = DataFrameSchema(columns=[column.model_dump() for column in schema.columns.values()])
    assert listed.to_string() == schema.to_string()


def test_a_schema_survives_every_road() -> None:
    schema = DataFrameSchema(columns=SCHEMA)
    text = schema.to_string()
    assert DataFrameSchema(columns=json.loads(text)).to_string() == text
    assert DataFrameSchema.from_narwhals(schema.to_narwhals()).to_string() == text
    assert DataFrameSchema.from_df(pl.LazyFrame(schema=schema.to_polars())).to_string() == text
    assert DataFrameSchema.model_validate(schema.model_dump()).to_string() == text
    assert DataFrameSchema.model_validate(schema.model_dump_yaml()).to_string() == text
    assert schema.to_string(indent=2) == json.dumps(json.loads(text), indent=2)


def test_a_schema_in_the_words_of_duckdb() -> None:
    types = DataFrameSchema(
        columns={"id": "Int64", "at": "Datetime", "tags": {"name": "List", "inner": "String"}}
    ).to_native("DUCKDB")
    assert types == {"id": "BIGINT", "at": "TIMESTAMP", "tags": "VARCHAR[]"}


@pytest.mark.parametrize("definition", [{"id": "Int64"}, {"id": "Int64", "label": "String"}])
def test_a_bare_mapping_is_told_to_write_columns(definition: dict[str, str]) -> None:
    with pytest.raises(DefinitionError, match="are written under 'columns'"):
        DataFrameSchema.model_validate(definition)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([{"name": "a", "dtype": "Int8"}] * 2, "column 'a' is there twice"),
        ([{"dtype": "Int8"}], "item 0 of the columns has no name"),
        ({"a": {"name": "b", "dtype": "Int8"}}, "column 'a' is named 'b' inside"),
        ({1: "Int8"}, "column name 1 is not a text"),
        ("a", "expected a mapping"),
    ],
)
def test_wrong_columns_are_explained(columns: object, message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        DataFrameSchema(columns=columns)  # type: ignore[arg-type]
    assert message in str(caught.value)
