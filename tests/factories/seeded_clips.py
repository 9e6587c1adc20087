"""Whether a system's clips depend on the seed of their request alone."""

from pathlib import Path

from t2av_bench.systems.base import Request, System


def check_seeds(system: System, identity: Path, folder: Path, target_seconds: float) -> None:
    """The same seed gives the same bytes whatever the process's generator has done since, another one others; the
    first clip is ``folder/first.mp4``.
    """
    import torch

    def make(name: str, seed: int) -> tuple[bytes, bytes]:
        clip = system.generate(Request(
            name, folder / f"{name}.mp4", text="bin blue", identity=identity, seed=seed, target_seconds=target_seconds
        ))  # fmt: skip
        assert clip.video is not None
        return clip.video.read_bytes(), clip.audio.read_bytes()

    first = make("first", 5)
    torch.manual_seed(99)
    assert make("again", 5) == first
    other = make("other", 6)
    assert other[0] != first[0] and other[1] != first[1]
