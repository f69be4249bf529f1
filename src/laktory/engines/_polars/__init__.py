"""The Polars engine."""
