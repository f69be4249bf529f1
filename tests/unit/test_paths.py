"""What the text of a path means."""

from __future__ import annotations

import pytest

from laktory.paths import before_pattern, local_path, path_kind, url_scheme


@pytest.mark.parametrize(
    ("path", "scheme", "local"),
    [
        ("a/b.csv", None, "a/b.csv"),
        ("/a/b.csv", None, "/a/b.csv"),
        ("a/b://c", None, "a/b://c"),
        ("a:b//c", None, "a:b//c"),
        ("file:///a/b.csv", "file", "/a/b.csv"),
        ("FILE:///a/b.csv", "file", "/a/b.csv"),
        ("s3://bucket/a.csv", "s3", None),
        ("S3A://bucket/a.csv", "s3a", None),
        ("3s://bucket/a.csv", "3s", None),
    ],
)
def test_urls_and_local_paths(path, scheme, local):
    assert (url_scheme(path), local_path(path)) == (scheme, local)


def test_what_exists_is_no_pattern(tmp_path):
    folder, file = tmp_path / "day[1]", tmp_path / "a*.csv"
    folder.mkdir()
    file.touch()
    assert [path_kind(str(path)) for path in (folder, file)] == ["directory", "file"]
    assert path_kind(str(tmp_path / "b*.csv")) == "pattern"
    assert path_kind(str(tmp_path / "b.csv")) is None
    assert path_kind("a\0b") is None


@pytest.mark.parametrize(
    ("path", "folder"), [("a/b*/c.csv", "a"), ("/a/[xy]", "/a"), ("*.csv", "."), ("a/b.csv", "a/b.csv"), ("a/", "a")]
)
def test_before_a_pattern(path, folder):
    assert before_pattern(path) == folder
