"""What starting costs: imports, and `laktory validate` of 500 nodes, against importing pydantic.

`import pydantic` alone loads little of it: its classes come on first use. So the same is shown against
`from pydantic import BaseModel`, which any program that declares a model pays.

    python benchmarks/imports.py [--rounds 11]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

from measure import alternate, process, ratio, table

NODES = 500
STATEMENTS = {
    "import pydantic": "import pydantic",
    "from pydantic import BaseModel": "from pydantic import BaseModel",
    "import laktory": "import laktory",
    "import laktory.models": "import laktory.models",
    "from laktory.models import Pipeline": "from laktory.models import Pipeline",
}


def pipeline(nodes: int) -> str:
    """YAML of a pipeline with files, SQL and methods in it."""
    node = """\
- name: n{index}
  source:
    path: ./data/in{index}/
    format: JSONL
  transformer:
    nodes:
    - expr: SELECT id, CAST(at AS TIMESTAMP) AS at FROM {{df}} WHERE id > {index}
    - func_name: unique
      func_kwargs:
        subset: [id]
  sinks:
  - path: ./data/out{index}.parquet
    format: PARQUET
"""
    return "name: wide\nnodes:\n" + "".join(node.format(index=index) for index in range(nodes))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    command = str(Path(sys.executable).parent / "laktory")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pipeline.yaml").write_text(pipeline(NODES), encoding="utf-8")
        runs = {"python, nothing imported": lambda: process([sys.executable, "-c", "pass"])}
        for name, statement in STATEMENTS.items():
            runs[name] = lambda statement=statement: process(
                [sys.executable, "-c", f"{statement}; import sys; print(len(sys.modules))"]
            )
        runs["laktory --help"] = lambda: process([command, "--help"])
        runs[f"laktory validate, {NODES} nodes"] = lambda: process([command, "validate"], cwd=folder)
        for run in runs.values():  # not measured: writes byte code
            run()
        found = alternate(options.rounds, runs)
    bare = [one.seconds for one in found["python, nothing imported"]]
    net = {
        name: [one.seconds - start for one, start in zip(many, bare, strict=True)]
        for name, many in found.items()
        if many is not found["python, nothing imported"]
    }
    lines = [
        [
            name,
            found[name][0].last_line if name in STATEMENTS else "",
            f"{median(seconds) * 1000:.0f} ms",
            *(f"{ratio(seconds, net[base]):.2f}" for base in list(STATEMENTS)[:2]),
        ]
        for name, seconds in net.items()
    ]
    title = f"Starting, beyond the {median(bare) * 1000:.0f} ms of Python itself, {options.rounds} rounds"
    table(title, ["", "modules", "time", "÷ import pydantic", "÷ from pydantic import BaseModel"], lines)


if __name__ == "__main__":
    main()
