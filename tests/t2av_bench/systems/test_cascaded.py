"""Any system that speaks, followed by any system that animates a face to given speech."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from scipy.io import wavfile

from t2av_bench import systems
from t2av_bench.errors import NotApplicable
from t2av_bench.gridface.systems.espeak import EmbeddedEspeak
from t2av_bench.media.clip import Clip
from t2av_bench.systems import output
from t2av_bench.systems.base import GenerationFailed, NativeFormat, Request, System
from t2av_bench.systems.cascaded import Cascaded
from t2av_bench.systems.delivery import Product, deliver
from t2av_bench.systems.talker_t2av.system import TalkerT2AV

RATE = 16_000


class Speaker(System):
    """Says a text as a constant: the number of its letters in hundredths, for as many frames, plus the seed."""

    id, title, paper = "speaker", "Speaker", "none"
    needs = {"tts": ("text", "voice")}
    native = NativeFormat(25, None, None, RATE, "letters")
    seed_support = "full"

    def __init__(self):
        self.batches = []

    @classmethod
    def load(cls, *, device="cpu", loud: bool = False):
        return cls()

    def generate_batch(self, requests, on_progress=None):
        self.batches.append([request.id for request in requests])
        return super().generate_batch(requests, on_progress)

    def generate(self, request, on_progress=None):
        self.check(request)
        if request.text == "mute":
            raise GenerationFailed("lost its voice")
        count = len(request.text)
        audio = np.full(count * 640, count / 100 + request.seed / 1000, np.float32)
        names = output.names_of(request)
        with output.staged(names) as folder:
            taken = {"sampling": 2.0}
            product = Product(audio, RATE, 25, stop_reason="end of text", notes=["spoken"], seconds_taken=taken)
            return deliver(self, request, names, folder, product)


class Painter(System):
    """Shows the driving sound's level as grey; takes whole frames only."""

    id, title, paper = "painter", "Painter", "none"
    needs = {"a2v": ("text", "identity", "driving_audio")}
    native = NativeFormat(25, 16, 16, RATE, "given")
    seed_support = "full"

    @classmethod
    def load(cls, *, device="cpu"):
        return cls()

    def generate(self, request, on_progress=None):
        self.check(request)
        if request.text == "blind":
            raise NotApplicable("sees nothing")
        most = int(request.max_seconds * 25)
        audio = np.array(Clip(request.driving_audio).audio(RATE)[: most * 640])
        level = round(float(audio[0]) * 500)
        pictures = np.full((len(audio) // 640, 16, 16, 3), level, np.uint8)
        names = output.names_of(request)
        with output.staged(names) as folder:
            return deliver(self, request, names, folder, Product(
                audio, RATE, 25, [pictures], sound_from="driving audio", pictures_from="painted", notes=["painted"],
                stop_reason="limit" if len(pictures) == most else "given", seconds_taken={"sampling": 3.0},
            ))  # fmt: skip


@pytest.fixture
def ask(tmp_path, inputs):
    def build(text="twelve chars", **changes) -> Request:
        fields = {"identity": inputs["image"], "voice": inputs["voice"], "out": tmp_path / "out" / "clip.mp4"}
        return Request(id=str(fields["out"].stem), task="t2av", text=text, seed=3, **(fields | changes))

    return build


def left(tmp_path) -> list[str]:
    """Everything below the output folder, hidden files too."""
    folder = tmp_path / "out"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []


def test_the_second_animates_what_the_first_says(ask, tmp_path):
    clip = Cascaded(Speaker(), Painter()).generate(ask())
    assert left(tmp_path) == ["clip.json", "clip.mp4", "clip.wav"]
    assert (clip.frame_count, clip.audio_samples, clip.audio_rate) == (12, 12 * 640, RATE)
    rate, samples = wavfile.read(clip.audio)
    assert rate == RATE and np.array_equal(samples, np.full(12 * 640, 0.123, np.float32)), "text and seed, unchanged"
    video = Clip(clip.video)
    assert video.frame_count == 12 and np.abs(next(video.frames(12)).astype(int) - 62).max() <= 3
    assert clip.video == tmp_path / "out" / "clip.mp4" and clip.stop_reason == "end of text"
    record = json.loads(clip.record.read_text())
    assert record == json.loads(json.dumps(clip.details))
    assert (record["system"], record["task"], record["frames"], record["seed"]) == ("cascaded", "t2av", 12, 3)
    assert record["settings"] == {"tts": "speaker", "a2v": "painter"}
    for task, id in record["settings"].items():
        stage = record["stages"][task]
        assert (stage["system"], stage["task"], stage["seed"], stage["id"]) == (id, task, 3, "clip")
    assert clip.notes == ("speech stage: spoken", "picture stage: painted")
    stages = record["stages"]
    assert clip.real_time_factor == pytest.approx(sum(stage["real_time_factor"] for stage in stages.values()))
    assert clip.real_time_factor > (2 + 3) / clip.seconds


def test_a_clip_cut_by_the_second_stage_says_so(ask):
    clip = Cascaded(Speaker(), Painter()).generate(ask("a text of thirty-one characters", max_seconds=0.8))
    assert (clip.stop_reason, clip.frame_count) == ("limit", 20)


def test_failures_name_their_stage_and_cost_the_others_nothing(ask, tmp_path):
    speaker = Speaker()
    requests = [
        replace(ask(text), id=text, out=tmp_path / "out" / f"{number}.mp4")
        for number, text in enumerate(["hello", "mute", "blind", " ", "world"])
    ]
    requests.append(replace(requests[0], id="twin"))
    made = Cascaded(speaker, Painter()).generate_batch(requests)
    assert [type(answer).__name__ for answer in made] == [
        "GeneratedClip", "GenerationFailed", "NotApplicable", "GenerationFailed", "GeneratedClip", "GenerationFailed"
    ]  # fmt: skip
    assert str(made[1]) == "speech stage (speaker): lost its voice"
    assert str(made[2]) == "picture stage (painter): sees nothing"
    assert "the text is empty" in str(made[3]) and "another request of this batch" in str(made[5])
    assert speaker.batches == [["hello", "mute", "blind", "world"]], "together, and none for whom it cannot succeed"
    assert left(tmp_path) == sorted(f"{number}.{kind}" for number in (0, 4) for kind in ("json", "mp4", "wav"))


def test_what_a_stage_needs_is_asked_for_before_anything_is_made(ask, tmp_path):
    speaker = Speaker()
    system = Cascaded(speaker, Painter())
    with pytest.raises(NotApplicable, match=r"speech stage \(speaker\): task tts of speaker needs --voice FILE"):
        system.generate(ask(voice=None))
    with pytest.raises(NotApplicable, match="task t2av of cascaded needs --identity FILE"):
        system.generate(ask(identity=None))
    with pytest.raises(NotApplicable, match="does not serve the task a2v"):
        system.generate(replace(ask(), task="a2v"))
    with pytest.raises(GenerationFailed, match="name it clip.mp4"):
        system.generate(ask(out=tmp_path / "out" / "clip.wav"))
    assert speaker.batches == [] and left(tmp_path) == []


def test_an_older_clip_stays_until_the_new_one_is_whole(ask, tmp_path):
    system = Cascaded(Speaker(), Painter())
    before = {path: path.read_bytes() for path in (system.generate(ask()).video.parent).iterdir()}
    with pytest.raises(GenerationFailed):
        system.generate(ask("mute"))
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_systems_are_loaded_by_id_with_their_own_options(monkeypatch):
    loaded = []

    def load(id, *, device, **options):
        loaded.append((id, device, options))
        return {"speaker": Speaker, "painter": Painter}.get(id, Both)()

    class Both(Painter):
        id, needs = "both", Painter.needs | Speaker.needs

    classes = {"speaker": Speaker, "painter": Painter, "both": Both}
    monkeypatch.setattr(systems, "load", load)
    monkeypatch.setattr(systems, "system_class", classes.__getitem__)
    Cascaded.load(tts="speaker", a2v="painter", device="cuda", tts_options={"loud": True})
    assert loaded == [("speaker", "cuda", {"loud": True}), ("painter", "cuda", {})]
    loaded.clear()
    same = Cascaded.load(tts="both", a2v="both")
    assert loaded == [("both", "cpu", {})] and same.stages["tts"] is same.stages["a2v"]
    loaded.clear()
    Cascaded.load(tts="both", a2v="both", a2v_options={"x": 1})
    assert len(loaded) == 2
    with pytest.raises(ValueError, match=r"the picture stage \(a2v\) cannot be speaker, which serves tts"):
        Cascaded.load(tts="both", a2v="speaker")
    with pytest.raises(ValueError, match=r"the speech stage \(tts\) cannot be painter"):
        Cascaded(Painter(), Painter())


def test_unknown_ids_and_options_of_stages_are_refused():
    with pytest.raises(ValueError, match="unknown system 'espeak'; did you mean embedded-espeak"):
        systems.load("cascaded", tts="espeak", a2v="talker-t2av")
    with pytest.raises(ValueError, match="system embedded-espeak has no option 'speed'"):
        systems.load("cascaded", tts="embedded-espeak", a2v="talker-t2av", tts_options={"speed": 2})
    with pytest.raises(ValueError, match="needs two systems by id"):
        systems.load("cascaded", tts="embedded-espeak")
    with pytest.raises(ValueError, match="cannot be embedded-espeak, which serves tts"):
        systems.load("cascaded", tts="embedded-espeak", a2v="embedded-espeak")


def test_the_reference_model_follows_itself(ask, components, tmp_path):
    """Talker-T2AV in tts, then in a2v: its own code, with tiny parts."""
    talker = TalkerT2AV(components)
    request = ask("hello world", max_seconds=1.0)
    alone = talker.generate(replace(request, task="tts", out=tmp_path / "alone" / "clip.wav"))
    clip = Cascaded(talker, talker).generate(request)
    assert left(tmp_path) == ["clip.json", "clip.mp4", "clip.wav"]
    assert np.array_equal(wavfile.read(clip.audio)[1], wavfile.read(alone.audio)[1]), "the first stage's own sound"
    assert clip.frame_count == alone.frame_count == Clip(clip.video).frame_count
    assert clip.stop_reason == alone.stop_reason
    inputs = clip.details["stages"]["a2v"]["inputs"]
    assert inputs["driving_audio"]["seconds"] == pytest.approx(alone.seconds)
    assert os.listdir(tmp_path / "alone") and not (tmp_path / "out" / "speech").exists()


def test_a_batch_gives_what_each_gets_alone(ask, components, tmp_path):
    system = Cascaded(EmbeddedEspeak.load(), TalkerT2AV(components))
    requests = [
        replace(ask(text, max_seconds=2.0), seed=seed, out=tmp_path / "out" / f"{seed}.mp4")
        for seed, text in enumerate(["hello there", "good day world"])
    ]
    alone = [next(Clip(system.generate(request).video).frames(99)).astype(int) for request in requests]
    for clip, expected in zip(system.generate_batch(requests), alone, strict=True):
        assert np.abs(next(Clip(clip.video).frames(99)) - expected).mean() < 0.3
