"""Spark servers on a disk of their own: the folder of the tests is an empty one to them."""

import contextlib
import os
import shutil
import subprocess
import sys

SPARK = """
import os, sys
here = os.getcwd()
from laktory.engines._spark.connection import _connect_server
from laktory.settings import settings
settings.spark_conf = {
    "spark.sql.warehouse.dir": f"{here}/warehouse",
    "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={here}/metastore;create=true",
}
print(_connect_server("local[2]"), flush=True)
sys.stdin.read()
"""
SAIL = """
import sys
from pysail.spark import SparkConnectServer
server = SparkConnectServer(ip="127.0.0.1", port=0)
server.start(background=True)
print("sc://%s:%s" % server.listening_address, flush=True)
sys.stdin.read()
"""
_NAMESPACES = (
    ("unshare", "--mount"),
    ("unshare", "--user", "--map-root-user", "--mount"),
    ("sudo", "-n", "-E", "unshare", "--mount"),
)
_HIDE = 'mount -t tmpfs none "$1" && cd "$1" && shift && exec "$@"'
_NEEDED = (
    "this test needs a server with a disk of its own: Linux with 'unshare' (util-linux), and the right to mount in a"
    " namespace, as root, by 'sudo' without a password, or by user namespaces"
    " (sysctl kernel.apparmor_restrict_unprivileged_userns=0)"
)


def _namespace(folder):
    for command in _NAMESPACES:
        if shutil.which(command[0]) is None:
            continue
        tried = [*command, "sh", "-c", _HIDE, "sh", str(folder), "true"]
        if subprocess.run(tried, capture_output=True, check=False).returncode == 0:
            return command
    raise AssertionError(_NEEDED)


@contextlib.contextmanager
def server(program, hidden):
    """Where a server listens to which a folder of this machine is another, empty one."""
    command = [*_namespace(hidden), "sh", "-c", _HIDE, "sh", str(hidden), sys.executable, "-c", program]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("LAKTORY_", "SPARK_"))}
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            # log lines come first
            address = next((line.strip() for line in process.stdout if line.startswith("sc://")), None)
            assert address is not None, "the server did not start"
            yield address
        finally:
            process.stdin.close()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
