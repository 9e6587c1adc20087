"""``sync/mesh``: planted sync by a network that simply works, what is not judged, and real clips by the real networks.

The planted network has the property that the packaged one is trained for: its vectors of mouth and sound at one moment
are alike. The mouth's is the course of the gap between the lips around a frame, the sound's that of the loudness.
"""

import shutil
from types import SimpleNamespace

import av
import numpy as np
import pytest
from drawn_face import drawn_face
from media_factory import moving_pattern, write_clip

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import MediaError, NotApplicable, Unscorable
from t2av_bench.faces.mesh_points import LOWER_LIP, UPPER_LIP
from t2av_bench.media.clip import Clip
from t2av_bench.mesh_sync import features, network
from t2av_bench.metrics import metric_class, resolve, sync_mesh
from t2av_bench.metrics.base import Pair
from t2av_bench.metrics.check import check
from t2av_bench.metrics.sync_mesh import CURVE, FRAMES, LEAST_SPEECH, SyncMesh, require_speech

RATE = 16000
SECONDS = 8
NAMES = [quantity.name for quantity in SyncMesh.quantities]


class PlantedNetwork:
    """Standardised courses over seven frames: of the gap between the lips, and of the mean of the bands."""

    _LIPS = [features.MOUTH.index(point) for point in (LOWER_LIP, UPPER_LIP)]

    def embed(self, given):
        points = given.mouth.reshape(len(given.mouth), -1, 3)
        gap = points[:, self._LIPS[0], 1] - points[:, self._LIPS[1], 1]
        return [(self._courses(gap, 1), self._courses(given.sound.mean(1), 4))]

    @staticmethod
    def _courses(signal, step):
        padded = np.pad(signal.astype(np.float64), 3 * step, mode="edge")
        found = np.stack([padded[place * step : place * step + len(signal)] for place in range(7)], 1)
        found -= found.mean(1, keepdims=True)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


def hidden(times, seed=0):
    """A smooth signal between 0.5 and 5 Hz at these times in seconds; deviation 1."""
    random = np.random.default_rng(seed)
    rates, phases = random.uniform(0.5, 5, 24), random.uniform(0, 2 * np.pi, 24)
    return np.cos(2 * np.pi * np.outer(times, rates) + phases).sum(1) / np.sqrt(12)


def spoken(delay=0.0, seed=0, seconds=SECONDS):
    """(n,) float32 noise whose logarithm of loudness is the hidden signal, later by ``delay`` seconds."""
    times = np.arange(round(seconds * RATE)) / RATE
    carrier = np.random.default_rng(99).standard_normal(len(times))
    # A row of energies is that of the middle of its 10 ms, a picture that of its beginning.
    coarse = np.arange(-1, seconds + 1, 0.005)
    loudness = np.interp(times - delay - 0.005, coarse, hidden(coarse, seed))
    return (0.02 * carrier * np.exp(loudness / 2)).astype(np.float32)


class Shown(Clip):
    """A clip whose pictures' times and sound (float32 at 16 kHz, or None) are given."""

    def __init__(self, times, audio, speech=None):
        super().__init__("shown.mp4")
        self._given, self._heard, self.speech = np.asarray(times), audio, speech

    info = property(lambda self: SimpleNamespace(has_audio=self._heard is not None))
    frame_times = property(lambda self: self._given)
    frame_count = property(lambda self: len(self._given))

    def audio(self, rate=RATE):
        if self._heard is None:
            raise MediaError("shown.mp4 has no audio stream")
        return self._heard


@pytest.fixture
def planted(monkeypatch):
    """A function: a clip's measurement by the planted network. All of the sound is speech where it is not said."""
    monkeypatch.setattr(sync_mesh.weights, "path", lambda id: None)
    monkeypatch.setattr(network, "load", lambda: PlantedNetwork())

    def measured(audio, *, rate=25, seed=0, frames=None, speech=None, still_from=SECONDS):
        times = np.arange(SECONDS * rate) / rate
        # Slots of the clip's own 25 frames show the nearest picture, the earlier of two.
        slots = np.arange(SECONDS * 25) / 25
        shown = times[np.abs(slots[:, None] - times).argmin(1)]
        gap = 0.2 + 0.05 * hidden(np.minimum(shown, still_from), seed)
        face = drawn_face(len(slots), gap=gap, frames=frames)
        monkeypatch.setattr(features, "landmarks_in", lambda clip: face)
        clip = Shown(shown, audio)
        whole = np.array([[0, SECONDS * RATE]]) if speech is None else np.asarray(speech).reshape(-1, 2)
        monkeypatch.setattr("t2av_bench.extractors.silero_vad.speech_in", lambda clip: whole)
        return check(SyncMesh(), SyncMesh().measure(Pair(Item(id="one"), clip)))

    return measured


