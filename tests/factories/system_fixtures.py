"""Fixtures of the tests of systems: persons, voices and clips, and a very small Talker-T2AV."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session", autouse=True)
def torchvision() -> None:
    """transformers imports torchvision, which a CPU torch lets it do only after this."""
    from t2av_bench.utils.optional import make_torchvision_importable

    make_torchvision_importable()


@pytest.fixture(scope="session")
def faces() -> dict[int, np.ndarray]:
    """Two persons, as moving 256x256 portraits (T, 256, 256, 3) uint8 RGB whose faces the Haar cascade finds."""
    from t2av_bench.gridface.portrait.portrait import Portrait
    from t2av_bench.gridface.speech.visemes import MOTION_NAMES, MOTION_SIZE

    motion = np.zeros((30, MOTION_SIZE))
    motion[:, MOTION_NAMES.index("jaw")] = np.sin(np.arange(30) / 3) ** 2
    return {seed: Portrait(seed, 256).render(motion) for seed in (27, 8)}


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory, faces) -> dict[str, Path]:
    """image (png), voice (wav, 2 s between silences), speech (wav, 1.25 s), video (mp4 with sound, 30 frames)."""
    from PIL import Image
    from scipy.io import wavfile
    from tiny_talker import speech

    from t2av_bench.media.encode import write_mp4

    folder = tmp_path_factory.mktemp("inputs")
    Image.fromarray(faces[27][0]).save(folder / "image.png")
    quiet = np.zeros(16_000, np.float32)
    wavfile.write(folder / "voice.wav", 16_000, np.concatenate([quiet, speech(2.0, 16_000), quiet]))
    wavfile.write(folder / "speech.wav", 16_000, speech(1.25, 16_000, seed=1))
    write_mp4(folder / "video.mp4", faces[8], speech(1.2, 24_000, seed=2), audio_rate=24_000, preset="ultrafast")
    return {"image": folder / "image.png", "voice": folder / "voice.wav", "speech": folder / "speech.wav",
            "video": folder / "video.mp4"}  # fmt: skip


@pytest.fixture(scope="session")
def components():
    from tiny_talker import tiny_components

    return tiny_components()
