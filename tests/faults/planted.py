"""Definitions with a secret in each place one can stand, for `test_secrets.py`."""

# ruff: noqa: E501 - a line per place

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from inside import command, quick_folder

SINK = {"path": "out.parquet", "format": "PARQUET"}
SOURCE = {"path": "in.parquet", "format": "PARQUET"}
MODULE = """
import os

def raising(**kwargs):
    raise ConnectionError(f"login with {kwargs} {os.environ.get('TOKEN_OF_TEST')} refused")

def passing(frame, **kwargs):
    return frame

def failing(frame, **kwargs):
    raise ValueError(f"cannot use {kwargs}")

def reading(**kwargs):
    return {"id": [1], "s": ["x"]}

def dying(frame, **kwargs):
    os._exit(9)

def writing(frame, **kwargs):
    raise OSError(f"no line to {kwargs}")
"""


def node(source: Any = None, steps: Any = (), sinks: Any = None) -> dict[str, Any]:
    made: dict[str, Any] = {"name": "a", "source": source or SOURCE, "sinks": sinks or [SINK]}
    return made | ({"transformer": {"nodes": list(steps)}} if steps else {})


def sql(text: str) -> list[dict[str, str]]:
    return [{"expr": text}]


def places(token: str) -> dict[str, dict[str, Any]]:
    """Place → variables, nodes and arguments of the command; `files` and `env` beside them, `text` instead of them."""
    used = "SELECT * FROM {df} WHERE s <> '${vars.api_token}'"
    written = {"variables": {"api_token": token}}
    once = {"storage_options": {"max_retries": "0"}}
    far = "https://{}127.0.0.1:9/x.parquet{}"
    options = {
        "aws_secret_access_key": token, "aws_region": "x", "aws_access_key_id": "y", "max_retries": "0",
        "aws_endpoint_url": "http://127.0.0.1:9",
    }  # fmt: skip
    raising, reading = ({"custom_reader": {"func_name": f"planted_{name}", "func_kwargs": {"password": token}}}
                        for name in ("raising", "reading"))  # fmt: skip
    return {
        "variable": written | {"nodes": [node(steps=sql(used))]},
        "variable, failing SQL": written | {"nodes": [node(steps=sql(used + " AND nothing = 1"))]},
        "variable, broken SQL": written | {"nodes": [node(steps=sql(used + " AND AND"))]},
        "variable, failing cast": written | {"nodes": [node(steps=sql("SELECT CAST('${vars.api_token}' AS INTEGER) AS i FROM {df}"))]},
        "variable of the node": {"nodes": [node(steps=sql(used)) | {"variables": {"api_token": token}}]},
        "nested variable": {"variables": {"db": {"password": token}}, "nodes": [node(steps=sql("SELECT * FROM {df} WHERE s <> '${vars.db.password}' AND nope = 1"))]},
        "--var": {"nodes": [node(steps=sql(used + " AND nothing = 1"))], "arguments": ["--var", f"api_token={token}"]},
        "--var that nothing uses": {"nodes": [node()], "arguments": ["--var", f"api_token={token}"]},
        "--var without =": {"nodes": [node()], "arguments": ["--var", f"api_token:{token}"]},
        "--var-file": {"nodes": [node(steps=sql(used + " AND nothing = 1"))], "files": {"vars.yaml": f"api_token: {token}\n"}, "arguments": ["--var-file", "vars.yaml"]},
        "broken --var-file": {"nodes": [node(steps=sql(used))], "files": {"vars.yaml": f"api_token: '{token}\nx: 1\n"}, "arguments": ["--var-file", "vars.yaml"]},
        "environment": {"nodes": [node(steps=sql("SELECT * FROM {df} WHERE s <> '${vars.FAULTS_DB_PASSWORD}' AND nothing = 1"))], "env": {"FAULTS_DB_PASSWORD": token}},
        "SQL expression": written | {"nodes": [node(steps=[{"func_name": "with_columns", "func_kwargs": {"t": {"expr": "nothing || '${vars.api_token}'"}}}])]},
        "filter": written | {"nodes": [node(SOURCE | {"filter": "s = '${vars.api_token}' AND nothing = 1"})]},
        "user in a URL": {"nodes": [node({"path": far.format(f"me:{token}@", ""), "format": "PARQUET", "reader_kwargs": once})]},
        "token in a URL": {"nodes": [node({"path": far.format("", f"?sv=1&sig={token}"), "format": "PARQUET", "reader_kwargs": once})]},
        "path holds it": written | {"nodes": [node({"path": "${vars.api_token}/x.parquet", "format": "PARQUET"})]},
        "sink's path holds it": written | {"nodes": [node(sinks=[{"path": "no/${vars.api_token}.csv", "format": "CSV", "mode": "nope"}])]},
        "reader's options": {"nodes": [node({"path": "s3://b/x.parquet", "format": "PARQUET", "reader_kwargs": {"storage_options": options}})]},
        "reader's options, misspelled": {"nodes": [node(SOURCE | {"reader_kwargs": {"storage_optons": options}})]},
        "reader's unknown argument": {"nodes": [node(SOURCE | {"reader_kwargs": {"password": token}})]},
        "writer's unknown argument": {"nodes": [node(sinks=[SINK | {"writer_kwargs": {"api_key": token}}])]},
        "connection string": {"nodes": [node({"path": "az://c/x.parquet", "format": "PARQUET", "reader_kwargs": {"storage_options": {"connection": f"AccountName=n;AccountKey={token};"}}})]},
        "custom reader raises": {"nodes": [node(raising)]},
        "custom reader": {"nodes": [node(reading)]},
        "custom function raises": {"nodes": [node(steps=[{"func_name": "planted_failing", "func_kwargs": {"password": token}}])]},
        "custom function": {"nodes": [node(steps=[{"func_name": "planted_passing", "func_kwargs": {"password": token}}])]},
        "custom writer raises": {"nodes": [node(sinks=[SINK, {"custom_writer": {"func_name": "planted_writing", "func_kwargs": {"password": token}}}])]},
        "exception quotes the environment": {"nodes": [node(raising)], "env": {"TOKEN_OF_TEST": token}},
        "unknown field": {"nodes": [node() | {"password": token}]},
        "wrong type": {"variables": {"api_token": [token]}, "nodes": 3},
        "broken text": {"text": f"name: p\nvariables:\n  api_token: \"{token}\nnodes: []\n"},
        "broken text beside": {"text": f"name: p\nvariables: {{api_token: {token}, x: ]}}\n"},
        "tab": {"text": f"name: p\nvariables:\n\tapi_token: {token}\n"},
        "duplicate": {"text": f"name: p\nvariables:\n  api_token: {token}\n  api_token: {token}\nnodes: []\n"},
    }  # fmt: skip


