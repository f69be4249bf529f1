from __future__ import annotations

import io
import os
import subprocess
import sys
import textwrap
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from laktory.errors import DefinitionError
from laktory.loading import Document, load

# ---- sources -----------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pl.yaml"
    path.write_text("name: a\nsql: !use q.sql\n", "utf-8")
    (tmp_path / "q.sql").write_text("SELECT 1", "utf-8")
    return path


EXPECTED = {"name": "a", "sql": "SELECT 1"}


def test_path_object_and_path_text(file: Path) -> None:
    assert load(file).value == EXPECTED
    assert load(str(file)).value == EXPECTED
    assert load(str(file)).name == str(file)


def test_open_text_file_uses_its_folder(file: Path) -> None:
    with file.open(encoding="utf-8") as stream:
        document = load(stream)
    assert document.value == EXPECTED
    assert document.name == str(file)


def test_open_binary_file(file: Path) -> None:
    with file.open("rb") as stream:
        assert load(stream).value == EXPECTED


def test_text_includes_from_the_working_directory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    text = file.read_text("utf-8")
    assert load(text).value == EXPECTED
    assert load(io.StringIO(text)).value == EXPECTED
    assert load(text.encode()).value == EXPECTED
    assert load(text).name == "<text>"


def test_text_includes_from_a_given_root(file: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(DefinitionError, match=r"leads out of the project folder 'other'"):
        load(file, root=tmp_path / "other")


def test_file_without_suffix_named_by_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "definition").write_text("name: a", "utf-8")
    assert load("definition").value == {"name": "a"}


@pytest.mark.parametrize(
    "text", ["name: file.yaml", "{name: file.yaml}", "[a.yaml]", "a: 1\nb: x.json", "x: " + "y" * 5000]
)
def test_text_that_only_looks_like_a_path(text: str) -> None:
    assert load(text).value == yaml.safe_load(text)


def test_dict_is_returned_as_it_is() -> None:
    value = {"a": object()}
    document = load(value)
    assert document.value is value
    assert document.marks.nearest(("a",)) is None


def test_single_item_list_stays_a_list() -> None:
    assert load("- name: a\n").value == [{"name": "a"}]


@pytest.mark.parametrize("source", [3, None, object(), 1.5])
def test_other_sources(source: Any) -> None:
    with pytest.raises(DefinitionError, match="expected a path, YAML or JSON text, an open file or a dict"):
        load(source)


def test_missing_file_names_the_closest(file: Path) -> None:
    with pytest.raises(DefinitionError, match=r"there is no file '.*pll.yaml'\n  did you mean 'pl.yaml'\?"):
        load(file.with_name("pll.yaml"))


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"the folder '.*nowhere' does not exist"):
        load(tmp_path / "nowhere" / "pl.yaml")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="is a folder, expected a file"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "reason"), [("a" * 300 + ".yaml", "file name too long"), ("a\0.yaml", "embedded null byte")]
)
def test_a_name_that_no_file_can_have(name: str, reason: str) -> None:
    with pytest.raises(DefinitionError, match=f"the file cannot be read, {reason}: 'a"):
        load(Path(name))


def test_closed_stream() -> None:
    stream = io.StringIO("a: 1")
    stream.close()
    with pytest.raises(DefinitionError, match="cannot be read"):
        load(stream)


def test_stream_opened_with_the_wrong_encoding(tmp_path: Path) -> None:
    path = tmp_path / "pl.yaml"
    path.write_bytes("name: é".encode("latin-1"))
    with path.open(encoding="utf-8") as stream, pytest.raises(DefinitionError, match="is not UTF-8"):
        load(stream)


def test_lone_surrogate() -> None:
    with pytest.raises(DefinitionError, match=r"<text>:2:4: character U\+D800 is not allowed"):
        load("a: 1\nb: \ud800\n")


def test_symlink_out_of_the_project(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "nodes").mkdir(parents=True)
    (tmp_path / "secret.yaml").write_text("a: 1", "utf-8")
    (project / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    (project / "nodes" / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    (project / "pl.yaml").write_text("a: !use link.yaml\nb: !use nodes\nc: !use ../gone.yaml\n", "utf-8")
    with pytest.raises(DefinitionError) as caught:
        load(project / "pl.yaml")
    assert [problem.message for problem in caught.value.problems] == [
        "!use 'link.yaml' leads out of the project folder 'project'",
        "!use 'link.yaml' leads out of the project folder 'project'",
        "!use '../gone.yaml' leads out of the project folder 'project'",
    ]


def test_symlinked_project_folder(tmp_path: Path, file: Path) -> None:
    link = tmp_path.with_name(tmp_path.name + "-link")
    link.symlink_to(tmp_path)
    try:
        assert load(link / file.name).value == EXPECTED
    finally:
        link.unlink()


def test_include_of_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "pl.yaml").write_text("a: !use pipe.yaml", "utf-8")
    with pytest.raises(DefinitionError, match="no regular file"):
        load(tmp_path / "pl.yaml")


def test_circle_through_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "pl.yaml").write_text("a: !use link.yaml", "utf-8")
    (tmp_path / "link.yaml").symlink_to(tmp_path / "pl.yaml")
    with pytest.raises(DefinitionError, match=r"in a circle: .*pl.yaml -> .*link.yaml"):
        load(tmp_path / "pl.yaml")


