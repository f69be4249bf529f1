"""Where outputs lie: locks, staging, and commits that are finished whatever happens to the process.

A run locks its targets, lets the engine write beside them (staging), checks, then commits: a small intent
record names everything that is about to change, then each change is one rename or one Delta log entry.
Killed before the record is on disk, nothing has happened; killed after, whoever locks one of the targets
next finishes the commit. Readers take no lock and see the old or the new.
"""

from __future__ import annotations

from laktory.storage.commits import Change, Committed, commit, is_rename, pointed_record, read_record
from laktory.storage.delta import delta_schema
from laktory.storage.delta import holds as delta_holds
from laktory.storage.delta import version_of as delta_version
from laktory.storage.files import append_line, remove, sink_errors, sync, write_text
from laktory.storage.locks import Locks, recover, require_files
from laktory.storage.staging import Staging, discard, open_staging, prepare
from laktory.storage.targets import Target, exists, file_name, is_other, staging_folder, target_of

__all__ = [
    "Change",
    "Committed",
    "Locks",
    "Staging",
    "Target",
    "append_line",
    "commit",
    "delta_holds",
    "delta_schema",
    "delta_version",
    "discard",
    "exists",
    "file_name",
    "is_other",
    "is_rename",
    "open_staging",
    "pointed_record",
    "prepare",
    "read_record",
    "recover",
    "remove",
    "require_files",
    "sink_errors",
    "staging_folder",
    "sync",
    "target_of",
    "write_text",
]
