"""Each damage does what it says, more of it at a higher grade, and the writing itself is none."""

import itertools
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from media_factory import moving_pattern, noise, tone, write_clip

pytest.importorskip("cv2", reason="OpenCV is not installed")

from t2av_bench.errors import Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.metrics.base import Damage
from t2av_bench.validation import damages, pictures, sounds
from t2av_bench.validation.damages import CONTROL, DAMAGES
from t2av_bench.validation.pictures import Source

COUNT = 40


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A clip with sound, another of another size, and the folder where the first one's control lies."""
    folder = tmp_path_factory.mktemp("damages")
    audio = noise(COUNT / 25, rate=48000)
    one = write_clip(folder / "one.mp4", moving_pattern(COUNT), audio, audio_rate=48000)
    two = write_clip(folder / "two.mp4", moving_pattern(15, 160, 120, seed=9))
    source = Source(Clip(one), Clip(two))
    damages.write(source, "one", CONTROL, 0, folder / "control.mp4", folder / "control.mp4")
    return source, folder


def written(clips, name, grade, source=None) -> Clip:
    own, folder = clips
    path = folder / f"{name}-{grade}{damages.suffix_of(name, grade)}"
    damages.write(source or own, "one", name, grade, path, folder / "control.mp4")
    return Clip(path)


def seen(clip: Clip) -> np.ndarray:
    return np.concatenate(list(clip.frames())).astype(np.float64)


