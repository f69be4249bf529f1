"""Sources behind URLs, served by a real HTTP server."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl
import pytest

from laktory import models
from laktory.engines.capabilities import ENGINES
from laktory.errors import DefinitionError, SourceError

ROWS = [(1, "x"), (2, None), (3, "z")]
WRITERS = {"CSV": "write_csv", "JSONL": "write_ndjson", "PARQUET": "write_parquet", "IPC": "write_ipc"}


class Handler(BaseHTTPRequestHandler):
    """Files of the working directory, whole or by ranges of bytes."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = Path(self.path.lstrip("/"))
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked:
            start = int(asked[1]) if asked[1] else max(0, len(data) - int(asked[2]))
            end = min(int(asked[2]), len(data) - 1) if asked[1] and asked[2] else len(data) - 1
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
            data = data[start : end + 1]
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def pipeline(url: str, kind: str, name: str, backend: str) -> models.Pipeline:
    source = {"path": f"{url}/{name}", "format": kind}
    source |= {"infer_schema": True} if kind == "CSV" else {}
    node = {"name": "a", "source": source, "sinks": [{"path": "out.parquet", "format": "PARQUET"}]}
    return models.Pipeline(name="p", dataframe_backend=backend, nodes=[node])


@pytest.mark.parametrize("kind", WRITERS)
def test_a_url_is_read(url, kind):
    frame = pl.DataFrame(ROWS, schema=["a", "b"], orient="row")
    getattr(frame, WRITERS[kind])("in.file")
    pipeline(url, kind, "in.file", "POLARS").execute()
    assert pl.read_parquet("out.parquet").rows() == ROWS


@pytest.mark.parametrize("kind", WRITERS)
def test_nothing_behind_a_url(url, kind):
    Path("out.parquet").write_bytes(b"as it was")
    with pytest.raises(SourceError, match=rf"^node 'a': '{url}/missing.file': No such file or directory$"):
        pipeline(url, kind, "missing.file", "POLARS").execute()
    assert Path("out.parquet").read_bytes() == b"as it was"


@pytest.mark.parametrize("backend", ENGINES)
@pytest.mark.parametrize("kind", ["JSON", "EXCEL", "ORC", "PARQUET"])
def test_what_cannot_be_read_from_a_url_is_refused(url, backend, kind):
    if kind in WRITERS and ENGINES[backend].url_schemes:
        return  # shown above
    made = pipeline(url, kind, "in.file", backend)
    for refused in (made.plan, made.nodes[0].source.read):
        with pytest.raises(DefinitionError, match=r"cannot be read from a URL|cannot read 'http' URLs"):
            refused()
