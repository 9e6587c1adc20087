"""A run folder, read once: what tables, pages, studies, comparisons and the API know of a run."""

import hashlib
import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.metrics.base import Floor
from t2av_bench.results.aggregate import summarise
from t2av_bench.results.columns import RESULTS, Column, columns
from t2av_bench.results.features import FeatureStore
from t2av_bench.results.origins import Origin, from_document
from t2av_bench.results.recorded import ItemRecord, QuantityRecord, Recorded, digest
from t2av_bench.results.store import ScoreRow, Store, StoreError
from t2av_bench.scores import Protocol, Score, Status
from t2av_bench.statistics.samples import GROUP_KEYS, Grouping, grouping
from t2av_bench.utils.files import file_sha256
from t2av_bench.utils.reasons import said, unexpected
from t2av_bench.utils.text import some


@dataclass
class RunResult:
    """One run as it was when it was opened. Features, and digests of what items name, are read when they are asked for.

    name: the system's. rows: clip -> its row of the database (``item``, paths, digests, ``media``, ``reason``), in
    order. scores: (metric id, quantity name) -> clip -> score, of every clip. described: metric id -> ``fingerprint``,
    ``protocol`` and ``description``. outdated: (clip, metric id) without a score of the clip as it is now. settings:
    what the run was asked for (``claim``), the training ``step``, the folder of its ``features``, the clips'
    ``origins``. sessions: who
    measured. notice: told of what takes long.
    """

    name: str
    path: Path
    columns: list[Column]
    rows: Mapping[str, Mapping[str, Any]]
    scores: Mapping[tuple[str, str], Mapping[str, Score]]
    described: Mapping[str, Mapping[str, Any]]
    outdated: frozenset[tuple[str, str]] = frozenset()
    settings: Mapping[str, Any] = field(default_factory=dict)
    sessions: Sequence[Mapping[str, Any]] = ()
    notice: Callable[[str], None] | None = None
    _told: set[str] = field(default_factory=set, compare=False, repr=False)
    _alike: list[tuple["RunResult", frozenset[str]]] = field(
        default_factory=list, init=False, compare=False, repr=False
    )

    @cached_property
    def clips(self) -> list[str]:
        """The clips' ids, in order."""
        return list(self.rows)

    @property
    def claim(self) -> Mapping[str, Any]:
        """What was evaluated: ``generated``, ``reference``, ``manifest``; empty where it is not known."""
        return self.settings.get("claim") or {}

    @cached_property
    def items(self) -> dict[str, ItemRecord]:
        """Clip -> what it asked for, without the files beside the reference (see ``recorded``).

        Clips of two runs are paired where these are equal.
        """
        return {clip: _item(row) for clip, row in self.rows.items()}

    def asked_alike(self, other: "RunResult") -> frozenset[str]:
        """The clips that both runs have and that asked for the same in both; looked up once for each pair of runs."""
        for known, found in self._alike:
            if known is other:
                return found
        found = frozenset(clip for clip, item in self.items.items() if other.items.get(clip) == item)
        self._alike.append((other, found))
        return found

    @cached_property
    def protocols(self) -> dict[str, Protocol]:
        """Metric id -> protocol."""
        return {metric: Protocol(**entry["protocol"]) for metric, entry in self.described.items()}

    @cached_property
    def origins(self) -> dict[str, tuple[Origin, ...]]:
        """Clip -> how it came about, where its record says anything that readers should know."""
        held = from_document(self.settings.get("origins"))
        return {clip: held[clip] for clip in self.clips if clip in held}

    @cached_property
    def groups(self) -> Grouping | None:
        """Clips that belong together, see ``statistics.samples``."""
        return grouping({clip: row["item"] for clip, row in self.rows.items()})

    @cached_property
    def floors(self) -> dict[str, list[Floor]]:
        """Metric id -> what real clips score, where the metric knows it."""
        return {
            metric: [Floor(**floor) for floor in entry["description"].get("floors", ())]
            for metric, entry in self.described.items()
        }

    @cached_property
    def features(self) -> FeatureStore:
        """Where the run kept its features: the cache that its database names, else the run folder itself."""
        device = str(self.sessions[-1].get("device") or "cpu").split()[0] if self.sessions else "cpu"
        return FeatureStore(self.settings.get("features") or self.path / "features", device)

    @cached_property
    def inputs(self) -> dict[str, dict[str, str]]:
        """Metric id -> clip -> key of its features, of clips that are measured as they are now."""
        found: dict[str, dict[str, str]] = {}
        with self.store() as store:
            for (clip, metric), (_, inputs) in store.finished().items():
                if (clip, metric) not in self.outdated:
                    found.setdefault(metric, {})[clip] = inputs
        return found

    def store(self) -> Store:
        """The database, for what is not kept in memory (details of the measurements)."""
        return Store(self.path / RESULTS)

    def languages(self) -> dict[str, int]:
        """Primary language subtag (``zh``; empty: not given) -> number of clips, in order of appearance."""
        found: dict[str, int] = {}
        for clip in self.clips:
            found[self.language(clip)] = found.get(self.language(clip), 0) + 1
        return found

    def language(self, clip: str) -> str:
        return (self.items[clip].language or "").split("-")[0].lower()

    def score_rows(self) -> Iterator[ScoreRow]:
        """Every score, in clip order."""
        ordered = sorted(self.scores.items())
        for clip in self.rows:
            for (metric, quantity), scores in ordered:
                yield ScoreRow(clip, metric, quantity, self.described[metric]["fingerprint"], scores[clip],
                               (clip, metric) in self.outdated)  # fmt: skip

    @cached_property
    def failures(self) -> list[dict[str, Any]]:
        """Scores that failed (not those that do not apply), in clip order: clip, metric, quantity and reason.

        ``outdated``: of a metric that was not among the last command's, and whose clip has changed or come since.
        """
        return [
            {"clip": row.clip, "metric": row.metric, "quantity": row.quantity, "reason": row.score.reason,
             "outdated": row.outdated}
            for row in self.score_rows() if row.score.status is Status.FAILED
        ]  # fmt: skip

    def pseudo_values(self, metric: str, quantity: str, clips: Iterable[str]) -> dict[str, float]:
        """Clip -> what it adds to a distance between sets, from the run's features. Raises Unscorable.

        Those of an FID take half a minute for 200 clips, so they are kept beside the run's features, by content.
        """
        chosen = sorted(clips)
        found = self._of_features(metric, quantity, chosen, "pseudo")
        return dict(zip(chosen, found.tolist(), strict=True))

    def set_score(self, metric: str, quantity: str, clips: Iterable[str]) -> Score:
        """A distance between sets over some of the clips that were measured, from the run's features; kept likewise."""
        wanted = set(clips)
        chosen = [clip for clip in self.clips if clip in wanted]  # metrics aggregate in the items' order
        try:
            return Score.ok(float(self._of_features(metric, quantity, chosen, "set")[0]))
        except Unscorable as error:
            return Score.failed(str(error))

    def _of_features(self, metric: str, quantity: str, clips: Sequence[str], what: str) -> np.ndarray:
        """What a set metric makes of the clips' features: ``pseudo``-values (n,), or the value of the ``set`` (1,)."""
        try:
            inputs = self.inputs.get(metric, {})
        except StoreError as error:
            raise Unscorable(str(error)) from error
        document = json.dumps([[clip, inputs.get(clip)] for clip in clips])
        content, fingerprint = hashlib.sha256(document.encode()).hexdigest(), self.described[metric]["fingerprint"]
        kept, suffix = FeatureStore(self.path / "features"), f"{what}-{quantity}"
        found = kept.get(content, fingerprint, suffix)
        if found is None:
            if self.notice and what == "pseudo" and quantity not in self._told:  # of several choices of clips, perhaps
                self.notice(f"{self.name}: what each clip adds to {quantity}, computed once")
                self._told.add(quantity)
            arrays = [self._measured(clip, inputs, fingerprint) for clip in clips]
            found = {"values": self._computed(metric, quantity, arrays, what)}
            try:
                kept.put(content, fingerprint, suffix, found)
            except OSError:
                pass  # a run folder that cannot be written is read all the same
        return found["values"]

    def _computed(
        self, id: str, quantity: str, features: Sequence[Mapping[str, np.ndarray]], what: str
    ) -> np.ndarray:  # fmt: skip
        """The same by the metric itself. Raises Unscorable where it is not installed as the run had it."""
        from t2av_bench.metrics import create, metric_ids
        from t2av_bench.metrics.base import SetMetric
        from t2av_bench.metrics.check import check, score

        options = self.described[id]["description"].get("options")
        try:
            metric = create(id, options=options) if id in metric_ids() else None
        except ValueError as error:  # a broken plug-in, or one that does not take these options any more
            raise Unscorable(str(error)) from error
        wanted = f"what each clip adds to {quantity}" if what == "pseudo" else f"the {quantity} of some of the clips"
        if not isinstance(metric, SetMetric):
            raise Unscorable(f"{id} is not installed here, and only it knows {wanted}")
        measured, here = (Protocol(id, each.parameters) for each in (self.protocols[id], metric.protocol))
        if measured.fingerprint != here.fingerprint:
            raise Unscorable(
                f"the run measured {id} with other parameters than this t2av-bench would say {wanted} with "
                f"({measured.difference(here)}): evaluate it again"
            )
        try:
            if what == "set":
                (asked,) = (each for each in metric.quantities if each.name == quantity)
                value = score(asked, check(metric, metric.aggregate(features), of_set=True))
                if value.value is None:
                    raise Unscorable(str(value.reason))
                return np.array([value.value], dtype=np.float64)
            values = np.asarray(metric.pseudo_values(features, quantity), dtype=np.float64)
        except Unscorable:
            raise
        except NotApplicable as error:
            raise Unscorable(said(error)) from error
        except Exception as error:  # a plug-in's defect
            raise Unscorable(f"{id}: {unexpected(error)}") from error
        if values.shape != (len(features),) or not np.isfinite(values).all():
            raise Unscorable(f"{id} gave pseudo-values {values.shape}, expected a finite number for each of the clips")
        return values

    def _measured(self, clip: str, inputs: Mapping[str, str], fingerprint: str) -> dict[str, np.ndarray]:
        arrays = self.features.get(inputs[clip], fingerprint, "measurement") if clip in inputs else None
        if arrays is None:
            raise Unscorable(
                f"the features of {clip} are not in {self.features.folder}: keep the run's features (or its --cache)"
            )
        return arrays

    @cached_property
    def records(self) -> dict[tuple[str, str], QuantityRecord]:
        """(metric id, quantity name) -> the quantity by clip."""
        return {(each.metric, each.quantity.name): self._quantity(each) for each in self.columns}

    @cached_property
    def recorded(self) -> Recorded:
        """The run as comparisons read it."""
        items = {
            clip: replace(
                item, reference_voice=_file_digest(self.rows[clip]["item"].get("reference_voice")),
                identity_image=_file_digest(self.rows[clip]["item"].get("identity_image")),
            ) for clip, item in self.items.items()
        }  # fmt: skip
        # A description is neither better nor worse.
        compared = {
            key: each for key, each in self.records.items()
            if each.quantity.direction != "none" or each.quantity.is_shift
        }  # fmt: skip
        return Recorded(self.name, self.path, items, self.protocols, compared, self._command())

    def over(self, column: Column, clips: Sequence[str]) -> Column:
        """A column over some of the clips; a distance between sets is made again, from their features."""
        if len(clips) == len(self.clips):
            return column
        quantity, scores = column.quantity, self.scores[column.metric, column.quantity.name]
        summary = summarise(quantity, [scores[clip] for clip in clips])
        if quantity.aggregate == "set" and summary.scored:
            there = [clip for clip in clips if scores[clip].value is not None]
            summary = replace(summary, score=self.set_score(column.metric, quantity.name, there), penalised=None)
        return replace(column, summary=summary)

    def restricted(self, clips: Iterable[str]) -> "RunResult":
        """The run as if it had some of its clips alone."""
        wanted = set(clips)
        chosen = [clip for clip in self.clips if clip in wanted]
        return replace(
            self, columns=[self.over(column, chosen) for column in self.columns],
            rows={clip: self.rows[clip] for clip in chosen},
            scores={key: {clip: mine[clip] for clip in chosen} for key, mine in self.scores.items()},
            outdated=frozenset((clip, metric) for clip, metric in self.outdated if clip in wanted),
        )  # fmt: skip

    def _quantity(self, column: Column) -> QuantityRecord:
        quantity, whole = column.quantity, column.summary.score
        mine = self.scores.get((column.metric, quantity.name), {})
        values = {clip: float(score.value) for clip, score in mine.items() if score.value is not None}
        missing = {clip: (str(score.status), str(score.reason)) for clip, score in mine.items() if clip not in values}
        record = QuantityRecord(
            column.metric, quantity, column.stand_in, whole.value, whole.reason, tuple(sorted(values)), missing, values
        )
        if quantity.aggregate == "set":
            record.values = None
            record.pseudo_values = partial(self.pseudo_values, column.metric, quantity.name)
        elif quantity.aggregate == "weighted" or any(mine[clip].weight != 1.0 for clip in values):
            record.weights = {clip: mine[clip].weight for clip in values}
        return record

    def _command(self) -> str:
        """The command that scores the run's clips again."""
        given = {f"--{key}": self.claim.get(key) for key in ("generated", "reference", "manifest")}
        parts = [part for name, value in given.items() if value for part in (name, str(value))]
        return shlex.join(["t2av-bench", "evaluate", *parts, "--out", str(self.path)])


