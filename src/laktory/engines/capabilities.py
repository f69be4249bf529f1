"""What each engine can do, as frozen data that validation, the engines' tests and the docs table all read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DUCKDB", "ENGINES", "EXTENSIONS", "MODES", "POLARS", "PYSPARK", "SAIL", "Capabilities", "FormatSupport"]

MODES = ("OVERWRITE", "APPEND", "IGNORE", "ERROR")
"""Write modes, in the order docs list them. `ERRORIFEXISTS` is another spelling of `ERROR`."""

EXTENSIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "CSV": (".csv", ".tsv", ".txt"),
        "JSON": (".json",),
        "JSONL": (".jsonl", ".ndjson", ".json"),
        "NDJSON": (".ndjson", ".jsonl", ".json"),
        "PARQUET": (".parquet", ".pq", ".parq"),
        "IPC": (".ipc", ".arrow", ".feather"),
        "DELTA": (".parquet",),
        "AVRO": (".avro",),
        "ORC": (".orc",),
        "EXCEL": (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"),
        "TEXT": (".txt", ".text", ".log", ".md"),
        "PYARROW": (".parquet", ".pq", ".parq"),
        "XML": (".xml",),
        "BINARYFILE": (),
    }
)
"""Ends of names of the files that a directory of a format holds, the usual one first."""

_NO_APPEND = ("OVERWRITE", "IGNORE", "ERROR")


@dataclass(frozen=True, slots=True)
class FormatSupport:
    """How an engine handles one file format.

    Attributes
    ----------
    read : the engine can read it
    modes : write modes it has; empty when it cannot be written
    via : ``native``, or ``arrow`` when a library beside the engine moves the rows
    needs : optional module the format needs, if any
    typed : a file of this format gives back the exact types that were written
    text : holds no types: they are told from its text, or read with those it was written with
    lines : a row is a line, so that a file is appended to at its end
    urls : can be read from the URL schemes of the engine
    """

    read: bool = True
    modes: tuple[str, ...] = ()
    via: str = "native"
    needs: str | None = None
    typed: bool = False
    text: bool = False
    lines: bool = False
    urls: bool = False


@dataclass(frozen=True, slots=True)
class Capabilities:
    """One engine.

    Attributes
    ----------
    name : value of `dataframe_backend`
    module : optional module it needs, None for the embedded default
    entry : ``module:attribute`` of its session factory
    dialect : sqlglot dialect nearest to the engine's own SQL
    formats : format name → support
    streams : reads a source incrementally (`as_stream: true`)
    stream_options : options of a source that bound the batches of a stream, besides those of its reader
    url_schemes : URL schemes its readers open
    parallel : independent nodes may run side by side in one session
    fuse_steps : steps a chain of sinkless nodes may hold before it is materialised
    scratch : format of intermediate results
    lacks : methods of Narwhals frames that it has not
    writer_methods : methods can be called on its writer
    native_frame : ``module:class`` whose methods steps call with `dataframe_api: NATIVE`, if they can be looked up
    folders : formats of which a sink always writes a directory of files
    lazy_casts : a value that cannot be cast stops it only if its row is asked for
    unheld : types that it has not, and that none of its types holds: refused where they are read
    time_unit : of its times; a finer one that would lose something is refused where it is read
    variant : what answers in place of the engine that `name` stands for, if something else does
    misreads : what its SQL takes for something else, or has not, as `expressions.misread` names it
    table_formats : formats of the tables it writes by name, empty if it knows no tables
    no_iceberg : why ICEBERG is none of them
    appends_once : those of them that append what has the same name only once
    native_methods : the only methods of it that steps may call, None for all that neither compute nor write
    native_words_need_session : expressions in the engine's own words can be made only once its session is open
    """

    name: str
    module: str | None
    entry: str
    dialect: str
    formats: Mapping[str, FormatSupport]
    streams: bool = False
    stream_options: frozenset[str] = frozenset()
    url_schemes: frozenset[str] = field(default_factory=frozenset)
    parallel: bool = False
    fuse_steps: int = 40
    scratch: str = "PARQUET"
    lacks: frozenset[str] = frozenset()
    writer_methods: bool = False
    native_frame: str | None = None
    native_methods: frozenset[str] | None = None
    native_words_need_session: bool = False
    folders: frozenset[str] = frozenset()
    lazy_casts: bool = False
    unheld: frozenset[str] = frozenset()
    time_unit: Literal["us", "ns"] = "ns"
    variant: str | None = None
    misreads: frozenset[str] = frozenset()
    table_formats: frozenset[str] = frozenset()
    no_iceberg: str = "it reads and writes no Iceberg tables in this version"
    appends_once: frozenset[str] = frozenset()

    @property
    def tables(self) -> bool:
        """Whether it reads and writes tables by name."""
        return bool(self.table_formats)


_THROUGH_ARROW = {
    "AVRO": FormatSupport(modes=_NO_APPEND, via="arrow"),
    "ORC": FormatSupport(via="arrow", needs="pyarrow"),
    "EXCEL": FormatSupport(modes=_NO_APPEND, via="arrow", needs="fastexcel"),
    "TEXT": FormatSupport(text=True, via="arrow"),
    "PYARROW": FormatSupport(via="arrow", needs="pyarrow"),
}

POLARS = Capabilities(
    name="POLARS",
    module=None,
    entry="laktory.engines._polars.session:PolarsSession",
    dialect="postgres",
    formats=MappingProxyType(
        {
            "CSV": FormatSupport(modes=MODES, text=True, lines=True, urls=True),
            "JSON": FormatSupport(modes=MODES, text=True),
            "JSONL": FormatSupport(modes=MODES, text=True, lines=True, urls=True),
            "NDJSON": FormatSupport(modes=MODES, text=True, lines=True, urls=True),
            "PARQUET": FormatSupport(modes=MODES, typed=True, urls=True),
            "IPC": FormatSupport(modes=MODES, typed=True, urls=True),
            "DELTA": FormatSupport(modes=MODES, needs="deltalake", typed=True, urls=True),
            **_THROUGH_ARROW,
        }
    ),
    url_schemes=frozenset({"s3", "s3a", "gs", "gcs", "az", "azure", "abfs", "abfss", "http", "https", "hf"}),
    parallel=True,
    scratch="IPC",
    native_frame="polars:LazyFrame",
    misreads=frozenset({"DISTINCT FROM", "EXCLUDE OF", "IS TRUE", "OUTER USING", "TABLE COLUMNS"}),
)

DUCKDB = Capabilities(
    name="DUCKDB",
    module="duckdb",
    entry="laktory.engines._duckdb.session:DuckDBSession",
    dialect="duckdb",
    lazy_casts=True,
    formats=MappingProxyType(
        {
            "CSV": FormatSupport(modes=MODES, text=True, lines=True),
            "JSON": FormatSupport(modes=MODES, text=True),
            "JSONL": FormatSupport(modes=MODES, text=True, lines=True),
            "NDJSON": FormatSupport(modes=MODES, text=True, lines=True),
            "PARQUET": FormatSupport(modes=MODES, typed=True),
            "IPC": FormatSupport(modes=MODES, via="arrow", typed=True),
            "DELTA": FormatSupport(modes=MODES, via="arrow", needs="deltalake", typed=True),
            **_THROUGH_ARROW,
        }
    ),
    lacks=frozenset({"gather_every", "tail"}),
    # methods of a relation take SQL texts: only those that give a relation and read nothing else
    native_methods=frozenset(
        {
            "aggregate", "cross", "distinct", "drop", "except_", "filter", "head", "intersect", "join", "limit",
            "offset", "order", "pivot", "project", "rename", "sample", "select", "select_dtypes", "select_types",
            "set_alias", "sort", "union", "union_by_name", "unique", "unnest", "unpivot", "with_columns",
        }
    ),
)  # fmt: skip

PYSPARK = Capabilities(
    name="PYSPARK",
    module="pyspark",
    entry="laktory.engines._spark.session:PySparkSession",
    dialect="spark",
    # over Connect a plan is a message, which may be nested a hundred times
    fuse_steps=15,
    parallel=True,
    lazy_casts=True,
    formats=MappingProxyType(
        {
            "CSV": FormatSupport(modes=MODES, text=True, lines=True),
            "JSON": FormatSupport(modes=MODES, text=True),
            "JSONL": FormatSupport(modes=MODES, text=True, lines=True),
            "NDJSON": FormatSupport(modes=MODES, text=True, lines=True),
            "PARQUET": FormatSupport(modes=MODES, typed=True, urls=True),
            "IPC": FormatSupport(modes=MODES, via="arrow", typed=True),
            "DELTA": FormatSupport(modes=MODES, needs="deltalake", typed=True, urls=True),
            **_THROUGH_ARROW,
            "ORC": FormatSupport(modes=MODES, via="arrow", needs="pyarrow"),
            "BINARYFILE": FormatSupport(),
            "XML": FormatSupport(modes=MODES, text=True),
        }
    ),
    url_schemes=frozenset({"s3", "s3a", "gs", "abfs", "abfss", "dbfs", "hdfs", "wasbs"}),
    folders=frozenset({"CSV", "IPC", "JSON", "JSONL", "NDJSON", "ORC", "PARQUET", "XML"}),
    lacks=frozenset({"gather_every", "tail"}),
    streams=True,
    stream_options=frozenset({"latestFirst", "maxBytesPerTrigger", "maxFileAge", "maxFilesPerTrigger"}),
    unheld=frozenset({"Duration", "Object", "Time", "UInt128"}),
    time_unit="us",
    writer_methods=True,
    native_frame="pyspark.sql:DataFrame",
    # texts in arguments are SQL: only methods that give a frame, and neither compute nor read anything else
    native_methods=frozenset(
        {
            "agg", "alias", "coalesce", "crossJoin", "distinct", "drop", "dropDuplicates", "drop_duplicates", "dropna",
            "exceptAll", "fillna", "filter", "hint", "intersect", "intersectAll", "join", "limit", "melt", "offset",
            "orderBy", "repartition", "repartitionByRange", "replace", "sample", "sampleBy", "select", "selectExpr",
            "sort", "sortWithinPartitions", "subtract", "to", "toDF", "union", "unionAll", "unionByName", "unpivot",
            "where", "withColumn", "withColumnRenamed", "withColumns", "withColumnsRenamed",
        }
    ),
    native_words_need_session=True,
    misreads=frozenset({"DISTINCT ON", "STAR REPLACE"}),
    table_formats=frozenset({"AVRO", "DELTA", "ORC", "PARQUET"}),
    no_iceberg="no Iceberg runtime for Spark 4.2 exists yet; a session of yours that has an Iceberg catalog, given to "
    "register_spark_session, can do it",
    appends_once=frozenset({"DELTA"}),
)  # fmt: skip

SAIL = replace(
    PYSPARK,
    module="pysail",
    formats=MappingProxyType(
        {name: support for name, support in PYSPARK.formats.items() if name not in {"BINARYFILE", "XML"}}
        | {"ORC": FormatSupport(via="arrow", needs="pyarrow")}
    ),
    streams=False,
    url_schemes=PYSPARK.url_schemes & POLARS.url_schemes,
    variant="Sail",
    misreads=PYSPARK.misreads | {"ORDER BY AGGREGATE", "QUALIFY", "RECURSIVE", "STAR EXCEPT", "WINDOW FILTER"},
    table_formats=frozenset({"DELTA", "PARQUET"}),
    no_iceberg="Iceberg tables of Sail are not supported by this version",
    appends_once=frozenset(),
)
"""What is left of PYSPARK where Sail answers instead of Spark."""


class _Engines(Mapping[str, Capabilities]):
    """By name; with the setting `spark_remote: sail`, PYSPARK is what Sail can do.

    Attributes
    ----------
    brought : formats of tables that the Spark session which the user has registered adds
    """

    brought: frozenset[str] = frozenset()

    _all: Mapping[str, Capabilities] = MappingProxyType({"POLARS": POLARS, "DUCKDB": DUCKDB, "PYSPARK": PYSPARK})

    def __getitem__(self, name: str) -> Capabilities:
        if name == "PYSPARK":
            from laktory.settings import settings

            found = SAIL if settings.spark_remote == "sail" else PYSPARK
            return replace(found, table_formats=found.table_formats | self.brought) if self.brought else found
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


ENGINES = _Engines()
"""Every engine of this version by the value of `dataframe_backend`."""