# Planted sync ---------------------------------------------------------------------------------------------------------


def test_a_clip_in_sync(planted):
    found = planted(spoken())
    assert list(found.values) == NAMES
    assert abs(found.values["sync_offset_mesh"]) < 5 and found.values["sync_in_tolerance_mesh"] == 1
    assert found.values["sync_d_mesh"] <= found.values["sync_d_zero_mesh"] < 0.3
    assert found.values["sync_c_mesh"] > 0.5
    assert found.detail["speech_seconds"] == SECONDS and found.detail["face_share"] == 1


@pytest.mark.parametrize("rate", [24, 25, 30, 50])
def test_a_delay_in_milliseconds_is_the_offset_at_every_frame_rate(planted, rate):
    for delay in (-410, -63, 37, 120, 333):
        found = planted(spoken(delay / 1000), rate=rate).values
        assert found["sync_offset_mesh"] == pytest.approx(-delay, abs=12), "late sound is a negative offset"


def test_the_distance_as_played_rises_with_the_delay_and_the_confidence_stays(planted):
    found = [planted(spoken(delay / 1000)).values for delay in (0, 40, 80, 160, 320)]
    assert np.all(np.diff([each["sync_d_zero_mesh"] for each in found[:4]]) > 0.03)
    assert found[4]["sync_d_zero_mesh"] > found[0]["sync_d_zero_mesh"] + 0.5
    assert np.ptp([each["sync_c_mesh"] for each in found]) < 0.15 * found[0]["sync_c_mesh"]


@pytest.mark.parametrize(("delay", "inside"), [(-90, 0), (-60, 0), (-30, 1), (0, 1), (110, 1), (140, 0), (300, 0)])
def test_the_tolerance_of_the_standard_is_in_milliseconds(planted, delay, inside):
    """Sound up to 45 ms early or 125 ms late; frames of 40 ms could not tell 30 from 60."""
    assert planted(spoken(delay / 1000)).values["sync_in_tolerance_mesh"] == inside


def test_a_strangers_sound_has_no_confidence_and_is_not_in_tolerance(planted):
    own = planted(spoken()).values["sync_c_mesh"]
    strangers = [planted(spoken(seed=seed)).values for seed in range(1, 9)]
    confidences = np.array([each["sync_c_mesh"] for each in strangers])
    assert abs(confidences.mean()) < 0.1 * own and confidences.max() < 0.3 * own
    low = [each for each in strangers if each["sync_c_mesh"] < sync_mesh.LEAST_CONFIDENCE]
    assert len(low) >= 4 and not any(each["sync_in_tolerance_mesh"] for each in low)


def test_the_longer_the_mouth_stands_still_the_lower_the_confidence(planted):
    found = [planted(spoken(), still_from=share * SECONDS).values["sync_c_mesh"] for share in (1, 0.75, 0.5, 0.25, 0)]
    assert np.all(np.diff(found) < -0.05) and abs(found[-1]) < 0.1


def test_the_kept_curve_is_over_the_stated_offsets(planted):
    found = planted(spoken(0.2))
    (curve,) = SyncMesh.curves
    kept = found.features[curve.feature]
    assert curve.feature == CURVE and kept.shape == (len(curve.offsets),) == (31,) and curve.lowest
    assert curve.offsets[int(kept.argmin())] == -5, "200 ms are five frames"
    assert kept.min() == pytest.approx(found.values["sync_d_mesh"], abs=1e-6)
    assert kept[curve.offsets.index(0)] == pytest.approx(found.values["sync_d_zero_mesh"], abs=1e-6)


