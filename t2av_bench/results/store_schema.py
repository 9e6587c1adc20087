"""The tables of a run's results, and how a file of an earlier version becomes one of today's."""

import json
import sqlite3
from pathlib import Path
from typing import Any

from t2av_bench.results.store_file import APPLICATION_ID

SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS run (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS clips (
    clip TEXT PRIMARY KEY, position INTEGER NOT NULL, item TEXT NOT NULL, generated TEXT, reference TEXT, reason TEXT,
    digest TEXT, reference_digest TEXT, media TEXT, inputs TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS protocols (
    fingerprint TEXT PRIMARY KEY, metric TEXT NOT NULL, document TEXT NOT NULL, description TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS measurements (
    clip TEXT NOT NULL, metric TEXT NOT NULL, fingerprint TEXT NOT NULL, inputs TEXT NOT NULL,
    status TEXT NOT NULL, reason TEXT, detail TEXT NOT NULL, PRIMARY KEY (clip, metric)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scores (
    clip TEXT NOT NULL, metric TEXT NOT NULL, quantity TEXT NOT NULL, fingerprint TEXT NOT NULL,
    status TEXT NOT NULL, value REAL, weight REAL NOT NULL, reason TEXT, PRIMARY KEY (clip, metric, quantity)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS set_scores (
    metric TEXT NOT NULL, quantity TEXT NOT NULL, fingerprint TEXT NOT NULL,
    status TEXT NOT NULL, value REAL, reason TEXT, scored INTEGER NOT NULL, total INTEGER NOT NULL,
    detail TEXT NOT NULL, inputs TEXT, PRIMARY KEY (metric, quantity)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (started TEXT NOT NULL, finished TEXT, document TEXT NOT NULL);
"""


SYNCHRONOUS = "FULL"
"""A killed process must lose nothing that was reported; FULL also survives a power cut."""

# What version 1 lacks; its scores are good, only what they were made from is not recorded for each clip.
_UPGRADES = {1: ("ALTER TABLE clips ADD COLUMN inputs TEXT", "ALTER TABLE set_scores ADD COLUMN inputs TEXT")}


def prepare(connection: sqlite3.Connection) -> None:
    """Make or upgrade the tables, in one transaction, and only then write anything else."""
    connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
    connection.execute("BEGIN IMMEDIATE")
    if not connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
        statements = [*filter(str.strip, _SCHEMA.split(";")), "INSERT INTO run VALUES ('schema_version', '0')"]
    else:
        statements = list(_UPGRADES.get(_version(connection), ()))
    if statements:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        for statement in statements:
            connection.execute(statement)
        connection.execute("UPDATE run SET value = ? WHERE key = 'schema_version'", (json.dumps(SCHEMA_VERSION),))
    connection.execute("COMMIT")
    if _version(connection) == SCHEMA_VERSION:
        connection.execute("PRAGMA journal_mode = WAL")  # others may read while this process writes


def _version(connection: sqlite3.Connection) -> Any:
    row = connection.execute("SELECT value FROM run WHERE key = 'schema_version'").fetchone()
    return None if row is None else json.loads(row[0])


def other_version(folder: Path, version: Any) -> str:
    """What to do with a run of another version."""
    if version in _UPGRADES:
        return (
            f"{folder} was made by an older t2av-bench (schema version {version}, this one reads {SCHEMA_VERSION}): "
            f"'t2av-bench evaluate --config {folder / 'evaluate.toml'}', or the command that made it, scores it again"
        )
    return (
        f"{folder} was made by another t2av-bench (schema version {version}, this one reads {SCHEMA_VERSION}): "
        "install a newer t2av-bench, or run 'evaluate' with another --out folder"
    )
