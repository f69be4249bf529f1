"""What a feature is, the list of them, and the bench they are tried on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import polars as pl

    from laktory.engines.capabilities import Capabilities
    from laktory.models import Pipeline

__all__ = ["FEATURES", "Bench", "Feature", "feature", "node"]


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the matrix.

    Attributes
    ----------
    group : table it stands in
    name : unique in its group
    check : asserts that the engine has it; where the engine refuses it, raises that refusal
    lacking : why an engine has it not, as its capability record says; None where it has
    says : pattern found in the refusal
    """

    group: str
    name: str
    check: Callable[[Bench], None]
    lacking: Callable[[Capabilities], str | None]
    says: str

    @property
    def id(self) -> str:
        """Group and name."""
        return f"{self.group}: {self.name}"


FEATURES: dict[str, Feature] = {}
"""Every feature by its `id`, in the order of the documents."""


def feature(
    group: str,
    name: str,
    lacking: Callable[[Capabilities], str | None] = lambda _: None,
    says: str = "",
) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    """Put a check into the list.

    Raises
    ------
    ValueError
        There is a feature of this name.
    """

    def noted(check: Callable[[Bench], None]) -> Callable[[Bench], None]:
        made = Feature(group, name, check, lacking, says)
        if made.id in FEATURES:
            msg = f"there are two features {made.id!r}"
            raise ValueError(msg)
        FEATURES[made.id] = made
        return check

    return noted


@dataclass(frozen=True, slots=True)
class Bench:
    """What a check works with; the working directory is empty and its own.

    Attributes
    ----------
    backend : value of `dataframe_backend`
    capabilities : record of the engine
    shared : folder of all checks of a process, for what is made once
    native : a step in the engine's own API that leaves the two rows it is given
    """

    backend: str
    capabilities: Capabilities
    shared: Path
    native: Mapping[str, Any]

    def pipeline(self, *nodes: Mapping[str, Any], **more: Any) -> Pipeline:
        """A pipeline on the engine, with its definition judged."""
        from laktory import models

        made = models.Pipeline(**{"name": "p", "dataframe_backend": self.backend, "nodes": list(nodes), **more})
        made.plan()
        return made

    def run(self, *nodes: Mapping[str, Any], **more: Any) -> Pipeline:
        """The same, run."""
        made = self.pipeline(*nodes, **more)
        made.execute()
        return made

    def frame(self, source: Any, *steps: Any, by: Sequence[str] = ("id",), **more: Any) -> pl.DataFrame:
        """What one node gives, in the order of some columns."""
        made = self.run(node("a", source, steps=steps), **more)
        return self.output(made, "a", by=by)

    def output(self, pipeline: Pipeline, name: str, by: Sequence[str] = ("id",)) -> pl.DataFrame:
        """What a node gave, in the order of some columns."""
        found: pl.DataFrame = pipeline.nodes_dict[name].output_df.collect("polars").to_native()
        return found.sort(*by, nulls_last=True) if by else found

    def read(self, path: str, format: str, **more: Any) -> pl.DataFrame:  # noqa: A002 - the field's name
        """What the engine reads of a file."""
        options = {"infer_schema": True} if format == "CSV" else {}
        return self.frame({"path": path, "format": format, **options, **more}, by=())


def node(name: str, source: Any, *sinks: Any, steps: Sequence[Any] = (), **more: Any) -> dict[str, Any]:
    """A node in short: sources are frames, names of nodes, Parquet files or mappings, sinks files or mappings."""
    import polars as pl

    if isinstance(source, pl.DataFrame):
        source = {"df": source}
    elif isinstance(source, str):
        source = {"path": source, "format": "PARQUET"} if "." in source else {"node_name": source}
    made: dict[str, Any] = {"name": name, "source": source, **more}
    if sinks:
        made["sinks"] = [{"path": each, "format": "PARQUET"} if isinstance(each, str) else each for each in sinks]
    if steps:
        made["transformer"] = {"nodes": [{"expr": each} if isinstance(each, str) else each for each in steps]}
    return made
