"""The Spark session of this process: the user's own, or one that is made on first need."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from laktory.engines._spark.failures import message_of
from laktory.engines.capabilities import ENGINES
from laktory.errors import DefinitionError, MissingDependencyError, RunError
from laktory.log import get_logger
from laktory.optional import require
from laktory.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyspark.sql import SparkSession

__all__ = [
    "activate",
    "get_spark_session",
    "is_connect",
    "is_databricks",
    "is_local",
    "is_own",
    "is_sail",
    "jobs_of",
    "may_be_elsewhere",
    "register_spark_session",
]

_log = get_logger(__name__)

_JAVA = "install Java 17 (a JDK or JRE), or name the folder of one with JAVA_HOME; 'spark_remote: sail' needs no Java"
_SHIPPED = ",".join(
    f"{group}:{name}"
    for group, names in {
        "org.apache.hadoop": ("hadoop-client-api", "hadoop-client-runtime"),
        "org.apache.parquet": ("parquet-hadoop",),
        "org.apache.logging.log4j": ("log4j-api", "log4j-core"),
        "org.slf4j": ("slf4j-api",),
    }.items()
    for name in names
)
"""Of what the Delta package asks for, what Spark has already."""

_UNRESOLVED = re.compile(r"unresolved dependency: ([^\s:]+)")
_PATIENCE = 10
"""Seconds to wait for a server that does not answer; the client itself would try for many minutes."""

_lock = threading.RLock()
_registered: SparkSession | None = None
_made: dict[str | None, SparkSession] = {}
_sail: Any = None


def register_spark_session(spark: SparkSession | None = None) -> SparkSession:
    """Let pipelines on PYSPARK use this session. Laktory never stops it.

    Parameters
    ----------
    spark : classic, Connect or Databricks Connect session; None for the default one, which is made if need be

    Returns
    -------
    pyspark.sql.SparkSession
        The session in use from now on.

    Raises
    ------
    DefinitionError
        It is no Spark session.
    """
    global _registered  # noqa: PLW0603
    if spark is not None and not (hasattr(spark, "createDataFrame") and hasattr(spark, "sql")):
        msg = f"a Spark session is expected, found {type(spark).__name__!r}"
        raise DefinitionError(msg)
    with _lock:
        _registered = spark
        ENGINES.brought = _brought(spark)
    return get_spark_session()


def get_spark_session() -> SparkSession:
    """The session that pipelines on PYSPARK use: the registered one, else the default one, made on first need.

    The default one is as the settings `spark_remote` and `spark_conf` say: without, local and ready for Delta.

    Raises
    ------
    MissingDependencyError
        A package or Java is missing.
    RunError
        It cannot be started or reached.
    """
    with _lock:
        if _registered is not None:
            if _is_stopped(_registered):
                msg = "the Spark session that was registered is stopped; give another one to register_spark_session"
                raise RunError(msg)
            return _registered
        remote = settings.spark_remote
        if remote not in _made or _is_stopped(_made[remote]):
            require("pyspark", "dataframe_backend: PYSPARK")
            _made[remote] = _local("local[*]") if remote is None else _connected(remote)
        return _made[remote]


def _brought(spark: SparkSession | None) -> frozenset[str]:
    """Formats of tables that a session adds, as the catalogs in its configuration tell."""
    found = {} if spark is None else spark.conf.getAll
    iceberg = any(key.startswith("spark.sql.catalog.") and "iceberg" in str(found[key]).lower() for key in found)
    return frozenset({"ICEBERG"} if iceberg else ())


def is_connect(spark: SparkSession) -> bool:
    """Whether a session speaks to Spark over Spark Connect."""
    return ".connect." in f"{type(spark).__module__}."


def is_local(spark: SparkSession) -> bool:
    """Whether a classic session computes in this process's JVM."""
    return not is_connect(spark) and str(spark.sparkContext.master).startswith("local")