def changed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n,) mean difference of each frame."""
    return np.abs(one - other).mean((1, 2, 3))


def test_every_name_that_claims_may_use_is_a_damage():
    assert tuple(DAMAGES) == get_args(Damage)
    for damage in DAMAGES.values():
        assert 3 <= len(damage.grades) <= 4 and sum(map(bool, (damage.pictures, damage.sound, damage.setting))) == 1


def test_the_page_says_what_each_damage_is():
    page = (Path(__file__).resolve().parents[3] / "docs" / "validity.md").read_text(encoding="utf-8")
    for name, damage in DAMAGES.items():
        grades = ", ".join(map(str, damage.grades))
        assert f"| `{name}` | {damage.what} | {grades} |" in page


def test_the_control_is_the_clip(clips):
    source, folder = clips
    control = Clip(folder / "control.mp4")
    assert changed(seen(control), seen(source.clip)).max() < 2.5
    assert np.abs(control.audio(16000) - source.clip.audio(16000)).std() < 0.1 * source.clip.audio(16000).std()


def test_the_same_clip_and_grade_give_the_same_file(clips):
    first = written(clips, "picture_noise", 5).path.read_bytes()
    assert written(clips, "picture_noise", 5).path.read_bytes() == first


@pytest.mark.parametrize("name", ["blur", "picture_noise", "bitrate", "flicker", "freeze", "identity_swap"])
def test_a_higher_grade_changes_the_pictures_more(clips, name):
    control = seen(Clip(clips[1] / "control.mp4"))
    amounts = [changed(seen(written(clips, name, grade)), control).mean() for grade in DAMAGES[name].grades]
    assert all(before < after for before, after in itertools.pairwise([0.5, *amounts])), amounts


def test_the_sound_of_damaged_pictures_and_the_pictures_of_damaged_sound_stay(clips):
    control = Clip(clips[1] / "control.mp4")
    np.testing.assert_array_equal(written(clips, "blur", 2).audio(48000), control.audio(48000))
    np.testing.assert_array_equal(seen(written(clips, "mute", 50)), seen(control))


def test_a_frozen_picture_stands_for_its_share_of_the_time(clips):
    still = [
        (changed(*(frames[part] for part in (slice(1, None), slice(0, -1)))) < 1).sum()
        for frames in (seen(written(clips, "freeze", grade)) for grade in (25, 50, 100))
    ]
    assert still == [COUNT // 4, COUNT // 2, COUNT - 1]


def test_frames_that_a_lower_grade_drops_are_dropped_by_a_higher_one_too(clips):
    source, _ = clips
    kept = []
    for grade in (25, 75):
        frames = list(pictures.dropped(source, grade, np.random.default_rng(3)))
        kept.append({index for index in range(1, COUNT) if frames[index] is not frames[index - 1]})
    assert kept[1] < kept[0] and len(kept[0]) > len(kept[1]) > 0
    assert 1 - len(kept[1]) / (COUNT - 1) == pytest.approx(0.75, abs=0.15)


def test_another_clip_is_seen_from_some_time_on_and_begins_again_where_it_is_short(clips):
    source, _ = clips
    frames = list(pictures.swapped(source, 50, np.random.default_rng(0)))
    assert (np.array(frames[:20]) == seen(source.clip)[:20]).all()
    # 160 x 120 scaled to cover 96 x 128: every row of the other's middle third, 16:15 wider.
    assert frames[20].shape == (96, 128, 3) and (frames[20] == frames[35]).all() and (frames[20] != frames[21]).any()
    with pytest.raises(Unscorable, match="give at least two clips"):
        written(clips, "identity_swap", 10, Source(source.clip))


@pytest.mark.parametrize("cuts", [1, 4])
def test_cuts_are_cuts(clips, cuts):
    frames = seen(written(clips, "cuts", cuts))
    steps = changed(frames[1:], frames[:-1])
    assert (steps > 3 * np.median(steps)).sum() == cuts


@pytest.mark.parametrize("step", [0, 1])
def test_the_mouth_stands_still_on_the_head(clips, monkeypatch, step):
    """The head stands, or goes to the right by a pixel a frame: the mouth of frame 19 stays where it was on it."""
    source, _ = clips
    moves = np.arange(COUNT)[:, None, None] * [step, 0.0]
    heads = np.array([[30.0, 20], [60, 20], [45, 35], [44, 52]]) + moves
    mouths = np.array([[20.0, 50], [70, 50], [70, 80], [20, 80]]) + moves
    monkeypatch.setattr(pictures, "heads_and_mouths", lambda clip: (heads, mouths))
    frames, plain = (
        np.array(list(each)) for each in (pictures.mouth_frozen(source, 50, np.random.default_rng(0)), source.frames())
    )
    assert (frames[:20] == plain[:20]).all()
    for index in range(20, COUNT):
        first, away = 20 + 19 * step, step * (index - 19)
        pasted = frames[index, 58:72, first + 10 + away : first + 40 + away]
        assert (pasted == plain[19, 58:72, first + 10 : first + 40]).all()
        outside = np.ones(frames.shape[1:3], bool)
        outside[48:82, first - 2 + away : first + 52 + away] = False
        assert (frames[index, outside] == plain[index, outside]).all()


def test_sound_comes_late_by_the_grade(clips):
    control, late = Clip(clips[1] / "control.mp4").audio(48000), written(clips, "desync", 80).audio(48000)
    spectrum = np.fft.rfft(late, 1 << 18) * np.conj(np.fft.rfft(control, 1 << 18))
    assert np.argmax(np.fft.irfft(spectrum)) == 0.08 * 48000


def test_muted_filtered_and_noisy_sound():
    audio = noise(2.0, rate=48000)
    muted = sounds.mute(audio, 25)
    assert (muted == 0).sum() == 24000 and (muted[:36000] == audio[:36000]).all() and muted[-1] == audio[-1]
    power = np.abs(np.fft.rfft(sounds.low_pass(audio, 1000, 48000))) ** 2
    hertz = np.fft.rfftfreq(len(audio), 1 / 48000)
    assert power[hertz > 2000].sum() < 1e-4 * power[hertz < 900].sum()
    speech = tone(2.0)
    added = sounds.hiss(speech, 10.0, np.random.default_rng(1)) - speech
    assert 10 * np.log10(np.mean(speech**2) / np.mean(added**2)) == pytest.approx(10, abs=0.2)


def test_delays_go_both_ways():
    audio = np.arange(1, 101, dtype=np.float32)
    assert (sounds.delay(audio, 30)[30:] == audio[:70]).all() and not sounds.delay(audio, 30)[:30].any()
    assert (sounds.delay(audio, -30)[:70] == audio[30:]).all() and not sounds.delay(audio, -30)[70:].any()


def test_noise_in_batches_is_the_noise_of_all_frames_at_once():
    """And without a generator that of the embedded benchmark's pages: a seed, one draw, rounded."""
    frames = np.random.default_rng(0).integers(0, 256, (7, 6, 8, 3), dtype=np.uint8)
    drawn = np.random.default_rng([0, 1]).standard_normal(frames.shape, dtype=np.float32)
    expected = np.clip(frames + 255 * 0.05 * drawn + 0.5, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(pictures.grain(frames, 0.05), expected)
    random = np.random.default_rng([0, 1])
    parts = [pictures.grain(part, 0.05, random) for part in np.split(frames, [2, 3])]
    np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_a_clip_ends_early_with_its_sound(clips):
    short = written(clips, "truncation", 25)
    assert short.frame_count == 30 and len(short.audio(48000)) == pytest.approx(30 * 1920, abs=1024)


@pytest.mark.parametrize("name", ["container", "frame_rate"])
def test_other_containers_and_rates_hold_the_same(clips, name):
    control = Clip(clips[1] / "control.mp4")
    for grade in DAMAGES[name].grades:
        other = written(clips, name, grade)
        assert other.frame_count == control.frame_count
        if name == "container":
            np.testing.assert_array_equal(seen(other), seen(control))
        else:
            assert other.info.frame_rate == grade
            near = np.minimum(changed(seen(other)[1:], seen(control)[:-1]), changed(seen(other)[1:], seen(control)[1:]))
            assert near.max() < 3, "each picture is one that is seen at that time, or a frame earlier"
        heard = other.audio(16000)
        np.testing.assert_allclose(heard[:25000], control.audio(16000)[:25000], atol=0.03)


def test_damaged_sound_needs_sound(clips, tmp_path):
    silent = Source(Clip(write_clip(tmp_path / "silent.mp4", moving_pattern(5))))
    with pytest.raises(Unscorable, match="the clip has no sound"):
        damages.write(silent, "silent", "mute", 50, tmp_path / "out.mp4", tmp_path / "control.mp4")