def test_deep_chain_of_includes(tmp_path: Path) -> None:
    for index in range(300):
        (tmp_path / f"f{index}.yaml").write_text(f"a: !use f{index + 1}.yaml", "utf-8")
    (tmp_path / "f300.yaml").write_text("end", "utf-8")
    with pytest.raises(DefinitionError, match="stand more than 128 deep"):
        load(tmp_path / "f0.yaml")


# ---- values ------------------------------------------------------------------------------------


def test_repeated_content_is_not_shared(tmp_path: Path) -> None:
    (tmp_path / "pl.yaml").write_text(
        "a: !use x.yaml\nb: !use x.yaml\nc: &c {k: []}\nd: *c\ne:\n  <<: *c\nf:\n- !extend l.yaml\n- !extend l.yaml\n",
        "utf-8",
    )
    (tmp_path / "x.yaml").write_text("list: [1]\n", "utf-8")
    (tmp_path / "l.yaml").write_text("[[]]\n", "utf-8")
    value = load(tmp_path / "pl.yaml").value
    value["a"]["list"].append(2)
    value["c"]["k"].append(3)
    value["f"][0].append(4)
    assert value == {
        "a": {"list": [1, 2]},
        "b": {"list": [1]},
        "c": {"k": [3]},
        "d": {"k": []},
        "e": {"k": []},
        "f": [[4], []],
    }


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.dates(min_value=date(1900, 1, 1)),
    st.datetimes(min_value=datetime(1900, 1, 1)),  # noqa: DTZ001 - YAML's plain timestamps have no zone
    st.sampled_from(
        ["yes", "<<", "=", "{df}", "1_000", "010", "1:30", "0x1F", ".inf", "2020-01-01", "~", "a: b", "#", "|\n x"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(
    value=st.dictionaries(st.text(min_size=1, max_size=8), VALUES, min_size=1, max_size=4),
    flow=st.sampled_from([None, False, True]),
)
def test_dumped_values_load_back(value: dict[str, Any], flow: bool | None) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow)
    assert load(text).value == value


@pytest.mark.parametrize(
    "text",
    [
        "a: 0o17\nb: 017\nc: 0b11\nd: 1e5\ne: 1.0e+5\nf: 1:30:00\n",
        "a: On\nb: off\nc: Y\nd: !!str 12\ne: !!int '12'\nf: ! 12\n",
        "a: 2020-01-01T10:00:00Z\nb: 2020-01-01 10:00:00.5 +2\n",
        "? a\n: 1\n? |\n  block\n: 2\n",
        "a: 'x\n\n  y'\nb: x\n  y\n",
        "a: !!binary aGk=\n",
        "{a: [1, {b: 2}], c: 'd'}",
    ],
)
def test_values_are_those_of_safe_load(text: str) -> None:
    assert load(text).value == yaml.safe_load(text)


def test_an_anchor_may_be_set_again() -> None:
    assert load("a: &x 1\nb: *x\nx: &x 2\nc: *x\n").value == {"a": 1, "b": 1, "x": 2, "c": 2}


def test_keys_that_are_no_text() -> None:
    assert load("m: {1: a, 2020-01-01: b, null: c}").value == {"m": {1: "a", date(2020, 1, 1): "b", None: "c"}}


# ---- positions ---------------------------------------------------------------------------------


def text_at(document: Document, path: tuple[str | int, ...]) -> str:
    """What is written where the mark of a path points."""
    mark, exact = document.marks.nearest(path) or (None, False)
    assert mark is not None
    assert exact
    line = document.marks.line(mark.value) or ""
    return line[mark.value.column - 1 : mark.value.column - 1 + mark.width]


@settings(max_examples=80, deadline=None)
@given(
    value=st.recursive(
        st.text("abcxyz é表", min_size=1, max_size=8).map(str.strip).filter(lambda text: text not in ("", "y")),
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3)
            | st.dictionaries(st.text("abcé", min_size=1, max_size=4), inner, min_size=1, max_size=3)
        ),
        max_leaves=15,
    ),
    flow=st.sampled_from([None, False, True]),
)
def test_marks_point_to_the_text(value: Any, flow: bool | None) -> None:
    document = load(yaml.safe_dump({"root": value}, default_flow_style=flow, allow_unicode=True, width=10_000))
    waiting: list[tuple[tuple[str | int, ...], Any]] = [(("root",), value)]
    while waiting:
        path, item = waiting.pop()
        if isinstance(item, str):
            assert text_at(document, path).strip("'\"") == item
        else:
            pairs = item.items() if isinstance(item, dict) else enumerate(item)
            for key, child in pairs:
                waiting.append(((*path, key), child))
    assert ("root",) in document.marks.by_path
    assert len(document.marks.by_path) == len(list(document.marks.by_path))


