"""Which Spark session is used, and what is said where there is none; each in a process that is new to Spark."""

import os
import subprocess
import sys

RUN = """
import sys
from laktory import models
import laktory
laktory.settings.log_level = "ERROR"
{before}
made = models.Pipeline(
    name="p",
    dataframe_backend="PYSPARK",
    nodes=[
        {{
            "name": "a",
            "source": {{"data": {{"x": [1, 2]}}}},
            "sinks": [{{"path": "o.parquet", "format": "PARQUET"}}],
        }}
    ],
)
try:
    made.execute()
except laktory.exceptions.LaktoryError as error:
    print(type(error).__name__, error)
else:
    print("done", made.last_run["nodes"][0]["rows_out"])
{after}
"""


def run(tmp_path, before="", after="", **environment):
    env = {name: value for name, value in os.environ.items() if name != "LAKTORY_SPARK_REMOTE"}
    env |= {name: value for name, value in environment.items() if value is not None}
    for name in [name for name, value in environment.items() if value is None]:
        env.pop(name, None)
    command = [sys.executable, "-c", RUN.format(before=before, after=after)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_without_java_the_message_says_what_to_install(tmp_path):
    said = run(tmp_path, PATH=str(tmp_path), JAVA_HOME=None)
    assert said.startswith("RunError node 'a': ")
    assert "dataframe_backend: PYSPARK needs Java; install Java 17" in said
    assert "'spark_remote: sail' needs no Java" in said
    assert not (tmp_path / "o.parquet").exists()


def test_a_java_home_without_java_is_named(tmp_path):
    assert f"there is none in '{tmp_path}'" in run(tmp_path, JAVA_HOME=str(tmp_path))


def test_nobody_at_the_remote_place(tmp_path):
    said = run(tmp_path, LAKTORY_SPARK_REMOTE="sc://127.0.0.1:1")
    assert "there is no Spark at 'sc://127.0.0.1:1': " in said
    assert "check 'spark_remote'" in said


def test_sail_needs_no_java(tmp_path):
    assert run(tmp_path, LAKTORY_SPARK_REMOTE="sail", PATH=str(tmp_path), JAVA_HOME=None) == "done 2"


MINE = """
from pysail.spark import SparkConnectServer
from pyspark.sql import SparkSession

server = SparkConnectServer(ip="127.0.0.1", port=0)
server.start(background=True)
spark = SparkSession.builder.remote("sc://%s:%s" % server.listening_address).create()
assert laktory.register_spark_session(spark) is spark is laktory.get_spark_session()
"""


def test_a_session_of_the_user_is_used_and_not_stopped(tmp_path):
    said = run(tmp_path, MINE, "print('alive', spark.range(3).count())")
    assert said == "alive 3"
    assert (tmp_path / "o.parquet").exists()


def test_a_registered_session_that_was_stopped_is_told(tmp_path):
    assert "the Spark session that was registered is stopped" in run(tmp_path, MINE + "spark.stop()")


def test_what_is_no_session_is_refused(tmp_path):
    said = run(tmp_path, "try:\n  laktory.register_spark_session(3)\nexcept ValueError as e:\n  print(e); sys.exit()")
    assert said == "a Spark session is expected, found 'int'"


def test_jars_that_nobody_has(tmp_path):
    said = run(tmp_path, "laktory.settings.spark_conf = {'spark.jars.packages': 'io.laktory:nothing:1.0'}")
    assert "Spark cannot get its jars (io.laktory" in said
    assert "DEFAULT_ARTIFACT_REPOSITORY" in said