def open_run(folder: Path, notice: Callable[[str], None] | None = None) -> RunResult:
    """Read a run folder. Raises StoreError where it is none; of an experiment's folder it names the runs."""
    if (runs := run_folders(folder)) != [folder]:
        raise StoreError(
            f"{folder} is the folder of an experiment, not of one run: name one of its runs, {some(map(str, runs))}"
        )
    with Store(folder / RESULTS) as store:
        settings = {key: store.setting(key) for key in ("claim", "step", "features", "origins")}
        described = store.protocols()
        rows = {row["clip"]: row for row in store.clips()}
        scores: dict[tuple[str, str], dict[str, Score]] = {}
        outdated = set()
        for row in store.scores():
            scores.setdefault((row.metric, row.quantity), {})[row.clip] = row.score
            if row.outdated:
                outdated.add((row.clip, row.metric))
        name = settings["claim"]["name"] if settings["claim"] else folder.name
        return RunResult(
            name, folder, columns(described, scores, store.set_scores()), rows, scores, described, frozenset(outdated),
            settings, store.sessions(), notice,
        )  # fmt: skip


def run_folders(folder: Path) -> list[Path]:
    """The runs below the folder of an experiment (``t2av-bench run``), by name; of any other folder that itself."""
    below = [] if (folder / RESULTS).exists() else sorted((folder / "runs").glob(f"*/{RESULTS}"))
    return [path.parent for path in below] or [folder]


def system_names(runs: Sequence[RunResult | Recorded], names: Sequence[str] | None = None) -> list[str]:
    """The systems' names, their own or those given, with their folders where two are alike."""
    found = [run.name for run in runs] if names is None else list(names)
    return [f"{name} ({run.path})" if found.count(name) > 1 else name for name, run in zip(found, runs, strict=True)]


def _item(row: Mapping[str, Any]) -> ItemRecord:
    item = row["item"]
    return ItemRecord(
        text=digest(item.get("text")),
        language=item.get("language"),
        reference=_short(row["reference_digest"]),
        generated=_short(row["digest"]),
        **{key: digest(str(item[key])) for key in GROUP_KEYS if item.get(key)},
    )


def _short(sha256: str | None) -> str | None:
    return sha256[:16] if sha256 else None


def _file_digest(path: str | None) -> str | None:
    """Of a file that the run names but whose digest it does not keep; None where the file is elsewhere by now."""
    if path is None:
        return None
    try:
        return _short(file_sha256(path))
    except OSError:
        return None
