"""The suite gives the same verdict on the same code: hypothesis draws the same examples every time."""

import json
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings


def pytest_addoption(parser):
    parser.addoption(
        "--spark", choices=("sail", "classic", "connect"), default="sail", help="what answers for the backend PYSPARK"
    )


def pytest_configure(config):
    # a process speaks to classic Spark or over Spark Connect, never both
    remote = {"sail": "sail", "classic": None, "connect": "local[2]"}[config.getoption("--spark")]
    os.environ.pop("LAKTORY_SPARK_REMOTE", None)
    if remote is not None:
        os.environ["LAKTORY_SPARK_REMOTE"] = remote
    # tables of this process: a session keeps the folders that it began with
    place = Path(tempfile.mkdtemp(prefix="laktory-tables-"))
    config.add_cleanup(lambda: shutil.rmtree(place, ignore_errors=True))
    conf = {"spark.sql.warehouse.dir": str(place / "warehouse")}
    if remote != "sail":
        conf["spark.hadoop.javax.jdo.option.ConnectionURL"] = f"jdbc:derby:;databaseName={place}/metastore;create=true"
    os.environ["LAKTORY_SPARK_CONF"] = json.dumps(conf)


settings.register_profile("suite", derandomize=True)
settings.register_profile("search", max_examples=2000)
settings.load_profile("suite")
