"""Scores and provenance of one run, in SQLite: ``RUN/results.db``.

One process writes (the parent of the workers). Every measurement is one transaction, so that whatever is in the file is
complete. Nothing that depends on when or how often the command ran is kept beside the scores: an interrupted and
continued run holds the same rows as an undisturbed one (``sessions`` alone tells them apart).
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from t2av_bench.scores import Protocol, Score, Status

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS run (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS clips (
    clip TEXT PRIMARY KEY, position INTEGER NOT NULL, item TEXT NOT NULL, generated TEXT, reference TEXT, reason TEXT,
    digest TEXT, reference_digest TEXT, media TEXT
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
    detail TEXT NOT NULL, PRIMARY KEY (metric, quantity)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (started TEXT NOT NULL, finished TEXT, document TEXT NOT NULL);
"""


class StoreError(ValueError):
    """A results file that cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One score as kept: which clip, which metric by which protocol, which quantity."""

    clip: str
    metric: str
    quantity: str
    fingerprint: str
    score: Score


@dataclass(frozen=True, slots=True)
class SetScoreRow:
    """One set score, with how many of how many clips it covers, and facts worth keeping (numbers of samples)."""

    metric: str
    quantity: str
    fingerprint: str
    score: Score
    scored: int
    total: int
    detail: Mapping[str, Any] = field(default_factory=dict)