def is_databricks(spark: SparkSession) -> bool:
    """Whether a session runs on a cluster of Databricks, which names itself in every session's configuration."""
    return spark.conf.get("spark.databricks.clusterUsageTags.clusterId", None) is not None


def may_be_elsewhere() -> bool:
    """Whether the session in use, or the one that would be made, may be on another machine."""
    if _registered is not None:
        return is_connect(_registered) or not is_local(_registered)
    return not _is_own(settings.spark_remote)


def is_own(spark: SparkSession) -> bool:
    """Whether this process has made a session and what answers it."""
    return any(made is spark and _is_own(remote) for remote, made in _made.items())


def _is_own(remote: str | None) -> bool:
    return remote is None or remote == "sail" or remote.startswith("local")


@lru_cache(maxsize=8)
def is_sail(spark: SparkSession) -> bool:
    """Whether Sail is at the other end, which tells its own version where Spark tells its and a commit's."""
    return is_connect(spark) and " " not in str(spark.sql("SELECT version()").collect()[0][0])


class Jobs(NamedTuple):
    """What names the jobs of the calling thread, and stops those of a name."""

    tag: Callable[[str], object]
    untag: Callable[[str], object]
    cancel: Callable[[str], object]


def jobs_of(spark: SparkSession) -> Jobs:
    """The jobs of a session. Tags of a classic session do not reach its jobs, those of its context do."""
    if is_connect(spark):
        return Jobs(spark.addTag, spark.removeTag, spark.interruptTag)
    context = spark.sparkContext
    return Jobs(context.addJobTag, context.removeJobTag, context.cancelJobsWithTag)


def activate(spark: SparkSession) -> None:
    """Let Spark plan in the calling thread with the settings of this session; elsewhere it has its defaults.

    A thread that has a session, as one of a stream, keeps it. Over Connect, the server sees to it.
    """
    if not is_connect(spark):
        kind = spark._get_j_spark_session_class(spark._jvm)  # noqa: SLF001 - there is no public name for it
        if not kind.getActiveSession().isDefined():
            kind.setActiveSession(spark._jsparkSession)  # noqa: SLF001


def _is_stopped(spark: SparkSession) -> bool:
    if is_connect(spark):
        return bool(spark.is_stopped)  # type: ignore[attr-defined]
    java = spark.sparkContext._jsc  # noqa: SLF001 - there is no public name for it
    return java is None or bool(java.sc().isStopped())


def _configuration() -> dict[str, str]:
    """What makes answers those of other engines."""
    return {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.timestampType": "TIMESTAMP_NTZ",
        "spark.sql.ansi.enabled": "true",
    }


def _local(master: str, more: Mapping[str, str] | None = None) -> SparkSession:
    """A classic session in a JVM of its own."""
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    _require_java()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    version = importlib.metadata.version("pyspark")
    options = {"spark.master": master, **_local_options(version), **(more or {}), **settings.spark_conf}
    conf = SparkConf(loadDefaults=False).setAll(list(options.items()))
    # what a statement is refused for is told in the error, not in the log with a trace of Java
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL + 1)
    _log.info("Starting Spark %s; it takes a few seconds, the first time longer, to get its jars", version)
    said = Path(tempfile.gettempdir()) / f"laktory-spark-{os.getpid()}.log"
    with said.open("wb") as out:
        pipes = {"stdin": subprocess.PIPE, "stdout": out, "stderr": out}
        try:
            gateway = launch_gateway(conf, popen_kwargs=pipes)  # type: ignore[no-untyped-call]
            made = SparkSession(SparkContext(conf=conf, gateway=gateway))
        except Exception as error:
            text = said.read_text(encoding="utf-8", errors="replace")
            raise _not_started(error, text) from error
        finally:
            said.unlink(missing_ok=True)
    return made