def test_the_distances_of_frames_are_kept_and_tell_where_a_clip_loses_its_sync(planted):
    """Columns: at the offset found, and as played. From 4 s on the mouth stands still."""
    kept = planted(spoken(), still_from=4).features[FRAMES]
    assert kept.shape == (SECONDS * 25, 2)
    assert np.nanmean(kept[110:], axis=0).min() > np.nanmean(kept[5:90], axis=0).max() + 0.5
    gaps = planted(spoken(), frames=[*range(60), *range(90, 200)]).features[FRAMES]
    assert np.isnan(gaps[61:89]).all() and not np.isnan(gaps[20:60, 1]).any()


# What is not judged ---------------------------------------------------------------------------------------------------


def test_too_little_speech_while_the_face_is_seen():
    seen = np.arange(200) >= 150  # from 6 s on
    needed = round(LEAST_SPEECH * 25)
    enough = np.array([[6 * RATE, 6 * RATE + needed * 640]])
    assert require_speech(seen, enough) == LEAST_SPEECH
    with pytest.raises(Unscorable) as raised:
        require_speech(seen, enough - [0, 640])
    assert str(raised.value) == (
        f"too little speech: {LEAST_SPEECH - 0.04:.2f} s are heard while the face is seen, at least {LEAST_SPEECH:g} s "
        f"are needed ({LEAST_SPEECH - 0.04:.2f} s of speech, 2.00 s of face in 8.00 s)"
    )
    with pytest.raises(Unscorable, match=r"^too little speech: 0\.00 s are heard while .* \(4\.00 s of speech, 2\.00"):
        require_speech(seen, np.array([[0, 4 * RATE]]))


def test_silence_is_not_judged_and_a_still_face_is(planted):
    with pytest.raises(Unscorable, match=r"too little speech: 0\.00 s"):
        planted(np.zeros(SECONDS * RATE, np.float32), speech=[])
    still = planted(spoken(), still_from=0).values
    assert set(still) == set(NAMES) and still["sync_in_tolerance_mesh"] == 0


def test_a_face_that_is_seen_too_short_and_a_clip_without_sound(planted):
    with pytest.raises(Unscorable, match=r"face and sound overlap for 1\.00 s, at least 2 s are needed"):
        planted(spoken(), frames=range(25))
    with pytest.raises(MediaError, match="no audio stream"):
        planted(None)


# What it is called, needs and states ----------------------------------------------------------------------------------


def test_missing_weights_are_said_with_the_command():
    with pytest.raises(NotApplicable, match="t2av-bench weights fetch"):
        SyncMesh().measure(Pair(Item(id="one"), Shown([0.0], None)))


def test_the_family_means_syncnet_where_its_weights_are_and_the_mesh_else(monkeypatch):
    present = {*SyncMesh.weights}
    monkeypatch.setattr("t2av_bench.weights.is_present", present.__contains__)
    assert resolve(["sync"]) == ["sync/mesh"] and resolve(["sync_c_mesh"]) == ["sync/mesh"]
    assert [id for id in resolve(["all"]) if id.startswith("sync/")] == ["sync/mesh"]
    present |= {"syncnet_v2", "sfd_face"}
    assert resolve(["sync"]) == ["sync/exact"]
    assert [id for id in resolve(["all"]) if id.startswith("sync/")] == ["sync/exact", "sync/mesh"]
    present.clear()
    assert resolve(["sync"]) == ["sync/exact"], "which says what to fetch"
    assert not SyncMesh.stand_in and SyncMesh.licence == "free"


def test_the_protocol_has_the_digest_of_the_network(monkeypatch, tmp_path):
    document = SyncMesh().protocol.as_dict()
    assert document["parameters"]["network"] == network.digest() and len(network.digest()) == 64
    assert set(document["weights"]) == set(SyncMesh.weights) and "torch" not in document["libraries"]
    (tmp_path / "other").write_bytes(b"another network")
    other = network.digest(tmp_path / "other")
    monkeypatch.setattr(network, "digest", lambda: other)
    assert SyncMesh().protocol.fingerprint != metric_class("sync/mesh")().protocol.as_dict() != document


# Real clips by the real networks --------------------------------------------------------------------------------------


@pytest.fixture
def real(clips_folder, real_weights):
    """A function: the values of a file."""
    for id in SyncMesh.weights:
        real_weights(id)

    def values(path):
        return SyncMesh().measure(Pair(Item(id="one"), Clip(path))).values

    return values


