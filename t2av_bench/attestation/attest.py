"""Score known clips, hold the values to the published ones, and certify that they agree.

What can be known without scoring comes first: digests of weights and clips, the protocol's rules, and what the stages
make of probes. A fault there has its name, and nothing is scored for it. Then ``evaluate`` scores the clips into a run
folder, so that the same call continues, and the values are compared.
"""

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2av_bench.attestation import certificate, loudness, probes
from t2av_bench.attestation.agreement import Found, compare
from t2av_bench.attestation.reference import Reference
from t2av_bench.errors import MediaError, NotApplicable
from t2av_bench.evaluation.config import EvaluateConfig, check_device
from t2av_bench.evaluation.evaluate import Progress, evaluate
from t2av_bench.evaluation.provenance import environment
from t2av_bench.media import legacy
from t2av_bench.media.clip import Clip
from t2av_bench.media.resample import to_int16
from t2av_bench.metrics import create
from t2av_bench.results.run import open_run
from t2av_bench.scores import Status
from t2av_bench.utils.checks import Step, documents, failed
from t2av_bench.utils.config import ConfigError
from t2av_bench.utils.files import json_text, link, write_text
from t2av_bench.utils.progress import Notice, OnStep
from t2av_bench.utils.progress import Step as At
from t2av_bench.utils.text import some
from t2av_bench.weights.needs import lacks

_NAMES = {"syncnet_v2": "checkpoint", "sfd_face": "detector", "shots": "tracks", "syncnet": "checkpoint"}
"""Weights, or part of a protocol -> the fault's name where it is another one."""


@dataclass(frozen=True, slots=True)
class Attestation:
    """What ``attest`` found. steps: all of them; facts: what a certificate holds, empty while a fault stops it."""

    reference: Reference
    steps: tuple[Step, ...]
    facts: Mapping[str, Any]

    @property
    def faults(self) -> dict[str, str]:
        """Name -> what is wrong, in words; empty where all is well."""
        found: dict[str, str] = {}
        for name, status, words in self.steps:
            if status == "failed":
                found[name] = f"{found[name]}; {words}" if name in found else words
        return found

    def write(self, path: Path) -> None:
        """Write the certificate. Raises ValueError, which names the faults, where there is nothing to attest."""
        if self.faults:
            raise ValueError(f"there is nothing to attest: {', '.join(self.faults)} failed")
        certificate.write(path, self.facts)


def attest(
    reference: Reference, source: Path, out: Path, *, on_step: OnStep, notice: Notice, device: str = "cpu",
    workers: int | None = None,
) -> Attestation:  # fmt: skip
    """Hold this machine's pipeline to a reference. source: the folder with its clips. out: the run's folder.

    Raises NotApplicable where weights, packages or the ffmpeg program are missing, ConfigError without any clip and for
    a run of another program, ValueError for a device that is not there. Everything else is a step.
    """
    check_device(device)
    steps, bound, digests = examine(reference, source, device, notice)
    if failed(steps):
        return Attestation(reference, tuple(steps), {})
    _same_program(bound, reference.metric, out)
    found = score(reference, source, out, device, workers, on_step, notice)
    agreed = compare(reference, found)
    if certificate.bound(reference) != bound or certificate.clip_digests(reference, source) != digests:
        steps.append(("changed", "failed", "weights, code, decoder or clips changed while clips were scored"))
    steps += agreed.steps
    facts = {
        "id": reference.id,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "title": reference.title,
        "source": reference.source,
        "protocol": create(reference.metric).protocol.as_dict(),
        "environment": {**environment(), "device": device},
        "results": documents(steps),
        "summary": agreed.summary,
        "digests": {**bound, "clips": certificate.listing(digests)},
        "clips": digests,
        "values": {id: each.as_dict() for id, each in found.items()},
    }
    return Attestation(reference, tuple(steps), facts)


def examine(
    reference: Reference, source: Path, device: str, notice: Notice
) -> tuple[list[Step], dict[str, str], dict[str, str]]:
    """Steps before anything is scored, what they are bound to, and the clips' digests. Raises as ``attest``."""
    if reason := lacks(create(reference.metric)):
        raise NotApplicable(reason)
    legacy.ffmpeg_program()
    notice("reading the clips")
    digests = certificate.clip_digests(reference, source)
    if not digests:
        example = reference.path(source, next(iter(reference.published)))
        raise ConfigError(f"{source} holds none of the clips, for example {example}: {reference.get}")
    bound = certificate.bound(reference)
    steps = [*_weights(reference, bound), *_rules(reference)]
    if "detector" not in failed(steps):  # other weights may not even load
        steps.append(probes.detector_step((reference.path(source, id) for id in reference.published), device))
    steps += [probes.crops_step(), *probes.media_steps(reference.metric)]
    expected = {name: file.git_blob for name, file in reference.files.items()}
    steps.append(certificate.clips_step(expected, digests, reference.least_compared))
    steps += _heard(reference, source, [name for name, digest in digests.items() if digest != expected[name]])
    return steps, bound, digests