def test_marks_of_included_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nodes").mkdir()
    Path("pl.yaml").write_text(
        "nodes:\n- !extend nodes/all.yaml\n- <<: !update nodes/base.yaml\n  sql: !use nodes/q.sql\n", "utf-8"
    )
    Path("nodes/all.yaml").write_text("- name: a\n- name: b\n", "utf-8")
    Path("nodes/base.yaml").write_text("\npath: here\n", "utf-8")
    Path("nodes/q.sql").write_text("SELECT 1\nFROM x\n", "utf-8")
    marks = load("pl.yaml").marks
    places = {path: str(mark.value) for path, mark in marks.by_path.items()}
    assert places[("nodes",)] == "pl.yaml:2:1"
    assert places[("nodes", 1, "name")] == "nodes/all.yaml:2:9"
    assert places[("nodes", 2, "path")] == "nodes/base.yaml:2:7"
    assert places[("nodes", 2, "sql")] == "nodes/q.sql:1:1"
    assert str(marks.by_path[("nodes", 2, "path")].key) == "nodes/base.yaml:2:1"
    assert str(marks.by_path[("nodes", 2, "sql")].inside(2, 6)) == "nodes/q.sql:2:6"
    assert set(marks.lines) == {"pl.yaml", "nodes/all.yaml", "nodes/base.yaml", "nodes/q.sql"}


@pytest.mark.parametrize(
    ("text", "line", "column", "expected"),
    [
        ("a: |\n  one\n  two\n", 2, 3, "<text>:3:5"),
        ("a: |\n\n\n   one\n\n   two\n", 5, 1, "<text>:6:4"),
        ("a: |2-\n    one\n  two\n", 1, 3, "<text>:2:5"),
        ("a: plain text\n", 1, 7, "<text>:1:10"),
        ("a: 'quoted text'\n", 1, 8, "<text>:1:12"),
        ('{"a": "quoted"}', 1, 1, "<text>:1:8"),
        ('a: "x\\ty"\n', 1, 2, "None"),
        ("a: >\n  one\n  two\n", 1, 5, "None"),
        ("a: 'one\n  two'\n", 1, 5, "None"),
    ],
)
def test_places_inside_a_text(text: str, line: int, column: int, expected: str) -> None:
    document = load(text)
    assert str(document.marks.by_path[("a",)].inside(line, column)) == expected


def test_marks_of_an_alias_point_to_its_anchor() -> None:
    marks = load("a: &a {x: 1}\nb: *a\n").marks
    assert str(marks.by_path[("b", "x")].value) == "<text>:1:11"


def test_nearest_ancestor_and_below() -> None:
    marks = load("- a:\n    b: 1\n").marks
    mark, exact = marks.below((0,)).nearest(("a", "b", "c", 3)) or (None, True)
    assert mark is not None
    assert str(mark.value) == "<text>:2:8"
    assert not exact


# ---- documents ---------------------------------------------------------------------------------


def test_document_resolves_and_keeps_marks() -> None:
    document = load("variables: {a: own}\nx: ${vars.a} ${vars.b}\n")
    resolved = document.resolve({"a": "given", "b": "given"})
    assert resolved.value["x"] == "own given"
    assert resolved.marks.by_path is document.marks.by_path
    assert resolved.marks.lines is document.marks.lines
    assert document.resolve({"a": "given", "b": "b"}, override=True).value["x"] == "given b"
    with pytest.raises(DefinitionError, match=r"^<text>:2:14: x: variable 'b' is not defined"):
        document.resolve()


def test_problems_of_all_files_at_once(tmp_path: Path) -> None:
    (tmp_path / "pl.yaml").write_text("a: !use a.yaml\nb: 1\nb: 2\nc: !use gone.yaml\n", "utf-8")
    (tmp_path / "a.yaml").write_text("x: 1\nx: 2\ny: [\n", "utf-8")
    with pytest.raises(DefinitionError) as caught:
        load(tmp_path / "pl.yaml")
    places = [
        (Path(problem.position.path).name, problem.position.line)
        for problem in caught.value.problems
        if problem.position
    ]
    assert places == [("pl.yaml", 3), ("pl.yaml", 4), ("a.yaml", 4)]


def test_importing_loads_neither_yaml_nor_settings() -> None:
    code = textwrap.dedent("""
        import sys
        import laktory.loading
        from laktory.loading import resolve
        assert resolve({"a": "${vars.x}"}, {"x": 1}) == {"a": 1}
        print(sorted({"yaml", "pydantic", "polars", "narwhals", "duckdb"} & set(sys.modules)))
    """)
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
