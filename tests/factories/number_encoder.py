"""An encoder for tests: a clip is a dictionary of what becomes of it, and its samples are numbers."""

import os
import signal
import time

import torch

from reference_model.training.samples import Sample
from t2av_bench.errors import Unscorable


class NumberEncoder:
    """``{"frames": 9}`` becomes 9 frames; ``seconds``: how long it takes; ``trouble``: what happens instead."""

    dims = {"speech_dim": 3, "motion_dim": 2, "speaker_dim": 4}

    def __init__(self, loads: bool = True) -> None:
        if not loads:
            raise ValueError("this encoder loads nothing")

    def __call__(self, clip, alive) -> Sample:
        time.sleep(clip.get("seconds", 0))
        alive()
        trouble = clip.get("trouble")
        if trouble == "refused":
            raise Unscorable("it shows no face")
        if trouble == "defect":
            raise KeyError("key")
        if trouble == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        frames = clip["frames"]
        speech = torch.arange(3.0 * frames).reshape(frames, 3)
        if trouble == "not finite":
            speech[1] = torch.nan
        return Sample(torch.arange(1, 3), speech, torch.full((4,), 1.0 * frames), speech[:, :2], torch.tensor([7]))
