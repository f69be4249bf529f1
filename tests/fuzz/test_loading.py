"""Definitions: any bytes, any text, and mutations of real ones, read, validated and planned."""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzzing import budget, example
from hypothesis import given
from hypothesis import strategies as st

from laktory.loading import load
from laktory.models import Pipeline

TESTS = Path(__file__).parents[1]
CHANGES = "delete double swap insert indent dedent other token cut repeat character word"
MARKS = r"-:?,[]{}#&*!|>'\"%@`<=~$\\ \t\n"
WORDS = [
    *("name: p", "nodes:", "- name: a", "  source:", "    path: x.csv", "    format: CSV", "  sinks: []", "variables:"),
    *("{df}", "${vars.x}", "${{ vars.x + 1 }}", "&a", "*a", "!use x.yaml", "!extend", "<<: *a", "<<: !update y.yaml"),
    *(
        "---",
        "...",
        "%YAML 1.2",
        "? [a, b]",
        ": ",
        "- - -",
        "!!binary",
        "!!int",
        "!!python/object:os.system",
        "|+2",
        ">-",
    ),
    *(
        "1e400",
        "0x1F",
        "1:30",
        "2020-99-99",
        ".inf",
        ".nan",
        "~",
        "on",
        "\u2028",
        "\x00",
        "\x85",
        "\ufeff",
        "\t",
        "\r",
        "\ud83d\ude00",
    ),
    *("{" * 200, "- " * 150, "a" * 5000, "1" * 5000, "[" * 100 + "]" * 100, "'", '"', "\\x", "\udcff"),
]


@cache
def valid() -> list[tuple[Path, str]]:
    """Definitions of the documents and examples: folder and text."""
    page = TESTS.parent.joinpath("docs", "pipelines.md")
    blocks = re.findall(r"```yaml\n(name:.*?)```", page.read_text("utf-8"), re.DOTALL)
    files = [TESTS / "seed" / "pipeline.yaml", *TESTS.parent.joinpath("examples").rglob("*.yaml")]
    return [*((page.parent, text) for text in blocks), *((path.parent, path.read_text("utf-8")) for path in files)]


@cache
def seeds() -> list[tuple[Path, str]]:
    """Real definitions: folder and text, the bad ones of the other tests among them."""
    files: list[Path] = []
    for folder in ("loading/cases", "cli/cases"):
        files += sorted(path for path in (TESTS / folder).glob("*/pipeline*") if path.stat().st_size < 20_000)
    texts = list(valid())
    for path in files:
        with contextlib.suppress(UnicodeDecodeError):
            texts.append((path.parent, path.read_text("utf-8")))
    return texts


def judge(folder: Path, data: bytes) -> Pipeline | None:
    """What every reader of a definition does: a pipeline, or one of our errors. Nothing is written."""
    path = folder / "fuzzed.yaml"
    path.write_bytes(data)
    pipeline = None
    with example(str(path), data):
        pipeline = Pipeline.model_validate(path)
        from laktory.planning import plan

        plan(pipeline)
    return pipeline


@budget(60)
@given(st.binary(max_size=400))
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    judge(tmp_path, data)


TEXT = st.lists(st.sampled_from(WORDS) | st.text(MARKS, max_size=6) | st.text(max_size=10), max_size=40).flatmap(
    lambda parts: st.sampled_from(["", " ", "\n", "\n  "]).map(lambda gap: gap.join(parts))
)


@budget(60)
@given(TEXT)
def test_any_text(tmp_path: Path, text: str) -> None:
    judge(tmp_path, text.encode("utf-8", "surrogatepass"))
    with example(text):
        load(text)


@st.composite
def mutations(draw: Any) -> tuple[Path, str]:  # noqa: C901 - one branch for each kind of change
    """A definition with a few changes, line by line or character by character."""
    folder, text = draw(st.sampled_from(seeds()) | st.sampled_from(valid()))
    others = draw(st.sampled_from(seeds()))[1].splitlines() or [""]
    for _ in range(draw(st.integers(1, 4))):
        lines = text.splitlines(keepends=True) or ["\n"]
        at = draw(st.integers(0, len(lines) - 1))
        place = draw(st.integers(0, len(text)))
        length = draw(st.sampled_from([1, 1, 2, 5, 20, 200]))
        kind = draw(st.sampled_from(CHANGES.split()))
        if kind == "delete":
            del lines[at : at + length]
        elif kind == "double":
            lines[at:at] = lines[at : at + length]
        elif kind == "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == "insert":
            lines.insert(at, draw(st.sampled_from(WORDS)) + "\n")
        elif kind == "indent":
            lines[at : at + length] = [
                draw(st.sampled_from([" ", "  ", "\t"])) + line for line in lines[at : at + length]
            ]
        elif kind == "dedent":
            lines[at : at + length] = [line[1:] for line in lines[at : at + length]]
        elif kind == "other":
            lines.insert(at, draw(st.sampled_from(others)) + "\n")
        elif kind == "token":
            words = lines[at].split(" ")
            word = draw(st.integers(0, len(words) - 1))
            words[word] = draw(st.sampled_from(["", words[word] * 2, words[word].upper(), *WORDS]))
            lines[at] = " ".join(words)
        elif kind == "cut":
            lines = [text[:place] + text[place + length :]]
        elif kind == "repeat":
            lines = [text[:place] + text[place : place + 20] * draw(st.sampled_from([2, 50, 1000])) + text[place:]]
        elif kind == "character":
            lines = [text[:place] + draw(st.sampled_from(MARKS) | st.characters()) + text[place:]]
        elif kind == "word":
            lines = [text[:place] + draw(st.sampled_from(WORDS)) + text[place:]]
        text = "".join(lines)
        if len(text) > 100_000:
            break
    return folder, text


