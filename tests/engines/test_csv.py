"""CSV of odd encodings and names."""

import narwhals as nw
import polars as pl
import pytest
from test_formats import put, read, refused, write


@pytest.mark.parametrize("schema", [None, nw.Schema({"a": nw.String()})])
@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\n1,2\n".encode("utf-16"), "UTF-16"), ("a,b\n1,2\n".encode("utf-16-le"), "NUL"), (b"a\0,b\n1,2\n", "NUL")],
)
def test_csv_of_two_bytes_per_character(session, text, said, schema):
    put("in.csv", text)
    message = refused(session, "in.csv", "CSV", schema=schema)
    assert message.startswith("'in.csv'")
    assert said in message


def test_quotes_in_csv_headers(session):
    put("in.csv", 'a,"c""d"\n1,2\n')
    assert read(session, "in.csv", "CSV").columns == ["a", 'c"d']
    assert read(session, "in.csv", "CSV", infer_schema=True).rows() == [(1, 2)]
    assert read(session, "in.csv", "CSV", schema=nw.Schema({'c"d': nw.Int64()})).rows() == [(2,)]
    write(session, pl.DataFrame({'e"f"': [1]}), "out.csv", "CSV")
    assert read(session, "out.csv", "CSV").columns == ['e"f"']
