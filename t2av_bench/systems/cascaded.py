"""The cascade: any system that speaks, followed by any system that animates a face to given speech.

The first is asked in task ``tts``, the second in ``a2v`` with the first one's sound as its driving audio; both get the
request's text, inputs and seed. Of the first stage nothing stays but its record, inside the clip's own.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from t2av_bench.errors import Lack, NotApplicable
from t2av_bench.systems import output
from t2av_bench.systems.base import (
    BatchSystem,
    GeneratedClip,
    GenerationFailed,
    OnProgress,
    Reason,
    Request,
    System,
    Task,
)
from t2av_bench.systems.delivery import begin, facts

_NAMES: Mapping[Task, str] = {"tts": "speech", "a2v": "picture"}


@dataclass(slots=True)
class _Job:
    """One request on its way. folder: where both stages write; speech: what the first one made."""

    request: Request
    names: output.Names
    folder: Path
    speech: GeneratedClip | None = None

    def stage_request(self, task: Task) -> Request:
        sound = self.folder / "speech" / self.names.audio.name
        if task == "tts":
            return replace(self.request, task=task, out=sound)
        return replace(self.request, task=task, driving_audio=sound, out=self.folder / self.request.out.name)


class Cascaded(BatchSystem):
    """Text to speech by one system, then a picture to that speech by another.

    What a request must name depends on the two: their own checks come before any work.
    The same seed gives the same clip where both stages keep that promise.
    """

    id = "cascaded"
    title = "Cascaded"
    paper = "two systems in a row, as the cascades of Talker-T2AV (arXiv 2604.23586)"
    needs = {"t2av": ("text", "identity")}
    native = None
    seed_support = "full"

    def __init__(self, tts: System, a2v: System) -> None:
        """tts, a2v: loaded systems that serve these tasks; may be one and the same. ValueError where one does not."""
        self.stages: Mapping[Task, System] = {"tts": tts, "a2v": a2v}
        for task, system in self.stages.items():
            _require_task(task, system.id, type(system))

    @classmethod
    def load(
        cls, *, device: str = "cpu", tts: str | None = None, a2v: str | None = None,
        tts_options: Mapping[str, Any] | None = None, a2v_options: Mapping[str, Any] | None = None,
    ) -> Self:  # fmt: skip
        """The two systems by id, each with its own options, both on ``device``; one that is both is loaded once.

        Raises ValueError for a system that is not named, unknown or lacks the task, and what the systems' own ``load``
        raises.
        """
        from t2av_bench import systems

        if tts is None or a2v is None:
            raise ValueError(f"{cls.id} needs two systems by id: the options tts (text to speech) and a2v (picture to "
                             "speech), such as tts=embedded-espeak")  # fmt: skip
        wanted: dict[Task, tuple[str, dict[str, Any]]] = {
            "tts": (tts, dict(tts_options or {})), "a2v": (a2v, dict(a2v_options or {})),
        }  # fmt: skip
        for task, (id, _) in wanted.items():
            _require_task(task, id, systems.system_class(id))
        first = systems.load(tts, device=device, **wanted["tts"][1])
        if wanted["tts"] == wanted["a2v"]:
            return cls(first, first)
        return cls(first, systems.load(a2v, device=device, **wanted["a2v"][1]))

    @classmethod
    def missing(cls, **options: Any) -> list[Lack]:
        """What either of its two systems would not find."""
        from t2av_bench import systems

        parts = ((options.get(task), options.get(f"{task}_options") or {}) for task in ("tts", "a2v"))
        found = [systems.system_class(id).missing(**given) for id, given in parts if id is not None]
        return list(dict.fromkeys(each for part in found for each in part))

    @classmethod
    def slots(cls, **options: Any) -> tuple[str, ...]:
        """Those of the picture's system, else those of the speech's: both use the same one."""
        from t2av_bench import systems

        parts = ((options.get(task), options.get(f"{task}_options") or {}) for task in ("a2v", "tts"))
        found = (systems.system_class(id).slots(**given) for id, given in parts if id is not None)
        return next((slots for slots in found if slots), ())

    def close(self) -> None:
        for system in {id(each): each for each in self.stages.values()}.values():
            system.close()

    def generate_batch(
        self, requests: Sequence[Request], on_progress: OnProgress | None = None
    ) -> list[GeneratedClip | Reason]:
        """All requests go through the first stage together, then those that it served through the second."""
        with ExitStack() as stack:
            jobs, made = begin(requests, lambda request: self._job(request, stack))
            for number, clip in self._run("tts", jobs, made, on_progress):
                jobs[number].speech = clip
            for number, clip in self._run("a2v", jobs, made, on_progress):
                try:
                    made[number] = self._publish(jobs[number], clip)
                except GenerationFailed as reason:
                    made[number] = reason
        return [made[number] for number in range(len(requests))]

    def _job(self, request: Request, stack: ExitStack) -> _Job:
        self.check(request)
        names = output.names_of(request)
        job = _Job(request, names, stack.enter_context(output.staged(names)))
        for task, system in self.stages.items():
            try:
                system.check(job.stage_request(task))
            except (GenerationFailed, NotApplicable) as reason:
                raise self._named(task, reason) from reason
        return job

    def _run(
        self, task: Task, jobs: Mapping[int, _Job], made: dict[int, GeneratedClip | Reason],
        on_progress: OnProgress | None,
    ) -> list[tuple[int, GeneratedClip]]:  # fmt: skip
        """Clips of one stage, of all jobs that have no answer yet; its reasons go to ``made``."""
        waiting = [number for number in jobs if number not in made]
        asked = [jobs[number].stage_request(task) for number in waiting]
        answers = self.stages[task].generate_batch(asked, on_progress) if asked else []
        found = []
        for number, answer in zip(waiting, answers, strict=True):
            if isinstance(answer, GeneratedClip):
                found.append((number, answer))
            else:
                made[number] = self._named(task, answer)
        return found

    def _named(self, task: Task, reason: Reason) -> Reason:
        kind = NotApplicable if isinstance(reason, NotApplicable) else GenerationFailed
        return kind(f"{_NAMES[task]} stage ({self.stages[task].id}): {reason}")

    def _publish(self, job: _Job, shown: GeneratedClip) -> GeneratedClip:
        speech = job.speech
        assert speech is not None
        spent = speech.real_time_factor * speech.seconds + shown.real_time_factor * shown.seconds
        notes = [f"speech stage: {note}" for note in speech.notes] + [f"picture stage: {note}" for note in shown.notes]
        clip = replace(
            shown, video=job.names.video, audio=job.names.audio, record=job.names.record,
            stop_reason=shown.stop_reason if shown.stop_reason == "limit" else speech.stop_reason,
            real_time_factor=spent / shown.seconds, prefix_seconds=speech.prefix_seconds, notes=tuple(notes),
            details={},
        )  # fmt: skip
        clip.details.update(facts(self, job.request, clip) | {
            "settings": {task: system.id for task, system in self.stages.items()},
            "pictures": shown.details.get("pictures"),
            "sound": speech.details.get("sound"),
            "stages": {"tts": speech.details, "a2v": shown.details},
        })  # fmt: skip
        output.publish(job.folder, job.names, clip.details)
        return clip


def _require_task(task: Task, id: str, kind: type[System]) -> None:
    if task not in kind.needs:
        raise ValueError(
            f"the {_NAMES[task]} stage ({task}) cannot be {id}, which serves {', '.join(kind.needs)}: choose a system "
            f"that serves {task}"
        )