class Store:
    """The results of one run. Use as a context manager."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        if not create and not path.is_file():
            raise StoreError(f"{path.parent} is not a run: it holds no {path.name}; 't2av-bench evaluate' makes one")
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=30)
            # A killed process must lose nothing that was reported; FULL also survives a power cut.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            if create:
                self._connection.executescript(_SCHEMA)
                self._connection.execute(
                    "INSERT OR IGNORE INTO run VALUES ('schema_version', ?)", (json.dumps(SCHEMA_VERSION),)
                )
            version = self.setting("schema_version")
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{path} is not a results file ({error}); choose another --out folder") from error
        if version != SCHEMA_VERSION:
            raise StoreError(f"{path} has schema version {version}, this t2av-bench reads {SCHEMA_VERSION}")

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All statements of the block, or none."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def setting(self, key: str) -> Any:
        """A value of the ``run`` table, or None."""
        row = self._connection.execute("SELECT value FROM run WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def set(self, key: str, value: Any) -> None:
        """Write a value of the ``run`` table."""
        self._connection.execute("INSERT OR REPLACE INTO run VALUES (?, ?)", (key, _json(value)))

    def begin_session(self, document: Mapping[str, Any]) -> int:
        """Record who measures now (versions, device, command); returns the session's row id."""
        cursor = self._connection.execute(
            "INSERT INTO sessions VALUES (?, NULL, ?)",
            (datetime.now(UTC).isoformat(timespec="seconds"), _json(document)),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def end_session(self, session: int) -> None:
        self._connection.execute(
            "UPDATE sessions SET finished = ? WHERE rowid = ?",
            (datetime.now(UTC).isoformat(timespec="seconds"), session),
        )

    def sessions(self) -> list[dict[str, Any]]:
        """All sessions, oldest first: ``started``, ``finished`` (None: interrupted) and what was recorded."""
        rows = self._connection.execute("SELECT started, finished, document FROM sessions ORDER BY rowid")
        return [{"started": started, "finished": finished, **json.loads(text)} for started, finished, text in rows]

    def add_protocols(self, protocols: Iterable[tuple[Protocol, Mapping[str, Any]]]) -> None:
        """Record protocols with their metrics' descriptions; rows by another protocol of a metric are stale and go."""
        with self.transaction() as connection:
            for protocol, description in protocols:
                for table in ("protocols", "measurements", "scores", "set_scores"):
                    connection.execute(
                        f"DELETE FROM {table} WHERE metric = ? AND fingerprint != ?",
                        (protocol.id, protocol.fingerprint),
                    )
                connection.execute(
                    "INSERT OR REPLACE INTO protocols VALUES (?, ?, ?, ?)",
                    (protocol.fingerprint, protocol.id, _json(protocol.as_dict()), _json(description)),
                )

    def protocols(self) -> dict[str, dict[str, Any]]:
        """Metric id -> its ``fingerprint``, ``protocol`` document and ``description`` (title, quantities, …)."""
        rows = self._connection.execute("SELECT metric, fingerprint, document, description FROM protocols")
        return {
            metric: {
                "fingerprint": fingerprint,
                "protocol": json.loads(document),
                "description": json.loads(description),
            }
            for metric, fingerprint, document, description in rows
        }

    def put_clips(
        self, rows: Iterable[tuple[str, Mapping[str, Any], str | bytes | None, str | bytes | None, str | None]]
    ) -> None:
        """Set the plan: (clip id, item, generated path, reference path, reason), in order. Clips not named go.

        Paths that are not UTF-8 come as bytes.
        """
        rows = list(rows)
        with self.transaction() as connection:
            names = _json([row[0] for row in rows])
            for table in ("clips", "measurements", "scores"):
                connection.execute(f"DELETE FROM {table} WHERE clip NOT IN (SELECT value FROM json_each(?))", (names,))
            for position, (clip, item, generated, reference, reason) in enumerate(rows):
                connection.execute(
                    "INSERT INTO clips (clip, position, item, generated, reference, reason) VALUES (?, ?, ?, ?, ?, ?) "
                    "ON CONFLICT (clip) DO UPDATE SET position = excluded.position, item = excluded.item, "
                    "generated = excluded.generated, reference = excluded.reference, reason = excluded.reason",
                    (clip, position, _json(item), generated, reference, reason),
                )

    def put_digests(self, clip: str, digest: str | None, reference_digest: str | None) -> None:
        """Record the sha256 of a clip's files (None: cannot be read); facts about other contents are forgotten."""
        self._connection.execute(
            "UPDATE clips SET digest = ?1, reference_digest = ?2, media = CASE WHEN digest IS ?1 AND "
            "reference_digest IS ?2 THEN media END WHERE clip = ?3",
            (digest, reference_digest, clip),
        )

    def put_media(self, clip: str, media: Mapping[str, Any]) -> None:
        """Record what the files of a clip are: ``generated`` and ``reference``, each as MediaInfo says."""
        self._connection.execute("UPDATE clips SET media = ? WHERE clip = ?", (_json(media), clip))

    def clips(self) -> list[dict[str, Any]]:
        """All clips in order: ``clip``, ``item``, paths, digests, ``media`` and ``reason``."""
        columns = ("clip", "item", "generated", "reference", "reason", "digest", "reference_digest", "media")
        rows = self._connection.execute(f"SELECT {', '.join(columns)} FROM clips ORDER BY position")
        found = [dict(zip(columns, row, strict=True)) for row in rows]
        for row in found:
            for side in ("generated", "reference"):
                row[side] = os.fsdecode(row[side]) if isinstance(row[side], bytes) else row[side]
            row["item"] = json.loads(row["item"])
            row["media"] = json.loads(row["media"]) if row["media"] else None
        return found

    def put_measurement(
        self,
        clip: str,
        protocol: Protocol,
        inputs: str,
        scores: Mapping[str, Score],
        status: Status,
        reason: str | None,
        detail: Mapping[str, Any],
    ) -> None:
        """Write one metric's scores of one clip, whole or not at all."""
        fingerprint = protocol.fingerprint
        with self.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO measurements VALUES (?, ?, ?, ?, ?, ?, ?)",
                (clip, protocol.id, fingerprint, inputs, status, reason, _json(detail)),
            )
            connection.execute("DELETE FROM scores WHERE clip = ? AND metric = ?", (clip, protocol.id))
            connection.executemany(
                "INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (clip, protocol.id, name, fingerprint, score.status, score.value, score.weight, score.reason)
                    for name, score in scores.items()
                ],
            )

    def finished(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Measurements that need no second try: (clip, metric) -> (fingerprint, inputs)."""
        rows = self._connection.execute(
            "SELECT clip, metric, fingerprint, inputs FROM measurements WHERE status = ?", (Status.OK,)
        )
        return {(clip, metric): (fingerprint, inputs) for clip, metric, fingerprint, inputs in rows}

    def measurements(self, metric: str) -> list[dict[str, Any]]:
        """One metric's measurements in clip order: ``clip``, ``inputs``, ``status``, ``reason``, ``detail``."""
        rows = self._connection.execute(
            "SELECT clip, inputs, status, measurements.reason, detail FROM measurements JOIN clips USING (clip) "
            "WHERE metric = ? ORDER BY position",
            (metric,),
        )
        columns = ("clip", "inputs", "status", "reason", "detail")
        found = [dict(zip(columns, row, strict=True)) for row in rows]
        for row in found:
            row["detail"] = json.loads(row["detail"])
        return found

    def scores(self) -> list[ScoreRow]:
        """All per-clip scores, in clip order."""
        rows = self._connection.execute(
            "SELECT clip, metric, quantity, fingerprint, status, value, scores.reason, weight FROM scores "
            "JOIN clips USING (clip) ORDER BY position, metric, quantity"
        )
        return [
            ScoreRow(clip, metric, quantity, fingerprint, Score(Status(status), value, reason, weight))
            for clip, metric, quantity, fingerprint, status, value, reason, weight in rows
        ]

    def put_set_scores(self, rows: Iterable[SetScoreRow]) -> None:
        """Replace the set scores of the metrics named."""
        rows = list(rows)
        with self.transaction() as connection:
            for metric in {row.metric for row in rows}:
                connection.execute("DELETE FROM set_scores WHERE metric = ?", (metric,))
            connection.executemany(
                "INSERT INTO set_scores VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        row.metric, row.quantity, row.fingerprint,
                        row.score.status, row.score.value, row.score.reason, row.scored, row.total, _json(row.detail),
                    )
                    for row in rows
                ],
            )  # fmt: skip

    def set_scores(self) -> list[SetScoreRow]:
        """All set scores."""
        rows = self._connection.execute(
            "SELECT metric, quantity, fingerprint, status, value, reason, scored, total, detail FROM set_scores "
            "ORDER BY metric, quantity"
        )
        return [
            SetScoreRow(
                metric, quantity, fingerprint, Score(Status(status), value, reason), scored, total, json.loads(detail)
            )
            for metric, quantity, fingerprint, status, value, reason, scored, total, detail in rows
        ]


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
