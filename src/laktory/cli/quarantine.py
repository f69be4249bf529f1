"""``laktory quarantine``."""

from math import isfinite
from typing import Any

from laktory.cli import console
from laktory.cli.definition import load_node
from laktory.cli.options import Backend, Debug, Directory, FileOrNode, Json, Limit, NodeName, Var, VarFile

__all__ = ["quarantine"]


def quarantine(
    file: FileOrNode,
    node: NodeName = None,
    limit: Limit = 20,
    backend: Backend = None,
    var: Var = None,
    var_file: VarFile = None,
    json: Json = False,
    directory: Directory = None,  # noqa: ARG001 - acts in its callback
    debug: Debug = False,  # noqa: ARG001 - acts in its callback
) -> None:
    """Show what the rules of a node found in its last run: how many rows each caught, and rows with the reasons.

    The rows are those in quarantine and, where a rule stopped the node, those that failed it.
    """
    pipeline, node = load_node(file, node, var, var_file, backend)
    from laktory.errors import RunError
    from laktory.runtime.rejected import last_rejected

    found = last_rejected(pipeline, node)
    if found is None:
        msg = f"no run has checked expectations of node {node!r} yet; run the pipeline first"
        raise RunError(msg)
    rows: Any = found.rows.head(limit) if found.rows is not None else None
    if json:
        shown = _plain(rows.collect("polars").to_native().to_dicts()) if rows is not None else []
        facts = {name: value for name, value in found.outcome.items() if name.startswith(("rows_", "checks"))}
        console.out_json({"run_id": found.run_id, "node": node, **facts, "rows": shown})
        return
    console.out(f"Node {node}, run {found.run_id}")
    console.out(console.checks_table([found.outcome]))
    if rows is not None:
        console.show_frame(rows, limit)


def _plain(value: Any) -> Any:
    """What JSON has no words for: NaN and infinity are null, as in JSON sinks; bytes are hexadecimal."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    return None if isinstance(value, float) and not isfinite(value) else value
