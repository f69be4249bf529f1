"""Moments in UTC, for scripts."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["unix_timestamp", "utc_datetime"]


def utc_datetime(value: float | str | datetime | None = None) -> datetime:
    """A moment with the time zone UTC.

    Parameters
    ----------
    value : seconds since 1970-01-01 UTC, ISO 8601 text, or a datetime; without a time zone it is taken as UTC.
        Default: now

    Raises
    ------
    ValueError
        If a text is not ISO 8601.
    """
    if value is None:
        return datetime.now(UTC)
    if isinstance(value, (int, float)):
        return datetime.fromtimestamp(value, UTC)
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def unix_timestamp(value: str | datetime | None = None) -> float:
    """Seconds since 1970-01-01 UTC of a moment as `utc_datetime` takes it; default: now."""
    return utc_datetime(value).timestamp()
