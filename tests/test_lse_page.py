"""docs/why_lse.md: published sizes are those of the packaged table, and the script measures what it says."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scripts import script_module

from t2av_bench.extractors.syncnet import SyncResult

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "why_lse.md").read_text(encoding="utf-8")
LATE = 7  # rows of 10 ms


@pytest.fixture(scope="module")
def script():
    return script_module("bench/lse_causes.py")


@pytest.fixture(scope="module")
def published() -> pd.DataFrame:
    table = pd.read_csv(ROOT / "t2av_bench" / "attestation" / "references" / "mochabench.csv")
    table["tracks"] = [[int(each) for each in str(given).split()] if given == given else [] for given in table.offsets]
    table["kind"] = table.id.str.partition("/")[0]
    return table


def test_the_means_of_published_values(published):
    faces = published[published.sync_c.notna()]
    single = published[published.tracks.map(len) == 1]
    monologue = {kind for kind in faces.kind if kind.startswith("1p_")} - {"1p_generalize_chinese"} | {"2p_1clip_1talk"}
    leaders = faces[faces.kind.isin(monologue)]
    for name, chosen, n in (
        ("all, where two without a face count as C = D = 0", published.fillna({"sync_c": 0, "sync_d": 0}), 220),
        ("with a face", faces, 218), ("with one face track", single, 200),
        ("with a face, English monologue: the leaderboard", leaders, 199),
    ):  # fmt: skip
        assert len(chosen) == n
        assert f"| {name} | {n} | {chosen.sync_c.mean():.3f} | {chosen.sync_d.mean():.3f} |" in PAGE


def test_clips_with_several_tracks(published):
    several = published[published.tracks.map(len) > 1]
    spread = several.tracks.map(lambda offsets: max(offsets) - min(offsets))
    single = published[published.tracks.map(len) == 1]
    words = " ".join(PAGE.split())
    assert f"{len(several)} of MoChaBench's 220 clips have several tracks" in words
    assert (
        f"is {several.sync_c.mean():.2f} on average, against {single.sync_c.mean():.2f} for the 200 with one" in words
    )
    assert f"In {(spread > 0).sum()} of the 18 the tracks' offsets differ, in {(spread >= 12).sum()} by 12" in words


def test_kinds_of_clips(published):
    means = published.groupby("kind").sync_c.mean()
    means = means.drop("1p_generalize_chinese")  # four clips
    words = " ".join(PAGE.split())
    assert means.idxmin() == "2p_2clip_2talk" and means.idxmax() == "1p_protrait"
    assert f"C is {means.min():.2f} (two people who both talk, 15 clips) to {means.max():.2f} (portraits, 38" in words


def vectors(frames: int, seed: int, noise: float = 0.3, late: int = 0):
    """Mouths, and sounds that are theirs with noise, ``late`` rows late; unit vectors of one network."""
    random = np.random.default_rng(seed)
    slow = random.normal(size=(frames + 60, 32))
    rows = np.stack([np.interp(np.arange(4 * frames + 160), 4 * np.arange(len(slow)), each) for each in slow.T], 1)
    mouth, sound = rows[80 : 80 + 4 * frames : 4], rows[80 - late : 80 - late + 4 * frames]
    sound = sound + noise * random.normal(size=sound.shape)
    return [tuple(each / np.linalg.norm(each, axis=1, keepdims=True) for each in (mouth, sound))]


def test_noise_has_more_confidence_the_shorter_it_is(script):
    strangers = [script.exchanged(vectors(200, seed), vectors(200, seed + 100)) for seed in range(6)]
    found = [np.mean([script.pieces(each, frames) for each in strangers], axis=(0, 1)) for frames in (25, 50, 100)]
    without = [confidence for _, _, confidence, _ in found]
    assert without[0] > 1.3 * without[1] > 1.3 * 1.3 * without[2]


def test_without_zeros_a_whole_curve_is_the_mean_of_what_there_is(script):
    (pair,) = vectors(60, 3)
    mouth, sound = pair[0], pair[1][::4]
    curve = [
        np.mean([np.linalg.norm(mouth[k] - sound[k - o]) for k in range(60) if 0 <= k - o < 60])
        for o in range(15, -16, -1)
    ]
    expected = SyncResult.of_curve(np.array(curve))
    _, _, confidence, distance = script.published_rule([pair], 0, 60)
    assert (confidence, distance) == pytest.approx((expected.confidence, expected.distance), abs=1e-6)


def test_a_sound_between_two_frames_costs_most_half_way(script):
    clips = {f"{seed}": vectors(200, seed, late=LATE) for seed in range(4)}
    assert all(script._best(each) == LATE for each in clips.values())
    rows = [line.split("|") for line in script.start_table(clips).splitlines()[2:]]
    cost = [float(row[3].split()[0]) for row in rows]
    assert cost[1] < cost[0] < -0.005 and cost[1] < cost[2] < -0.005
    assert abs(cost[3]) < abs(cost[1]) / 4
