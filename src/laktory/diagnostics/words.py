"""Messages of libraries without what only their authors understand."""

from __future__ import annotations

import re

__all__ = ["plain_words"]

_PLAIN: tuple[tuple[re.Pattern[str], str], ...] = (
    # classes by their name alone, objects as what they are
    (re.compile(r"<class '(?:\w+\.)*(\w+)'>"), r"\1"),
    (re.compile(r"<(?:[\w.]+\.)?(\w+) object at 0x[0-9a-fA-F]+>"), r"a \1"),
    (re.compile(r" at 0x[0-9a-fA-F]{6,}"), ""),
    # a library's own names for things of ours
    (
        re.compile(r"'?\b(?:narwhals|polars|duckdb|pyarrow|pydantic_core|pydantic|sqlglot)\.(?:\w+\.)*([A-Z]\w*)'?"),
        r"\1",
    ),
    (re.compile(r"^(?:Binder|Catalog|Parser|Conversion|Invalid Input) Error: "), ""),
    (re.compile(r"\b(?:ComputeError|InvalidOperationError|SchemaError|OverflowError): "), ""),
    (re.compile(r"\s*(?:For further information|See) \(?https?://\S*"), ""),
)


def plain_words(text: str) -> str:
    """A message of a library without reprs of classes and objects, module paths and names of its exceptions."""
    for pattern, words in _PLAIN:
        text = pattern.sub(words, text)
    return text
