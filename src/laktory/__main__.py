"""``python -m laktory``."""

from __future__ import annotations

from laktory.cli import app

if __name__ == "__main__":
    app(prog_name="laktory")
