"""Tables and views by name, through the catalogs of the Spark session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw

from laktory.engines._spark.failures import failure_of, is_failure, message_of
from laktory.engines._spark.sql import without_end
from laktory.engines.errors import reason
from laktory.engines.protocol import TableFacts, TableRead
from laktory.errors import SinkError, SourceError, StepError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from contextlib import AbstractContextManager

    from pyspark.sql import DataFrame, SparkSession

    from laktory.engines.protocol import TableWrite

__all__ = ["SparkCatalog"]

_READER = ("option", "options")
_WRITER = ("bucketBy", "clusterBy", "option", "options", "partitionBy", "sortBy")
_MODES = {"OVERWRITE": "overwrite", "APPEND": "append", "ERROR": "error"}


class SparkCatalog:
    """See `laktory.engines.protocol.Catalog`.

    Parameters
    ----------
    computing : goes around what computes a frame; raises if the run was stopped, and says why a frame fails
    """

    def __init__(
        self,
        spark: SparkSession,
        computing: Callable[[Sequence[DataFrame]], AbstractContextManager[None]],
        *,
        sail: bool,
    ) -> None:
        self._spark, self._computing, self._sail = spark, computing, sail

    def read(self, read: TableRead) -> nw.LazyFrame[Any]:
        """Read a table or view lazily.

        Raises
        ------
        SourceError
            There is none, or it cannot be read.
        """
        reader = _called(self._spark.read.options(**read.kwargs), read.methods, _READER, "reader", SourceError)
        try:
            frame = reader.table(self.quoted(read.name))
            frame.schema  # noqa: B018 - over Connect, a plan is looked at when its columns are asked for
        except Exception as error:
            if not is_failure(error):
                raise
            msg = f"table {'.'.join(read.name)!r} cannot be read: {_words(error)}"
            raise SourceError(msg) from error
        found: nw.LazyFrame[Any] = nw.from_native(frame)
        return found

    def follow(self, read: TableRead) -> DataFrame:
        """What is added to a table, as a stream of Spark.

        Raises
        ------
        SourceError
            There is no such table, or what is added to it cannot be told.
        """
        full_name = ".".join(read.name)
        try:
            there = self.look(read.name)
        except SinkError as error:
            raise SourceError(*error.args) from error
        if there is None:
            msg = f"there is no table {full_name!r} that could be followed"
            raise SourceError(msg)
        if there.view or there.format != "DELTA":
            kind = "is a view" if there.view else f"has the format {there.format}"
            msg = f"{full_name!r} {kind}: as a stream, only Delta tables are read, which tell what is added to them"
            raise SourceError(msg)
        reader = self._spark.readStream.options(**read.kwargs)
        followed: DataFrame = _called(reader, read.methods, _READER, "reader", SourceError).table(
            self.quoted(read.name)
        )
        return followed

    def look(self, name: tuple[str, ...]) -> TableFacts | None:
        """What there is of this name, None for nothing.

        Raises
        ------
        SinkError
            The catalog does not tell.
        """
        quoted = self.quoted(name)
        try:
            if not self._spark.catalog.tableExists(quoted):
                return None
            rows = [tuple(row)[:2] for row in self._spark.sql(f"DESCRIBE TABLE EXTENDED {quoted}").collect()]
        except Exception as error:
            if not is_failure(error):
                raise
            msg = f"the catalog does not tell whether there is a table {'.'.join(name)!r}: {_words(error)}"
            raise SinkError(msg) from error
        start = next((at for at, (label, _) in enumerate(rows) if label.startswith("# Detailed")), len(rows))
        facts: dict[str, str] = dict(rows[start:])
        provider = facts.get("Provider")
        return TableFacts("VIEW" in facts.get("Type", "").upper(), provider.upper() if provider else None)

    def check(self, write: TableWrite) -> None:
        """Refuse methods that the writer has not, and to append where columns, types or the format are others.

        Raises
        ------
        SinkError
            Says which.
        """
        self._writer(write)
        if write.mode != "APPEND":
            return
        where = f"cannot append to the table {'.'.join(write.name)!r}"
        there = self.look(write.name)
        if there is not None and there.format not in {None, write.format}:
            raise SinkError(f"{where}: its format is {there.format}, not {write.format}; write that in 'format'")
        found, ours = self.read(TableRead(write.name)).collect_schema(), write.frame.collect_schema()
        for name, dtype in ours.items():
            if name in found and found[name] != dtype:
                raise SinkError(f"{where}: column {name!r} is {found[name]} there and {dtype} here; cast it")
        added, missing = [name for name in ours if name not in found], [name for name in found if name not in ours]
        lower = {name.lower(): name for name in found}
        if clash := next((name for name in added if name.lower() in lower), None):
            raise SinkError(f"{where}: column {clash!r} differs from {lower[clash.lower()]!r} there only in case")
        if (added or missing) and (write.format != "DELTA" or self._sail):
            parts = [f"the table also has {missing}" if missing else "", f"the table lacks {added}" if added else ""]
            raise SinkError(f"{where}: {' and '.join(filter(None, parts))}; appending wants the same columns")

    def write(self, write: TableWrite) -> None:
        """Write now, in Spark's own commit.

        Raises
        ------
        SinkError
            The table cannot be written.
        SourceError, StepError
            The frame cannot be computed.
        """
        with self._computing([nw.to_native(write.frame)]):
            self._make_schema(write.name)
            writer = self._writer(write)
            try:
                writer.saveAsTable(self.quoted(write.name))
            except Exception as error:
                if not _is_of_the_catalog(error):
                    raise
                # the frame itself was looked at before
                msg = f"cannot write to the table {'.'.join(write.name)!r}: {_words(error)}"
                raise SinkError(msg) from error

    @staticmethod
    def _writer(write: TableWrite) -> Any:
        options: dict[str, Any] = {}
        if write.format == "DELTA" and write.mode == "OVERWRITE":
            options["overwriteSchema"] = True
        if write.format == "DELTA" and write.mode == "APPEND":
            options["mergeSchema"] = True
        if write.format == "DELTA" and write.mode != "OVERWRITE" and write.once is not None:
            options |= dict(zip(("txnAppId", "txnVersion"), write.once, strict=True))
        writer = nw.to_native(write.frame).write.format(write.format.lower()).mode(_MODES[write.mode])
        return _called(writer.options(**{**options, **write.kwargs}), write.methods, _WRITER, "writer", SinkError)

    def define(self, name: tuple[str, ...], statement: str) -> None:
        """Make a view, or replace it.

        Raises
        ------
        SinkError
            It cannot be made.
        StepError
            The statement cannot be planned.
        """
        statement = without_end(statement)
        try:
            self._spark.sql(statement).schema  # noqa: B018 - what is wrong with it is not wrong with the view
        except Exception as error:
            if not is_failure(error):
                raise
            found = failure_of(error)
            raise StepError(f"SQL: {found}") from error
        with self._computing([]):
            self._make_schema(name)
            self._run(f"CREATE OR REPLACE VIEW {self.quoted(name)} AS {statement}", "make the view", name)

    def drop(self, name: tuple[str, ...]) -> None:
        """Remove the table or view, if it is there.

        Raises
        ------
        SinkError
            It cannot be removed.
        """
        there = self.look(name)
        if there is not None:
            kind = "VIEW" if there.view else "TABLE"
            self._run(f"DROP {kind} IF EXISTS {self.quoted(name)}", f"drop the {kind.lower()}", name)

    @staticmethod
    def quoted(name: Sequence[str]) -> str:
        """A name as statements have it."""
        return ".".join("`" + part.replace("`", "``") + "`" for part in name)

    def _make_schema(self, name: tuple[str, ...]) -> None:
        schema = self.quoted(name[:-1])
        try:
            there = not schema or self._spark.catalog.databaseExists(schema)
        except Exception as error:
            if not is_failure(error):
                raise
            there = False
        if not there:
            self._run(f"CREATE SCHEMA IF NOT EXISTS {schema}", "make the schema of", name)

    def _run(self, statement: str, what: str, name: tuple[str, ...]) -> None:
        try:
            self._spark.sql(statement).collect()
        except Exception as error:
            if not is_failure(error):
                raise
            msg = f"cannot {what} {'.'.join(name)!r}: {_words(error)}"
            raise SinkError(msg) from error


def _called(made: Any, methods: Any, valid: Collection[str], what: str, kind: type[Exception]) -> Any:
    for name, args, kwargs in methods:
        if name not in valid:
            msg = f"{what} method {name!r}: for tables, only {', '.join(valid)}"
            raise UnsupportedError(msg)
        try:
            made = getattr(made, name)(*args, **kwargs)
        except (TypeError, ValueError) as error:
            msg = f"{what} method {name!r}: {reason(error)}"
            raise kind(msg) from error
    return made


def _is_of_the_catalog(error: BaseException) -> bool:
    from pyspark.errors import AnalysisException, IllegalArgumentException

    return isinstance(error, (AnalysisException, IllegalArgumentException))


def _words(error: BaseException) -> str:
    if "already have booted the database" in str(error):
        return "another process uses the metastore of this folder, which holds one at a time; wait until it ends"
    if "REQUIRES_SINGLE_PART_NAMESPACE" in str(error) or "CATALOG_NOT_FOUND" in str(error):
        return f"{message_of(error)}; is the first part of the name a catalog of the session?"
    return failure_of(error)
