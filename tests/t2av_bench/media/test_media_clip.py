"""A clip's interface: one decode, memory budget, shared intermediates, alignment, colours, orientation."""

import hashlib
import shutil
import subprocess
from fractions import Fraction

import av
import media_factory as factory
import numpy as np
import pytest
from media_factory import write_lossless

from t2av_bench.errors import MediaError, NotApplicable, Unscorable
from t2av_bench.media import decode
from t2av_bench.media.clip import Clip
from t2av_bench.media.limits import FrameBudget
from t2av_bench.media.picture import orient

UNIT = 1 << 16


def all_frames(clip, batch=32):
    return np.concatenate(list(clip.frames(batch)))


def numbers(clip):
    return [factory.frame_number(frame) for batch in clip.frames() for frame in batch]


@pytest.fixture(scope="module")
def lossless(tmp_path_factory):
    """An mkv whose frames and 16 kHz samples are known to the bit."""
    path = tmp_path_factory.mktemp("clips") / "lossless.mkv"
    frames, audio = factory.moving_pattern(40), factory.noise(1.6)
    write_lossless(path, frames, audio)
    return path, frames, audio


@pytest.fixture
def passes(monkeypatch):
    """Counts decode passes over video files."""
    made = []
    original = decode.DecodePass.__iter__
    monkeypatch.setattr(decode.DecodePass, "__iter__", lambda self: (made.append(self.frame_rate), original(self))[1])
    return made


def test_opening_reads_nothing(tmp_path):
    clip = Clip(tmp_path / "later.mp4")
    assert "later.mp4" in repr(clip)
    factory.clip_without_audio(tmp_path / "later.mp4", seconds=0.2)
    assert clip.frame_count == 5


@pytest.mark.parametrize("batch", [1, 7, 32, 100])
def test_batches_hold_all_frames_in_order(lossless, batch):
    path, frames, _ = lossless
    pieces = list(Clip(path).frames(batch))
    assert all(piece.dtype == np.uint8 and 1 <= len(piece) <= batch for piece in pieces)
    np.testing.assert_array_equal(np.concatenate(pieces), frames)


def test_one_decode_serves_frames_count_and_audio(lossless, passes):
    path, frames, audio = lossless
    clip = Clip(path)
    assert clip.frame_count == 40
    np.testing.assert_array_equal(all_frames(clip), frames)
    np.testing.assert_array_equal(clip.audio(), audio)
    np.testing.assert_array_equal(clip.frames_at([3, 1, 3]), frames[[3, 1, 3]])
    assert passes == [25]


def test_a_small_budget_decodes_again_and_gives_the_same(lossless, passes):
    path, frames, audio = lossless
    clip = Clip(path, frame_budget=frames[0].nbytes * 5)
    for _ in range(2):
        np.testing.assert_array_equal(all_frames(clip), frames)
    np.testing.assert_array_equal(clip.frames_at([39, 0]), frames[[39, 0]])
    np.testing.assert_array_equal(clip.audio(), audio)
    assert passes == [25, 25, 25]


