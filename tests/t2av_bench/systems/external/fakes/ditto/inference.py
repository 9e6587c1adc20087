"""Same functions and habits as Ditto's script at the commit of its specification."""

import math
import os
import random
import wave

import numpy
import torch


def seed_everything(seed):
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)


def run(SDK, audio_path, source_path, output_path, more_kwargs={}):  # noqa: B006
    SDK.setup(source_path, output_path, **more_kwargs.get("setup_kwargs", {}))
    with wave.open(audio_path) as file:
        frames = math.ceil(25 * file.getnframes() / file.getframerate())
    SDK.setup_Nd(N_d=frames)
    SDK.close()
    os.system(f'ffmpeg -loglevel error -y -i "{SDK.tmp_output_path}" -i "{audio_path}" -c:v copy "{output_path}"')
