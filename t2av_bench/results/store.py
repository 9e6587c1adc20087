"""Scores and provenance of one run, in SQLite: ``RUN/results.db``.

One process writes (the parent of the workers). Every measurement is one transaction, so that whatever is in the file is
complete. Nothing that depends on when or how often the command ran is kept beside the scores: an interrupted and
continued run holds the same rows as an undisturbed one (``sessions`` alone tells them apart).

A score belongs to the contents that it was made from (``inputs``). Where a clip's contents are others by now, readers
get a reason instead of the score; a distance between sets belongs to all of its clips in the same way.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import zip_longest
from operator import itemgetter
from pathlib import Path
from typing import Any

from t2av_bench.results.store_file import (
    StoreError,
    explained,
    leave_one_file,
    open_for_reading,
    open_for_writing,
    recognise,
    undamaged,
)
from t2av_bench.results.store_schema import SCHEMA_VERSION, other_version, prepare
from t2av_bench.scores import Protocol, Score, Status


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One score as kept: which clip, which metric by which protocol, which quantity.

    outdated: there is no score of the clip as it is now; the reason says which metric to run again.
    """

    clip: str
    metric: str
    quantity: str
    fingerprint: str
    score: Score
    outdated: bool = False


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
    """The results of one run. Use as a context manager.

    create: open for writing, and make the file where there is none; otherwise nothing on the disk is changed. Every
    method raises StoreError where the file cannot be read or written.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self._path = path
        if not recognise(path) and not create:
            raise StoreError(f"{path.parent} is not a run: it holds no {path.name}; 't2av-bench evaluate' makes one")
        with ExitStack() as stack, undamaged(path):
            if create:
                self._connection = stack.enter_context(closing(open_for_writing(path)))
                prepare(self._connection)
            else:
                self._connection = open_for_reading(path, stack)
            version = self.setting("schema_version")
            if version != SCHEMA_VERSION:
                raise StoreError(other_version(path.parent, version))
            if create:
                stack.callback(leave_one_file, self._connection)
            self._stack = stack.pop_all()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with explained(self._path):
            return self._connection.execute(sql, values).fetchall()

    def _write(self, sql: str, *values: Any) -> int | None:
        """Run one statement; returns the row id of an insertion."""
        with explained(self._path):
            return self._connection.execute(sql, values).lastrowid

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All statements of the block, or none; a block inside of another is part of it."""
        if self._connection.in_transaction:
            yield self._connection
            return
        with explained(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
        try:
            try:
                yield self._connection
            except sqlite3.Error as error:
                with explained(self._path):
                    raise error
            with explained(self._path):
                self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite itself rolls back where the disk is full
                self._connection.execute("ROLLBACK")
            raise

    def setting(self, key: str) -> Any:
        """A value of the ``run`` table, or None."""
        with undamaged(self._path):
            rows = self._query("SELECT value FROM run WHERE key = ?", key)
            return json.loads(rows[0][0]) if rows else None

    def set(self, key: str, value: Any) -> None:
        """Write a value of the ``run`` table."""
        self._write("INSERT OR REPLACE INTO run VALUES (?, ?)", key, _json(value))

    def begin_session(self, document: Mapping[str, Any]) -> int:
        """Record who measures now (versions, device, command); returns the session's row id."""
        session = self._write("INSERT INTO sessions VALUES (?, NULL, ?)", _now(), _json(document))
        assert session is not None
        return session

    def end_session(self, session: int) -> None:
        self._write("UPDATE sessions SET finished = ? WHERE rowid = ?", _now(), session)

    def sessions(self) -> list[dict[str, Any]]:
        """All sessions, oldest first: ``started``, ``finished`` (None: interrupted) and what was recorded."""
        with undamaged(self._path):
            rows = self._query("SELECT started, finished, document FROM sessions ORDER BY rowid")
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
        with undamaged(self._path):
            rows = self._query("SELECT metric, fingerprint, document, description FROM protocols")
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

    def unite(self, shards: "Sequence[Store]") -> None:
        """Take over what shards of one run hold. Their clips take turns, as they did when they were dealt out."""
        with self.transaction() as connection:
            for shard in shards:
                described = shard.protocols().values()
                self.add_protocols((Protocol(**each["protocol"]), each["description"]) for each in described)
            dealt = [shard._query("SELECT * FROM clips ORDER BY position") for shard in shards]
            clips = [row for turn in zip_longest(*dealt) for row in turn if row]
            self.put_clips((row[0], json.loads(row[2]), *row[3:6]) for row in clips)
            self._insert("clips", [(row[0], position, *row[2:]) for position, row in enumerate(clips)])
            for table in ("measurements", "scores"):
                for shard in shards:
                    self._insert(table, shard._query(f"SELECT * FROM {table}"))
            sessions = [row for shard in shards for row in shard._query("SELECT * FROM sessions")]
            known = self._query("SELECT * FROM sessions")
            self._insert("sessions", sorted((row for row in sessions if row not in known), key=itemgetter(0)))
            connection.execute("DELETE FROM set_scores")

    def _insert(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            values = ", ".join("?" * len(rows[0]))
            with explained(self._path):
                self._connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({values})", rows)

    def put_digests(
        self, clip: str, digest: str | None, reference_digest: str | None, inputs: str | None = None
    ) -> None:
        """Record the sha256 of a clip's files (None: cannot be read); facts about other contents are forgotten.

        inputs: identifies all that the clip's scores depend on now; scores of other inputs are outdated. None: unknown.
        """
        self._write(
            "UPDATE clips SET digest = ?1, reference_digest = ?2, inputs = ?3, media = CASE WHEN digest IS ?1 AND "
            "reference_digest IS ?2 THEN media END WHERE clip = ?4",
            digest, reference_digest, inputs, clip,
        )  # fmt: skip

    def put_media(self, clip: str, media: Mapping[str, Any]) -> None:
        """Record what the files of a clip are: ``generated`` and ``reference``, each as MediaInfo says."""
        self._write("UPDATE clips SET media = ? WHERE clip = ?", _json(media), clip)

    def clips(self) -> list[dict[str, Any]]:
        """All clips in order: ``clip``, ``item``, paths, digests, ``media`` and ``reason``."""
        columns = ("clip", "item", "generated", "reference", "reason", "digest", "reference_digest", "media")
        with undamaged(self._path):
            rows = self._query(f"SELECT {', '.join(columns)} FROM clips ORDER BY position")
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
        rows = self._query("SELECT clip, metric, fingerprint, inputs FROM measurements WHERE status = ?", Status.OK)
        return {(clip, metric): (fingerprint, inputs) for clip, metric, fingerprint, inputs in rows}

    def measurements(self, metric: str) -> list[dict[str, Any]]:
        """One metric's measurements in clip order: ``clip``, ``inputs``, ``status``, ``reason``, ``detail``.

        Those of a clip that has changed since are failures with that reason, without detail.
        """
        columns = ("clip", "inputs", "status", "reason", "detail", "outdated")
        with undamaged(self._path):
            rows = self._query(
                f"SELECT clip, m.inputs, status, m.reason, detail, {_OUTDATED} FROM measurements AS m "
                "JOIN clips USING (clip) WHERE metric = ? ORDER BY position",
                metric,
            )
            found = [dict(zip(columns, row, strict=True)) for row in rows]
            for row in found:
                row["detail"] = json.loads(row["detail"])
                if row.pop("outdated"):
                    row |= {"status": str(Status.FAILED), "reason": _changed(metric), "detail": {}}
            return found

    def scores(self) -> list[ScoreRow]:
        """A score for every clip and quantity of the run's metrics, in clip order.

        Where a clip was not measured, or has changed since it was, its score is a failure with that reason.
        """
        with undamaged(self._path):
            rows = self._query(
                "WITH wanted AS (SELECT metric, fingerprint, json_extract(value, '$.name') AS quantity "
                "FROM protocols, json_each(description, '$.quantities') "
                "UNION SELECT metric, fingerprint, quantity FROM scores) "
                "SELECT clip, metric, quantity, w.fingerprint, s.status, s.value, s.reason, s.weight, "
                f"{_OUTDATED} FROM clips CROSS JOIN wanted AS w LEFT JOIN scores AS s USING (clip, metric, quantity) "
                "LEFT JOIN measurements AS m USING (clip, metric) ORDER BY position, metric, quantity"
            )
            return [
                ScoreRow(clip, metric, quantity, fingerprint, Score(Status(status), value, reason, weight))
                if status and not outdated
                else ScoreRow(
                    clip, metric, quantity, fingerprint,
                    Score.failed(_changed(metric) if status else _not_measured(metric)), True,
                )
                for clip, metric, quantity, fingerprint, status, value, reason, weight, outdated in rows
            ]  # fmt: skip

    def put_set_scores(self, rows: Iterable[SetScoreRow]) -> None:
        """Replace the set scores of the metrics named; they belong to the clips as they are now."""
        rows = list(rows)
        with self.transaction() as connection:
            made_from = {metric: self._set_inputs(metric) for metric in {row.metric for row in rows}}
            for metric in made_from:
                connection.execute("DELETE FROM set_scores WHERE metric = ?", (metric,))
            connection.executemany(
                "INSERT INTO set_scores VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        row.metric, row.quantity, row.fingerprint, row.score.status, row.score.value, row.score.reason,
                        row.scored, row.total, _json(row.detail), made_from[row.metric],
                    )
                    for row in rows
                ],
            )  # fmt: skip

    def set_scores(self) -> list[SetScoreRow]:
        """All set scores; one of other clips than the run's, or of clips that have changed since, is a failure."""
        with undamaged(self._path):
            rows = self._query(
                "SELECT metric, quantity, fingerprint, status, value, reason, scored, total, detail, inputs "
                "FROM set_scores ORDER BY metric, quantity"
            )
            current = {metric: self._set_inputs(metric) for metric in {row[0] for row in rows}}
            return [
                SetScoreRow(
                    metric, quantity, fingerprint, Score(Status(status), value, reason), scored, total,
                    json.loads(detail),
                )
                if inputs == current[metric]
                else SetScoreRow(metric, quantity, fingerprint, Score.failed(_other_set(metric)), 0, total)
                for metric, quantity, fingerprint, status, value, reason, scored, total, detail, inputs in rows
            ]  # fmt: skip

    def _set_inputs(self, metric: str) -> str:
        """Identifies what a set score is made from: all clips as they are now, and which of them are measured."""
        rows = self._query(
            "SELECT clips.clip, clips.inputs, m.inputs, m.status FROM clips "
            "LEFT JOIN measurements AS m ON m.clip = clips.clip AND m.metric = ? ORDER BY clips.clip",
            metric,
        )
        return hashlib.sha256(_json(rows).encode()).hexdigest()


_OUTDATED = "clips.inputs IS NOT NULL AND clips.inputs != m.inputs"


def _again(metric: str) -> str:
    return f"run 't2av-bench evaluate' with --metrics {metric} again"


def _changed(metric: str) -> str:
    return f"the file has changed since (or its reference, or its text); {_again(metric)}"


def _not_measured(metric: str) -> str:
    return f"not measured; {_again(metric)}"


def _other_set(metric: str) -> str:
    return f"the clips have changed since, or others are there; {_again(metric)}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _json(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # lone surrogates, which SQLite does not take, have escapes in JSON
        return json.dumps(value, sort_keys=True, allow_nan=False)
    return text