COMMANDS = (
    ["plan"], ["plan", "--json"], ["run"], ["run", "--json"], ["show", "pipeline.yaml", "a"],
)  # fmt: skip


def killed(token: str) -> dict[str, Any]:
    """A run that dies after its first sink is committed."""
    dying = {"custom_writer": {"func_name": "planted_dying", "func_kwargs": {"password": token}}}
    step = sql("SELECT * FROM {df} WHERE s <> '${vars.api_token}'")
    return {"variables": {"api_token": token}, "nodes": [node(steps=step, sinks=[SINK, dying])]}


def leaks(engine: str) -> list[dict[str, Any]]:
    """Per place: exit codes of the commands, and where its secret shows up."""
    import polars as pl

    from laktory import models
    from laktory.errors import LaktoryError

    os.environ["LAKTORY_LOG_LEVEL"] = "DEBUG"
    root, _ = quick_folder()
    cases = []
    for number, name in enumerate([*places(""), "killed"]):
        token, began = secrets.token_hex(8), time.monotonic()
        place = killed(token) if name == "killed" else places(token)[name]
        folder = root / str(number)
        folder.mkdir(parents=True)
        os.chdir(folder)
        pl.DataFrame({"id": [1, 2], "s": ["x", "y"]}).write_parquet("in.parquet")
        given = write(engine, place)
        shown, codes = [], []
        os.environ.update(place.get("env", {}))
        if name == "killed":
            done = subprocess.run(
                [sys.executable, "-m", "laktory", "run"], capture_output=True, encoding="utf-8", check=False
            )
            codes.append(done.returncode)
            shown += [("killed", done.stdout), ("killed", done.stderr)]
        for args in COMMANDS if name != "killed" else COMMANDS[:2]:
            code, out, err = command(*args, *place.get("arguments", []))
            codes.append(code)
            shown += [(" ".join(args), out), (" ".join(args), err)]
        try:
            pipeline = models.Pipeline.model_validate(Path("pipeline.yaml"))
            shown.append(("repr", f"{pipeline!r} {pipeline} {pipeline.nodes} {pipeline.last_run}"))
        except LaktoryError as error:
            shown.append(("load", f"{error!r} {error}"))
        for key in place.get("env", {}):
            del os.environ[key]
        found = [f"{what}: {line}" for what, text in shown for line in text.splitlines() if token in line]
        for file in Path().rglob("*"):
            inside = file.is_file() and str(file) not in given and token.encode() in file.read_bytes()
            found += [f"file {file}"] if inside or token in str(file) else []
        cases.append({"place": name, "codes": codes, "found": found, "seconds": time.monotonic() - began})
    return cases


def write(engine: str, place: dict[str, Any]) -> set[str]:
    """The files of a definition, by name."""
    module = f"planted_{secrets.token_hex(4)}"
    parts = {key: value for key, value in place.items() if key in ("variables", "nodes")}
    text = place.get("text") or json.dumps({"name": "p", "dataframe_backend": engine, **parts}, indent=1)
    if "planted_" in text:
        listed = f'"name": "p", "imports": ["{module}"]'
        text = text.replace('"planted_', f'"{module}.').replace('"name": "p"', listed, 1)
        Path(f"{module}.py").write_text(MODULE)
    files = {"pipeline.yaml": text, **place.get("files", {})}
    for file, content in files.items():
        Path(file).write_text(content)
    return set(files)