def score(
    reference: Reference, source: Path, out: Path, device: str, workers: int | None, on_step: OnStep, notice: Notice
) -> dict[str, Found]:
    """Id -> values or the reason, of all clips of the reference, by ``evaluate`` into ``out``."""
    folder = source / reference.folder
    lines = []
    reasons: dict[str, str] = {}
    for id in reference.published:
        item = {"id": id, "generated": reference.path(source, id).relative_to(folder).as_posix()}
        if sound := reference.sound_path(source, id):
            if not sound.is_file():  # its own sound is another one
                reasons[id] = f"{sound.name} is missing"
                continue
            item["audio"] = f"sound/{id}{sound.suffix}"  # a manifest's files lie beside it
            (out / item["audio"]).unlink(missing_ok=True)
            link(sound, out / item["audio"])
        lines.append(json_text(item))
    write_text(out / "manifest.jsonl", "\n".join(lines) + "\n")
    plan = EvaluateConfig(
        generated=folder, manifest=out / "manifest.jsonl", out=out / "run",
        name="attest", metrics=(reference.metric,), device=device, workers=workers,
    )  # fmt: skip

    def measured(at: Progress) -> None:
        on_step(At("scoring", at.done, at.total, "clips", at.clip, at.status is Status.FAILED))

    evaluate(plan, measured, notice)
    run = open_run(plan.out)
    values: dict[str, dict[str, float]] = {}
    for row in run.score_rows():
        if row.metric != reference.metric:  # of a command with another reference
            continue
        if row.score.value is not None:
            values.setdefault(row.clip, {})[row.quantity] = row.score.value
        else:
            reasons.setdefault(row.clip, str(row.score.reason))
    tracks = {row["clip"]: len(row["detail"]["tracks"]) for row in run.store().measurements(reference.metric)
              if row["status"] == Status.OK}  # fmt: skip
    found = {}
    for id in reference.published:
        if id in reasons or id not in tracks:
            found[id] = Found(reason=reasons.get(id, "it has no values"))
        else:
            c, d, offset = (values[id][name] for name in ("sync_c", "sync_d", "sync_offset"))
            found[id] = Found(c, d, round(offset), tracks[id])
    return found


def _same_program(bound: Mapping[str, str], metric: str, out: Path) -> None:
    """Finished scores count only where this code and decoder made them: a run does not know of either."""
    record = out / f"{metric.replace('/', '-')}.json"
    here = {name: digest for name, digest in bound.items() if name.startswith(("code/", "decoder/"))}
    if (out / "run").exists() and record.is_file():
        try:
            then = dict(json.loads(record.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"cannot read {record} ({error}): give another folder with --out") from error
        if changed := certificate.differing(then, here):
            raise ConfigError(
                f"{out} holds scores made with another {some(changed, 1)}: give another folder, such as "
                f"--out {out}-2, or delete it"
            )
    write_text(record, json_text(here, indent=1) + "\n")


def _weights(reference: Reference, bound: Mapping[str, str]) -> list[Step]:
    steps: list[Step] = []
    for id, expected in reference.weights.items():
        name = _NAMES.get(id, id)
        found = bound[f"weights/{id}"]
        if found == expected:
            steps.append((name, "ok", f"{id} has the sha256 {found[:16]}…"))
        else:
            steps.append((name, "failed", f"other {name}: {id} has the sha256 {found}, expected {expected}"))
    return steps


def _rules(reference: Reference) -> list[Step]:
    """Whether the protocol states the reference's rules."""
    stated = create(reference.metric).protocol.parameters
    steps: list[Step] = []
    for part, expected in reference.parameters.items():
        name, given = _NAMES.get(part, part), stated.get(part)
        if given == expected:
            steps.append((name, "ok", f"{part}: the {len(expected)} rules expected"))
            continue
        given = given if isinstance(given, dict) else {}
        differing = [key for key in sorted({*expected, *given}) if expected.get(key) != given.get(key)]
        said = ", ".join(f"{key} {given.get(key)!r}, expected {expected.get(key)!r}" for key in differing)
        steps.append((name, "failed", f"other {name}: {part}: {said}"))
    return steps


def _heard(reference: Reference, source: Path, names: list[str]) -> list[Step]:
    """Of files that are not the expected ones, whether their sound is the expected one, later or earlier."""
    delays: dict[str, int] = {}
    for name in names:
        if expected := reference.files[name].loudness:
            try:
                heard = loudness.line(to_int16(Clip(source / name).audio(16000)))
            except MediaError:
                continue
            if delay := loudness.delay(heard, expected):
                delays[name] = delay
    if not delays:
        return []
    first, delay = next(iter(delays.items()))
    way = "later" if delay > 0 else "earlier"
    words = f"shifted sound: that of {len(delays)} of {len(names)} changed files, {first} by {abs(delay)} frames {way}"
    return [("sound", "failed", words)]