def _local_options(version: str) -> dict[str, str]:
    """Ready for Avro and Delta, sensible on a small machine."""
    cores = str(os.cpu_count() or 2)
    options = {
        **_configuration(),
        "spark.app.name": "laktory",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Duser.timezone=UTC "
        "-Dderby.stream.error.file=/dev/null",
        # tables outlast the process; nothing of it is started or written before a table is asked for
        "spark.sql.catalogImplementation": "hive",
        "spark.jars.excludes": _SHIPPED,
        "spark.log.level": "ERROR",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": cores,
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": cores,
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    }
    packages = [f"org.apache.spark:spark-avro_2.13:{version}"]
    with suppress(importlib.metadata.PackageNotFoundError):
        delta = importlib.metadata.version("delta-spark")
        packages.append(f"io.delta:delta-spark_{'.'.join(version.split('.')[:2])}_2.13:{delta}")
        options |= {
            "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
            "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
            "spark.databricks.delta.snapshotPartitions": cores,
        }
    return options | {"spark.jars.packages": ",".join(packages)}


@lru_cache(maxsize=1)  # Spark runs once in a process
def _connect_server(master: str) -> str:
    """Where a Connect server of this process listens, started on first need."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    plugin = {
        "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
    }
    # a process that was a client before starts a server only if told that it is one of its own
    os.environ["SPARK_LOCAL_REMOTE"] = "1"
    try:
        _local(master, plugin)
    finally:
        del os.environ["SPARK_LOCAL_REMOTE"]  # else a client that stops takes the server with it
    return f"sc://127.0.0.1:{port}"


def _not_started(error: Exception, said: str) -> RunError | MissingDependencyError:
    if "UnsupportedClassVersionError" in said:
        return MissingDependencyError(f"Spark needs a newer Java; {_JAVA}")
    if found := _UNRESOLVED.search(said):
        msg = f"Spark cannot get its jars ({found[1]}): no repository has them, or none answers"
        hint = "name one with the environment variable DEFAULT_ARTIFACT_REPOSITORY, or jars of yours with 'spark_conf'"
        return RunError(f"{msg}; {hint}: {{spark.jars.packages: '', spark.jars: a.jar,b.jar}}")
    return RunError(f"Spark cannot be started: {message_of(error)}")


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = Path(home, "bin", "java") if home else shutil.which("java")
    if java is None or not Path(java).exists():
        msg = f"dataframe_backend: PYSPARK needs Java{f'; there is none in {home!r}' if home else ''}; {_JAVA}"
        raise MissingDependencyError(msg)


def _sail_address() -> str:
    """Where Sail listens, started within this process on first need."""
    global _sail  # noqa: PLW0603
    if _sail is None:
        os.environ.setdefault("RUST_LOG", "error")
        server = require("pysail.spark", "spark_remote: sail")
        _sail = server.SparkConnectServer(ip="127.0.0.1", port=0)
        _sail.start(background=True)
    host, port = _sail.listening_address
    return f"sc://{host}:{port}"


def _connected(remote: str) -> SparkSession:
    """A session over Spark Connect."""
    # else a program that this process runs may be ended before it begins, by what gRPC does in every child
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    from pyspark.sql import SparkSession

    address, conf = remote, {**_configuration(), **settings.spark_conf}
    if remote == "sail":
        # Sail takes no other folder for tables than one from the root
        address, conf = _sail_address(), {"spark.sql.warehouse.dir": str(Path("spark-warehouse").absolute()), **conf}
    elif remote.startswith("local"):
        address, conf = _connect_server(remote), {}  # the server has it all, also what cannot be set later
    try:
        place = urlsplit(address)
        socket.create_connection((place.hostname or "", place.port or 15002), timeout=_PATIENCE).close()
        made: SparkSession = SparkSession.builder.remote(address).create()
        for key, value in conf.items():
            made.conf.set(key, value)
    except Exception as error:
        _connect_server.cache_clear()
        msg = f"there is no Spark at {remote!r}: {message_of(error)}; check 'spark_remote'"
        raise RunError(msg) from error
    return made
