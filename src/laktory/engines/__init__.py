"""Engines: what computes. `protocol` and `capabilities` stand low and import no engine."""
