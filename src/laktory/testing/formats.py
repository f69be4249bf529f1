"""Every file format: read where the engine claims to, written and read back where it claims to write."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from laktory.engines.capabilities import EXTENSIONS
from laktory.testing.features import feature, node

if TYPE_CHECKING:
    from collections.abc import Callable

    from laktory.engines.capabilities import Capabilities
    from laktory.testing.features import Bench

ROWS = pl.DataFrame({"id": [1, 2, 3], "x": [1.5, None, -0.25], "s": ["one", 'a "quoted", ü', None]})


def _orc(path: str) -> None:
    from pyarrow import orc

    orc.write_table(ROWS.to_arrow(), path)  # type: ignore[no-untyped-call]


def _xml(path: str) -> None:
    rows = "".join(
        f"<ROW>{''.join(f'<{name}>{value}</{name}>' for name, value in row.items() if value is not None)}</ROW>"
        for row in ROWS.iter_rows(named=True)
    )
    Path(path).write_text(f"<ROWS>{rows}</ROWS>", encoding="utf-8")


def _json(path: str) -> None:
    ROWS.write_json(path)


MADE: dict[str, Callable[[str], object]] = {
    "CSV": ROWS.write_csv,
    "JSON": _json,
    "JSONL": ROWS.write_ndjson,
    "NDJSON": ROWS.write_ndjson,
    "PARQUET": ROWS.write_parquet,
    "IPC": ROWS.write_ipc,
    "DELTA": ROWS.write_delta,
    "AVRO": ROWS.write_avro,
    "ORC": _orc,
    "EXCEL": ROWS.write_excel,
    "TEXT": lambda path: Path(path).write_text("one\n\ntwo, ü\n", encoding="utf-8"),
    "PYARROW": ROWS.write_parquet,
    "XML": _xml,
    "BINARYFILE": lambda path: Path(path).write_bytes(b"\x00\xff"),
}
"""How a file of each format is made without the engine."""


def path_of(format: str) -> str:  # noqa: A002 - the field's name
    """A name that fits a format."""
    return "in" if format == "DELTA" else f"in{next(iter(EXTENSIONS[format]), '.bin')}"


def _read(bench: Bench, format: str) -> None:  # noqa: A002
    MADE[format](path_of(format))
    if format == "TEXT":
        assert bench.read(path_of(format), format)["value"].to_list() == ["one", "", "two, ü"]
    elif format == "BINARYFILE":
        assert bench.read(path_of(format), format)["content"].to_list() == [b"\x00\xff"]
    else:
        options = {"reader_kwargs": {"rowTag": "ROW"}} if format == "XML" else {}
        _assert_rows(bench.read(path_of(format), format, **options))


def _write(bench: Bench, format: str) -> None:  # noqa: A002
    options = {"writer_kwargs": {"rowTag": "ROW"}} if format == "XML" else {}
    bench.run(node("a", ROWS, {"path": path_of(format), "format": format, **options}))
    options = {"reader_kwargs": {"rowTag": "ROW"}} if format == "XML" else {}
    _assert_rows(bench.read(path_of(format), format, **options))


def _assert_rows(found: pl.DataFrame) -> None:
    assert found.select("id", "x", "s").sort("id").rows() == ROWS.rows()


def _unread(format: str, engine: Capabilities) -> str | None:  # noqa: A002
    found = engine.formats.get(format)
    return None if found is not None and found.read else f"the format {format} is not read"


def _unwritten(format: str, engine: Capabilities) -> str | None:  # noqa: A002
    found = engine.formats.get(format)
    return None if found is not None and found.modes else f"the format {format} is not written"


for _format in EXTENSIONS:
    feature("Files read", _format, partial(_unread, _format), f"format '{_format}' cannot be read with the")(
        partial(_read, format=_format)
    )
for _format in EXTENSIONS:
    feature("Files written", _format, partial(_unwritten, _format), f"format '{_format}' cannot be written with the")(
        partial(_write, format=_format)
    )
