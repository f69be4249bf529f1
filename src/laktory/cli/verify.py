"""``laktory verify``."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laktory.cli import console
from laktory.cli.definition import load_pipeline, planned
from laktory.cli.options import Debug, Directory, File, Json, Select, SparkConf, SparkRemote, Var, VarFile
from laktory.diagnostics import closest
from laktory.errors import DefinitionError, RunError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from laktory.runtime.comparison import Difference

__all__ = ["verify"]

ENGINES = {"polars": "POLARS", "duckdb": "DUCKDB", "spark": "PYSPARK", "sail": "PYSPARK"}


def verify(
    file: File = "pipeline.yaml",
    engines: Annotated[
        str,
        typer.Option(metavar="NAMES", help="Engines to compare, the first one with each other: " + ", ".join(ENGINES)),
    ] = "polars,duckdb",
    select: Select = None,
    var: Var = None,
    var_file: VarFile = None,
    json: Json = False,
    spark_remote: SparkRemote = None,
    spark_conf: SparkConf = None,
    into: Annotated[Path | None, typer.Option(hidden=True)] = None,
    directory: Directory = None,  # noqa: ARG001 - acts in its callback
    debug: Debug = False,  # noqa: ARG001 - acts in its callback
) -> None:
    """Run a pipeline on several engines, without writing its sinks, and tell where their rows differ.

    Nodes that name an engine keep it. Rows are compared in any order; fractions may differ by one part in 10^9, widths
    of integers and units of times are not compared. Exit code 1 if anything differs.
    """
    names = [_known(name.strip().lower()) for name in engines.split(",") if name.strip()]
    if into is not None:
        _keep(file, names[0], select, var, var_file, into)
        return
    if len(set(names)) < 2:
        msg = f"--engines {engines!r}: at least two engines are compared, valid: {', '.join(ENGINES)}"
        raise DefinitionError(msg)
    with console.logs_on_stderr():
        for name in names:
            planned(load_pipeline(file, var, var_file, ENGINES[name]), select)
    passed = [*_each("--select", select), *_each("--var", var), *_each("--var-file", var_file)]
    passed += [*_each("--spark-remote", [spark_remote] if spark_remote else None), *_each("--spark-conf", spark_conf)]
    with tempfile.TemporaryDirectory(prefix="laktory-verify-") as folder:
        failed: dict[str, str] = {}
        for name in names:
            place = Path(folder, name)
            place.mkdir()
            # a process speaks to Spark or to Sail, never to both
            command = [
                sys.executable,
                "-m",
                "laktory",
                "verify",
                file,
                "--engines",
                name,
                "--into",
                str(place),
                *passed,
            ]
            done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
            if done.returncode:
                failed[name] = done.stderr.strip() or f"ended with code {done.returncode}"
        _tell(names, failed, Path(folder), as_json=json)


def _keep(file: str, name: str, select: "Sequence[str] | None", var: Any, var_file: Any, into: Path) -> None:
    from laktory.runtime.comparison import keep_frames
    from laktory.settings import settings

    if name == "sail":
        settings.spark_remote = "sail"
    elif settings.spark_remote == "sail":
        settings.spark_remote = None
    keep_frames(load_pipeline(file, var, var_file, ENGINES[name]), select, into)


def _known(name: str) -> str:
    if name in ENGINES:
        return name
    msg = f"--engines: there is no engine {name!r}; {closest(name, ENGINES) or 'valid: ' + ', '.join(ENGINES)}"
    raise DefinitionError(msg)


def _each(option: str, values: "Sequence[str] | None") -> list[str]:
    return [part for value in values or () for part in (option, value)]


def _tell(names: "Sequence[str]", failed: "Mapping[str, str]", folder: Path, *, as_json: bool) -> None:
    from laktory.runtime.comparison import compare

    first, *others = names
    if first in failed:
        msg = f"{first} fails, so there is nothing to compare with:\n{failed[first]}"
        raise RunError(msg)
    found = {name: compare(folder / first, folder / name) for name in others if name not in failed}
    different = sorted({node for nodes in found.values() for node, one in nodes.items() if one is not None})
    if as_json:
        console.out_json(
            {"first": first, "failed": dict(failed), "engines": {name: _plain(found[name]) for name in found}}
        )
    else:
        for name in others:
            console.out(f"{name}: {_summary(name, found, failed)}")
            for node, one in found.get(name, {}).items():
                if one is not None:
                    _show(first, name, node, one)
    if failed or different:
        parts = [f"{name} fails" for name in failed]
        parts += [f"not as on {first}: {', '.join(map(repr, different))}"] if different else []
        raise RunError(" and ".join(parts))


def _summary(name: str, found: "Mapping[str, Mapping[str, Difference | None]]", failed: "Mapping[str, str]") -> str:
    if name in failed:
        return f"fails\n{failed[name]}"
    same = sum(one is None for one in found[name].values())
    return f"{same} of {console.count(len(found[name]), 'frame')} the same"


def _plain(nodes: "Mapping[str, Difference | None]") -> dict[str, Any]:
    from dataclasses import asdict

    return {node: None if one is None else asdict(one) for node, one in nodes.items()}


def _show(first: str, name: str, node: str, one: "Difference") -> None:
    if one.columns:
        console.out(f"  {node}: {one.columns}")
        return
    console.out(f"  {node}: {one.rows[0]:,} rows on {first}, {one.rows[1]:,} on {name}")
    for engine, rows in ((first, one.only_first), (name, one.only_this)):
        for row in rows:
            console.out(f"    only on {engine}: {row}")