def test_clips_share_a_budget_and_give_back_what_they_held(lossless, passes):
    """Room for one and a half: the second is decoded again until the first is released."""
    path, frames, _ = lossless
    budget = FrameBudget(frames.nbytes * 3 // 2)
    one, other = Clip(path, frame_budget=budget), Clip(path, frame_budget=budget)
    for clip in (one, other, one, other):
        np.testing.assert_array_equal(all_frames(clip), frames)
    assert len(passes) == 3 and budget.left == frames.nbytes // 2
    one.release()
    assert budget.left == frames.nbytes * 3 // 2
    for _ in range(2):
        np.testing.assert_array_equal(all_frames(other), frames)
    assert len(passes) == 4
    other.release()
    for _ in zip(one.frames(8), one.frames(8), strict=True):  # both may keep theirs, one of them does
        pass
    abandoned = other.frames(4)
    next(abandoned)
    abandoned.close()
    one.release()
    assert budget.left == frames.nbytes * 3 // 2


def test_a_picture_that_stands_in_several_frames_is_kept_once(lossless, passes):
    path, frames, _ = lossless
    budget = FrameBudget(frames.nbytes)
    clip = Clip(path, frame_rate=100, frame_budget=budget)
    for _ in range(2):
        assert sum(map(len, clip.frames())) == 160
    assert passes == [100] and budget.left == 0
    clip.release()
    assert budget.left == frames.nbytes


def test_audio_alone_decodes_no_pictures(lossless, passes):
    path, _, audio = lossless
    np.testing.assert_array_equal(Clip(path).audio(), audio)
    assert passes == [None]


def test_an_abandoned_pass_leaves_nothing_behind(lossless):
    path, frames, _ = lossless
    clip = Clip(path)
    next(clip.frames(4))
    assert clip.frame_count == 40
    np.testing.assert_array_equal(all_frames(clip), frames)


def test_two_passes_may_run_side_by_side(lossless):
    path, frames, _ = lossless
    clip = Clip(path)
    for first, second in zip(clip.frames(8), clip.frames(8), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("budget", [1 << 29, 0])
def test_single_frames_are_those_of_the_batches_and_nobody_can_change_them(lossless, budget):
    path, frames, _ = lossless
    clip = Clip(path, frame_budget=budget)
    for _ in range(2):  # while it decodes, and from what it kept
        found = list(clip.each_frame())
        np.testing.assert_array_equal(found, frames)
        assert not any(frame.flags.writeable for frame in found)


def test_changing_a_batch_changes_nobody_elses(lossless):
    path, frames, _ = lossless
    clip = Clip(path)
    for batch in clip.frames():
        batch[:] = 0
    np.testing.assert_array_equal(all_frames(clip), frames)
    with pytest.raises(ValueError, match="read-only"):
        clip.audio()[0] = 1


@pytest.mark.parametrize("indices", [[40], [-1], [0, 99]])
def test_frames_outside_are_an_index_error(lossless, indices):
    for clip in (Clip(lossless[0]), Clip(lossless[0], frame_budget=0)):
        with pytest.raises(IndexError, match="lossless.mkv"):
            clip.frames_at(indices)


def test_bad_arguments_are_refused(lossless):
    with pytest.raises(ValueError, match="frame_rate"):
        Clip(lossless[0], frame_rate=0)
    with pytest.raises(ValueError, match="batch"):
        next(Clip(lossless[0]).frames(0))
    with pytest.raises(ValueError, match="at least one"):
        Clip(lossless[0]).frames_at([])


def test_digest_is_the_files_sha256(lossless):
    path = lossless[0]
    assert Clip(path).digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_info_tells_what_the_header_says(tmp_path):
    path = factory.write_clip(
        tmp_path / "a.mp4", factory.moving_pattern(30), np.zeros((44100, 2), np.float32), frame_rate=30,
        audio_rate=44100, sample_aspect_ratio=Fraction(4, 3),
    )  # fmt: skip
    info = Clip(path).info
    assert (info.width, info.height, info.frame_rate, info.frame_count) == (128, 96, 30, 30)
    assert (info.video_codec, info.pixel_format, info.audio_codec) == ("h264", "yuv420p", "aac")
    assert (info.audio_rate, info.audio_channels, info.sample_aspect_ratio) == (44100, 2, Fraction(4, 3))
    assert info.duration == pytest.approx(1.0, abs=0.03)


def test_memo_computes_once_and_remembers_reasons(lossless):
    clip, calls = Clip(lossless[0]), []

    def compute():
        calls.append(1)
        return {"x": 1}

    assert clip.memo(("k", 1), compute) is clip.memo(("k", 1), compute)
    assert len(calls) == 1
    for kind in (Unscorable, NotApplicable):

        def refuse(kind=kind):
            calls.append(1)
            raise kind("no face")

        for _ in range(3):
            with pytest.raises(kind, match="no face"):
                clip.memo(("reason", kind), refuse)
    assert len(calls) == 3
    clip.release()
    clip.memo(("k", 1), compute)
    assert len(calls) == 4


def test_other_exceptions_are_not_remembered(lossless):
    clip = Clip(lossless[0])
    with pytest.raises(ZeroDivisionError):
        clip.memo(("k",), lambda: 1 / 0)
    assert clip.memo(("k",), lambda: 5) == 5


class Store(dict):
    def get(self, digest, fingerprint, suffix):
        return super().get((digest, fingerprint, suffix))

    def put(self, digest, fingerprint, suffix, arrays):
        self[digest, fingerprint, suffix] = arrays


def test_stored_survives_the_clip_by_content_and_protocol(lossless, tmp_path):
    store = Store()
    copy = shutil.copy(lossless[0], tmp_path / "renamed.mkv")
    first = Clip(lossless[0], features=store).stored("fp1", "embedding", lambda: {"v": np.arange(3)})
    again = Clip(copy, features=store).stored("fp1", "embedding", lambda: pytest.fail("computed twice"))
    np.testing.assert_array_equal(first["v"], again["v"])
    other = Clip(copy, features=store).stored("fp2", "embedding", lambda: {"v": np.arange(4)})
    assert len(other["v"]) == 4 and len(store) == 2


def test_stored_without_a_store_is_a_memo(lossless):
    clip, calls = Clip(lossless[0]), []
    for _ in range(2):
        clip.stored("fp", "s", lambda: calls.append(1) or {"v": np.zeros(1)})
    assert len(calls) == 1


def test_release_frees_and_the_clip_stays_usable(lossless, passes):
    clip = Clip(lossless[0])
    all_frames(clip)
    clip.release()
    assert clip.frame_count == 40
    assert len(all_frames(clip)) == 40
    assert passes == [25, 25]


@pytest.mark.parametrize("rate", [12, 24, 30, Fraction(30000, 1001)])
def test_other_output_rates(lossless, rate):
    clip = Clip(lossless[0], frame_rate=rate)
    assert abs(clip.duration - 1.6) <= 2 / rate


# -- alignment ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv"])
def test_late_audio_is_padded_with_silence(tmp_path, name):
    audio = factory.noise(1.0)
    kwargs = {"audio_codec": "flac" if name.endswith("mkv") else "aac"}
    path = factory.write_clip(tmp_path / name, factory.moving_pattern(50), audio, audio_start=0.5, **kwargs)
    heard = Clip(path).audio()
    assert np.abs(heard[:6900]).max() < 1e-3  # up to one AAC frame of encoder onset before 0.5 s
    lags = np.correlate(heard[8000 - 200 : 8000 + 16000 + 200], audio[:8000], "valid")[:400]
    assert abs(int(np.argmax(lags)) - 200) <= 16  # 1 ms: mkv keeps milliseconds
    assert numbers(Clip(path)) == list(range(50))


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv"])
def test_zero_is_the_first_picture_whenever_it_comes(tmp_path, name):
    audio = factory.noise(2.0)
    path = factory.write_clip(
        tmp_path / name, factory.moving_pattern(30), audio, video_start=Fraction(2, 5), audio_codec="flac",
        container="mp4" if name.endswith("mp4") else "matroska",
    )  # fmt: skip
    clip = Clip(path)
    assert numbers(clip) == list(range(30))
    assert clip.timeline.zero == Fraction(2, 5)
    # What sounds before the first picture is cut, to the sample (flac is lossless).
    np.testing.assert_allclose(clip.audio(), audio[6400:], atol=1e-4)


def test_a_common_offset_is_no_offset(tmp_path):
    path = factory.write_clip(
        tmp_path / "a.mkv", factory.moving_pattern(25), factory.noise(1.0), video_start=3, audio_start=3,
        audio_codec="flac",
    )  # fmt: skip
    assert numbers(Clip(path)) == list(range(25))
    assert len(Clip(path).audio()) == 16000


def surround(layout, audio, path):
    """Write (n, channels) float audio with a named layout, as 32-bit PCM."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("pcm_f32le", rate=16000, layout=layout)
        frame = av.AudioFrame.from_ndarray(audio.astype(np.float32).reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = 16000, Fraction(1, 16000), 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


# ITU-R BS.775-3, Table 2: the 1/0 (mono) down-mix of 3/2, in the order of the layout's channels.
BS775 = {
    "mono": [1],
    "stereo": [0.5, 0.5],
    "3.0": [0.7071, 0.7071, 1],
    "5.0": [0.7071, 0.7071, 1, 0.5, 0.5],
    "5.1": [0.7071, 0.7071, 1, 0, 0.5, 0.5],
    "5.1(side)": [0.7071, 0.7071, 1, 0, 0.5, 0.5],
    "7.1": [0.7071, 0.7071, 1, 0, 0.5, 0.5, 0.5, 0.5],
    "2.1": [0.7071, 0.7071, 0],
    "quad": [0.7071, 0.7071, 0.5, 0.5],
}


@pytest.mark.parametrize(
    ("layout", "name"), [*((layout, "a.wav") for layout in BS775), ("5.1", "a.mkv"), ("7.1", "a.mkv"), ("2.1", "a.mkv")]
)
def test_the_down_mix_is_that_of_bs_775(tmp_path, layout, name):
    audio = np.stack([factory.noise(0.5, seed=channel) for channel in range(len(BS775[layout]))], axis=1)
    # PCM in Matroska does not say where its channels stand.
    path = surround(layout, audio, tmp_path / name)
    np.testing.assert_allclose(Clip(path).audio(), audio @ np.array(BS775[layout]), atol=1e-5)


def test_speech_in_the_centre_keeps_its_level(tmp_path):
    speech = factory.noise(0.5)
    audio = np.zeros((len(speech), 6), np.float32)
    audio[:, 2] = speech
    np.testing.assert_allclose(Clip(surround("5.1", audio, tmp_path / "a.mkv")).audio(), speech, atol=1e-7)


def test_channels_that_cancel_are_a_reason_and_silence_is_none(tmp_path):
    speech = factory.noise(0.5)
    path = surround("stereo", np.stack([speech, -speech], axis=1), tmp_path / "a.wav")
    with pytest.raises(MediaError, match="the 2 audio channels cancel each other"):
        Clip(path).audio()
    assert not Clip(surround("stereo", np.zeros((8000, 2)), tmp_path / "b.wav")).audio().any()
    one_sided = Clip(surround("stereo", np.stack([speech, 0 * speech], axis=1), tmp_path / "c.wav")).audio()
    np.testing.assert_allclose(one_sided, speech / 2, atol=1e-7)


@pytest.mark.parametrize(("codec", "step"), [("pcm_u8", 1 / 128), ("pcm_s16le", 1 / 32768), ("pcm_s32le", 1e-7),
                                             ("pcm_f32le", 1e-7), ("pcm_f64le", 1e-7)])  # fmt: skip
def test_every_sample_format_has_full_scale_one(tmp_path, codec, step):
    audio = np.clip(factory.noise(0.5, amplitude=0.3), -1, 0.99).astype(np.float32)
    path = factory.write_clip(tmp_path / "a.wav", None, audio, audio_codec=codec)
    np.testing.assert_allclose(Clip(path).audio(), audio, atol=1.01 * step)


# -- pictures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((UNIT, 0, 0, UNIT), lambda p: p),
        ((0, UNIT, -UNIT, 0), lambda p: np.rot90(p, -1)),
        ((-UNIT, 0, 0, -UNIT), lambda p: np.rot90(p, 2)),
        ((0, -UNIT, UNIT, 0), lambda p: np.rot90(p, 1)),
        ((-UNIT, 0, 0, UNIT), lambda p: p[:, ::-1]),
        ((UNIT, 0, 0, -UNIT), lambda p: p[::-1]),
    ],
)
def test_display_matrices_turn_and_mirror(matrix, turn):
    a, b, c, d = matrix
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    turned = orient(picture, np.array([[a, b, 0], [c, d, 0], [0, 0, 1 << 30]]))
    np.testing.assert_array_equal(turned, turn(picture))


def test_a_slanted_display_matrix_is_refused():
    slant = np.array([[46341, 46341, 0], [-46341, 46341, 0], [0, 0, 1 << 30]])
    with pytest.raises(MediaError, match="quarter turn"):
        orient(np.zeros((2, 2, 3), np.uint8), slant)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_metadata_is_applied_as_ffmpeg_does(tmp_path, degrees):
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg program to compare with")
    path = factory.write_clip(tmp_path / "r.mp4", factory.moving_pattern(3), rotation=degrees)
    frames = all_frames(Clip(path))
    assert frames.shape[1:3] == ((96, 128) if degrees == 180 else (128, 96))
    np.testing.assert_array_equal(frames, program_frames(path, frames.shape))


def program_frames(path, shape):
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(shape)


@pytest.mark.parametrize("colour", [None, (1, 1), (1, 2), (6, 1), (6, 2)])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p"])
def test_declared_colour_matrix_and_range_are_followed(tmp_path, colour, pixel_format):
    frames = factory.moving_pattern(3)
    path = factory.write_clip(
        tmp_path / "c.mkv", frames, colour=colour, pixel_format=pixel_format, video_options={"crf": "1"}
    )
    decoded = all_frames(Clip(path)).astype(int)
    # Smooth part of the picture; the wrong matrix or range is off by 5 to 20 there.
    assert np.abs(decoded - frames)[:, 30:].mean() < (3.0 if pixel_format == "yuv420p" else 1.0)
    assert np.abs((decoded - frames)[:, 30:].mean(axis=(0, 1, 2))).max() < 2.0


def test_pixels_are_those_of_the_ffmpeg_program(tmp_path):
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg program to compare with")
    path = factory.write_clip(tmp_path / "a.mp4", factory.moving_pattern(5, 98, 130), colour=(1, 1))
    frames = all_frames(Clip(path))
    np.testing.assert_array_equal(frames, program_frames(path, frames.shape))


def test_odd_sizes_and_oblong_pixels_come_as_stored(tmp_path):
    frames = factory.moving_pattern(3, 97, 131)
    path = factory.write_clip(
        tmp_path / "o.mkv", frames, video_codec="ffv1", pixel_format="bgr0", sample_aspect_ratio=Fraction(2, 1)
    )
    np.testing.assert_array_equal(all_frames(Clip(path)), frames)


def test_memory_does_not_grow_with_length(tmp_path):
    """Peak memory of a pass over 30 and over 300 frames, in fresh processes, differs by less than 40 frames."""
    import sys

    frames = np.repeat(factory.moving_pattern(1, 240, 320), 300, axis=0)
    # Not getrusage: a child begins with the largest size of the process that started it.
    measure = (
        "import sys\nfrom t2av_bench.media.clip import Clip\n"
        "c=Clip(sys.argv[1],frame_budget=0)\nassert sum(len(b) for b in c.frames(4))==int(sys.argv[2])\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    peaks = []
    for count in (30, 300):
        path = factory.write_clip(tmp_path / f"{count}.mp4", frames[:count])
        command = [sys.executable, "-c", measure, path, str(count)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(run.stdout) * 1024)
    assert peaks[1] - peaks[0] < 40 * frames[0].nbytes
