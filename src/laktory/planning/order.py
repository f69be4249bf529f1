"""Nodes that meet in a file: what one reads may not hang on who is faster, nor grow with each run by itself."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import TYPE_CHECKING

from laktory.diagnostics import Problem
from laktory.engines.capabilities import EXTENSIONS
from laktory.graph import ancestors
from laktory.models.base import is_variable
from laktory.models.datasources import FileDataSource
from laktory.paths import before_pattern, local_path, path_kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from laktory.diagnostics import Path
    from laktory.models.datasinks import FileDataSink
    from laktory.models.pipeline.pipeline import Pipeline
    from laktory.models.pipeline.pipelinenode import PipelineNode

__all__ = ["order_problems"]

_NONE = ("",)
"""Ends of names of a format that nobody knows; that is a problem of its own."""


def order_problems(
    pipeline: Pipeline, places: Iterable[tuple[str, PipelineNode, FileDataSink, Path]]
) -> Iterator[Problem]:
    """Sources that name, or hold, what a node writes that is not known to run before them.

    Parameters
    ----------
    places : of each sink that writes files the real path, its node, itself, and where its path stands in the definition
    """
    written: dict[str, list[tuple[str, PipelineNode, FileDataSink, Path]]] = {}
    for target, writer, sink, at in places:
        for folder in (target, *map(str, PurePath(target).parents)):
            written.setdefault(folder, []).append((target, writer, sink, at))
    nodes = [node for node in pipeline.nodes if not is_variable(node)]
    upstream = {node.name: node.upstream_node_names for node in nodes}
    for node in nodes:
        for source in node.external_sources:
            if not isinstance(source, FileDataSource) or (local := local_path(source.path)) is None:
                continue
            pattern = () if path_kind(local) in {"file", "directory"} else _pattern(local)
            start = os.path.realpath(before_pattern(local) if pattern else local)
            for target, writer, sink, at in written.get(start, ()):
                itself = target == start and not pattern
                if not itself and not _holds(source, start, pattern, target, sink):
                    continue
                if writer.name in ancestors(upstream, [node.name]):
                    continue
                if writer is not node and node.name not in ancestors(upstream, [writer.name]):
                    reads = f"{node.name!r} reads" + (f" (as {source.path!r})" if source.path != sink.path else "")
                    message = f"node {writer.name!r} writes {sink.path!r}, which node {reads}"
                    message = f"{message}, and nothing says which of them runs first"
                    hint = f"let {node.name!r} read 'node_name: {writer.name}', or connect the two with 'depends_on'"
                    yield Problem(message, at, hint=hint)
                elif not itself:
                    message = f"{sink.path!r} is one of the files of {source.path!r}, a source of node {node.name!r}"
                    message = f"{message}: each run would read what the one before it wrote"
                    yield Problem(message, at, hint="write to a place outside of it")


def _pattern(path: str) -> tuple[str, ...]:
    """The parts of a path from the first one that is a pattern."""
    return PurePath(path).parts[len(PurePath(before_pattern(path)).parts) :]


def _holds(source: FileDataSource, start: str, pattern: Sequence[str], target: str, sink: FileDataSink) -> bool:
    """Whether the file of a sink, or those of its directory, are among the files of a folder or a pattern."""
    names = PurePath(target).relative_to(start).parts
    if sink.format == "DELTA" or sink.path.endswith("/"):
        keys = (f"{key}=value" for key in sink.partition_by)
        names = (*names, *keys, f"part{EXTENSIONS.get(sink.format, _NONE)[0]}")
    if any(name.startswith((".", "_")) for name in names):
        return False
    if pattern:
        return _matches(pattern, names)
    plain = PurePath(names[-1].removesuffix(".gz").removesuffix(".zst"))
    return plain.suffix.lower() in EXTENSIONS.get(source.format, _NONE)


def _matches(pattern: Sequence[str], names: Sequence[str]) -> bool:
    if not pattern:
        return not names
    if pattern[0] == "**":
        return any(_matches(pattern[1:], names[count:]) for count in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], pattern[0]) and _matches(pattern[1:], names[1:])