@pytest.fixture
def spoken_clip(clips_folder):
    path = clips_folder / "hdtf_aoc.mp4"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    return path


def remuxed(source, target, milliseconds=0):
    """The same packets in another container, the sound's later by so much (the pictures', where it is negative)."""
    with av.open(str(source)) as given, av.open(str(target), "w") as written:
        copies = {stream.index: written.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.dts is None:
                continue
            late = milliseconds if packet.stream.type == "audio" else -milliseconds
            if late > 0:
                ticks = round(late / 1000 / packet.time_base)
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            packet.stream = copies[packet.stream.index]
            written.mux(packet)
    return target


@pytest.mark.slow
def test_the_container_does_not_matter(real, spoken_clip, tmp_path):
    expected = real(spoken_clip)
    assert expected["sync_c_mesh"] > 0.05
    for name in ("a.mkv", "a.mov", "a.avi"):
        found = real(remuxed(spoken_clip, tmp_path / name))
        assert found == {key: pytest.approx(value, abs=0.01 if "offset" not in key else 6)
                         for key, value in expected.items()}, name  # fmt: skip


@pytest.mark.slow
def test_planted_delays_are_found_in_milliseconds(real, spoken_clip, tmp_path):
    own = real(spoken_clip)["sync_offset_mesh"]
    found = {ms: real(remuxed(spoken_clip, tmp_path / f"{ms}.mp4", ms)) for ms in (-200, -90, 50, 130, 330)}
    moved = {ms: own - values["sync_offset_mesh"] for ms, values in found.items()}
    assert moved == {ms: pytest.approx(ms, abs=20) for ms in found}
    assert found[50]["sync_d_zero_mesh"] < found[130]["sync_d_zero_mesh"] < found[330]["sync_d_zero_mesh"]


@pytest.mark.slow
def test_other_frame_rates_give_the_same_offset(real, spoken_clip, tmp_path):
    clip = Clip(spoken_clip)
    frames, own = clip.frames_at(range(clip.frame_count)), real(spoken_clip)
    for rate in (24, 30, 50):
        times = np.arange(int(len(frames) / 25 * rate)) / rate
        path = write_clip(tmp_path / f"{rate}.mp4", frames[(times * 25 + 1e-6).astype(int)], clip.audio(),
                          frame_rate=rate)  # fmt: skip
        found = real(path)
        # Pictures of 25 frames/s that are shown at times of another rate stand up to a frame too long.
        assert found["sync_offset_mesh"] == pytest.approx(own["sync_offset_mesh"], abs=30), rate
        assert found["sync_c_mesh"] == pytest.approx(own["sync_c_mesh"], rel=0.35), rate


@pytest.mark.slow
def test_a_mouth_that_stands_still_for_longer_has_less_confidence(real, spoken_clip, tmp_path):
    from t2av_bench.validation.damages import write
    from t2av_bench.validation.pictures import Source

    found = [real(spoken_clip)["sync_c_mesh"]]
    for percent in (25, 50, 100):
        path = tmp_path / f"{percent}.mp4"
        write(Source(Clip(spoken_clip), None), "one", "mouth_frozen", percent, path, tmp_path / "control.mp4")
        found.append(real(path)["sync_c_mesh"])
    assert found[0] > found[1] > found[2] > found[3] and abs(found[3]) < 0.5 * found[0]


@pytest.mark.slow
def test_the_number_of_workers_does_not_matter(real, clips_folder, tmp_path):
    import t2av_bench as tb

    (tmp_path / "clips").mkdir()
    for name in ("hdtf_aoc.mp4", "talker_output.mp4", "mova_1.mp4"):
        shutil.copy(clips_folder / name, tmp_path / "clips")
    write_clip(tmp_path / "clips" / "pattern.mp4", moving_pattern(75), spoken(seconds=3))
    runs = [tb.evaluate(tmp_path / "clips", metrics="sync/mesh", workers=workers, out=tmp_path / f"{workers}")
            for workers in (1, 2)]  # fmt: skip
    tables = [run.scores.sort_values(["quantity", "clip"]).reset_index(drop=True) for run in runs]
    columns = ["clip", "quantity", "value", "reason"]
    assert tables[0][columns].equals(tables[1][columns])
    assert tables[0].value.notna().sum() == 10 and tables[0].reason.str.contains("no face found").sum() == 10