class Copies(dict[Path, Path]):
    def __repr__(self) -> str:
        return "copies"


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Copies:
    """The folders of the definitions, with what they include, where they may be written to."""
    root = tmp_path_factory.mktemp("definitions")
    made = Copies()
    for number, folder in enumerate(dict.fromkeys(folder for folder, _ in seeds())):
        made[folder] = root / str(number)
        ignored = shutil.ignore_patterns("expected*", "*.parquet", "data")
        shutil.copytree(folder, made[folder], ignore=ignored)
    return made


@budget(120)
@given(mutations())
def test_mutated_definitions(copies: Copies, monkeypatch: pytest.MonkeyPatch, mutation: tuple[Path, str]) -> None:
    folder, text = mutation
    monkeypatch.chdir(copies[folder])
    pipeline = judge(copies[folder], text.encode("utf-8", "surrogatepass"))
    if pipeline is not None:
        with example("dumped and loaded again", text):
            values = pipeline.model_dump(exclude_unset=True)
            again = Pipeline.model_validate(yaml.safe_dump(pipeline.model_dump(mode="json", exclude_unset=True)))
            assert again.model_dump(exclude_unset=True) == values
            assert Pipeline.model_validate(values).model_dump(exclude_unset=True) == values
            assert (
                Pipeline.model_validate(pipeline.model_dump_yaml(exclude_unset=True)).model_dump(exclude_unset=True)
                == values
            )


# ---- values that are no text ---------------------------------------------------------------------

ODD = st.one_of(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    st.sampled_from(
        [Path("x.csv"), dt.date(2024, 1, 1), object(), int, 10**400, 1j, (), {1}, "{df}", "${vars.x}", "POLARS"]
    ),
    st.recursive(
        st.none() | st.text(max_size=3) | st.integers(0, 3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["name", "path", "nodes", "expr", "x", 1, None]), inner, max_size=3)
        ),
        max_leaves=6,
    ),
)


@cache
def good_values() -> list[Any]:
    return [yaml.safe_load(text) for _, text in valid() if "!use" not in text]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place of a value: what holds it, and its key."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [place for key in keys for place in [(value, key), *places(value[key])]]


@st.composite
def mutated_values(draw: Any) -> Any:
    value = copy.deepcopy(good_values()[draw(st.integers(0, len(good_values()) - 1))])
    for _ in range(draw(st.integers(1, 3))):
        found = places(value)
        if not found:
            break
        holder, key = found[draw(st.integers(0, len(found) - 1))]
        other_holder, other = found[draw(st.integers(0, len(found) - 1))]
        kind = draw(st.sampled_from(["replace", "replace", "delete", "add", "copy", "wrap", "rename"]))
        if kind == "replace":
            holder[key] = draw(ODD)
        elif kind == "delete":
            del holder[key]
        elif kind == "add" and isinstance(holder, dict):
            holder[draw(st.sampled_from(sorted(FIELDS)) | st.text(max_size=4))] = draw(ODD)
        elif kind == "copy":
            holder[key] = copy.deepcopy(other_holder[other]) if other in list_of(other_holder) else None
        elif kind == "wrap":
            holder[key] = draw(st.sampled_from([lambda item: [item], lambda item: {"name": item}, str]))(holder[key])
        elif kind == "rename" and isinstance(holder, dict):
            holder[draw(st.sampled_from(sorted(FIELDS)))] = holder.pop(key)
    return value


def list_of(holder: Any) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))


FIELDS = {
    *(
        "name",
        "nodes",
        "source",
        "sources",
        "sinks",
        "sink",
        "transformer",
        "variables",
        "path",
        "format",
        "mode",
        "schema",
        "filter",
    ),
    *(
        "selects",
        "renames",
        "drops",
        "drop_duplicates",
        "func_name",
        "func_args",
        "func_kwargs",
        "expr",
        "type",
        "tags",
        "depends_on",
    ),
    *(
        "reader_kwargs",
        "reader_methods",
        "writer_kwargs",
        "custom_reader",
        "custom_writer",
        "data",
        "df",
        "node_name",
        "imports",
    ),
    *(
        "dataframe_backend",
        "dataframe_api",
        "root_path",
        "orchestrator",
        "as_stream",
        "primary_keys",
        "table_name",
        "is_quarantine",
    ),
}


@budget(60)
@given(mutated_values())
def test_mutated_values(tmp_path: Path, value: Any) -> None:
    with example(value):
        Pipeline.model_validate(value).plan()
