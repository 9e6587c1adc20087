"""The steps of ``systems check`` find what they are for, on stand-ins that keep their promises or do not."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from t2av_bench.errors import NotApplicable
from t2av_bench.media.encode import write_mp4
from t2av_bench.systems.base import GeneratedClip, GenerationFailed, Request
from t2av_bench.systems.external.check import SECONDS, Inputs, check, request_for
from t2av_bench.systems.external.spec import Spec

_ECHO = "import sys\nfor line in sys.stdin:\n    print(line, end='', flush=True)"
RATE = 16000


def make_spec(**changes) -> Spec:
    return Spec.model_validate({
        "id": "nodder", "title": "Nodder", "paper": "Someone", "carrier": "worker", "seed_support": "full",
        "tasks": {"a2v": ["identity", "driving_audio"]},
        "honours": {"identity": "yes", "driving_audio": "yes", "seed": "yes", "text": "ignored", "language": "words",
                    "driving_video": "none"},
        "native": {"frame_rate": "25", "width": 64, "height": 64, "audio_rate": RATE}, "length": {"source": "audio"},
        **changes,
    })  # fmt: skip


class StandIn:
    """Makes a clip once a process of its own has answered, which it starts anew after a death."""

    id = "nodder"
    frames, size, seeded, random, strict, recovers = 50, 64, True, False, True, True
    closed, clips = False, 0

    def __init__(self) -> None:
        self._child: subprocess.Popen | None = None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def generate(self, request: Request) -> GeneratedClip:
        if self._child is None or self._child.poll() is not None:
            if self._child and not self.recovers:
                raise GenerationFailed("it does not start again")
            self.close()
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _ECHO], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                start_new_session=True,
            )  # fmt: skip
        if self.strict and request.identity and "no_face" in request.identity.name:
            raise GenerationFailed("there is no face")
        self._child.stdin.write("go\n")
        self._child.stdin.flush()
        if not self._child.stdout.readline():
            self._child.wait()
            raise GenerationFailed("its process died")
        self.clips += 1
        grey = (request.seed * 10 if self.seeded else 0) + (self.clips * 5 if self.random else 0)
        frames = np.full((self.frames, self.size, self.size, 3), 20 + grey, np.uint8)
        sound = np.sin(np.arange(round(SECONDS * RATE)) / 20)
        write_mp4(request.out, frames, sound, audio_rate=RATE)
        out = request.out
        return GeneratedClip(
            request.id, out, out, out, self.frames, 25, len(sound), RATE, request.seed, "end", real_time_factor=1.0
        )

    def close(self) -> None:
        self.closed = True
        if self._child:
            self._child.kill()
            self._child.wait()
            self._child.stdin.close()
            self._child.stdout.close()


@pytest.fixture
def inputs(tmp_path):
    return Inputs("some words", "en", Path("face.png"), Path("no_face.png"), Path("voice.wav"), "a voice",
                  Path("speech.wav"), Path("video.mp4"))  # fmt: skip


def results(inputs: Inputs, folder: Path, spec: Spec | None = None, **changes) -> dict[str, tuple[str, str]]:
    system = type("Changed", (StandIn,), changes)()
    steps = check(spec or make_spec(), lambda: system, inputs, folder, process=lambda each: each.pid)  # type: ignore
    found = {name: (status, words) for name, status, words in steps}
    assert system.closed
    return found


def test_a_system_as_specified_passes_every_step(inputs, tmp_path):
    found = results(inputs, tmp_path)
    assert [name for name, (status, _) in found.items() if status == "failed"] == []
    assert list(found) == [
        "start", "item a2v", "format a2v", "length a2v", "same seed", "other seed", "seed_effective", "no face", "kill",
        "resume", "not honoured: language", "not honoured: text",
    ]  # fmt: skip
    assert found["kill"] == ("ok", "reported: its process died")
    assert found["no face"] == ("ok", "refused: there is no face")


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"frames": 60}, {"length a2v"}),
        ({"size": 96}, {"format a2v"}),
        ({"seeded": False}, {"other seed", "seed_effective"}),
        ({"random": True}, {"same seed", "seed_effective"}),
        ({"recovers": False}, {"resume"}),
    ],
)
def test_what_is_not_as_specified_is_found(inputs, tmp_path, changes, failed):
    found = results(inputs, tmp_path, **changes)
    assert {name for name, (status, _) in found.items() if status == "failed"} == failed


def test_a_system_that_promises_no_seed_is_not_held_to_one(inputs, tmp_path):
    spec = make_spec(seed_support="none", honours={"identity": "yes", "seed": "ignored"})
    found = results(inputs, tmp_path, spec, seeded=False)
    assert not [name for name, (status, _) in found.items() if status == "failed"]
    assert found["seed_effective"] == ("ok", "no")


def test_who_takes_a_picture_without_a_face_is_told_apart(inputs, tmp_path):
    assert results(inputs, tmp_path, strict=False)["no face"][0] == "skipped"


def test_nothing_is_asked_of_a_system_that_makes_nothing(inputs, tmp_path):
    def generate(self, request):
        raise GenerationFailed("no weights for this")

    found = results(inputs, tmp_path, generate=generate)
    assert list(found) == ["start", "item a2v"] and found["item a2v"] == ("failed", "no weights for this")

    def load():
        raise NotApplicable("nothing says where it is")

    steps = list(check(make_spec(), load, inputs, tmp_path))
    assert steps == [("start", "failed", "nothing says where it is")]


def test_an_item_has_what_the_system_honours_and_half_of_the_clip_only_where_it_is_given(inputs, tmp_path):
    everything = dict.fromkeys(("text", "identity", "voice", "driving_audio", "driving_video"), "yes")
    spec = make_spec(honours=everything, tasks={"t2av": ["text"], "a2v": ["driving_audio"], "v2a": ["driving_video"]})
    given = {task: request_for(spec, task, inputs, tmp_path / "clip.mp4") for task in spec.tasks}
    assert (given["t2av"].driving_audio, given["t2av"].driving_video) == (None, None)
    assert (given["a2v"].driving_audio, given["a2v"].driving_video) == (inputs.driving_audio, None)
    assert (given["v2a"].driving_audio, given["v2a"].driving_video) == (None, inputs.driving_video)
    assert given["t2av"].voice == inputs.voice and given["t2av"].voice_text is None
    assert given["t2av"].target_seconds == SECONDS
