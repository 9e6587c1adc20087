"""A module with F5-TTS's names and habits: its length includes the reference, and unknown words start a recogniser."""

import logging
import random
import sys
import wave

import numpy


class F5TTS:
    def __init__(self, model="F5TTS_v1_Base", ckpt_file="", vocab_file="", ode_method="euler", use_ema=True,
                 vocoder_local_path=None, device=None, hf_cache_dir=None):  # fmt: skip
        if not ckpt_file or not vocab_file or vocoder_local_path is None:
            raise OSError("this would fetch weights")

    def infer(self, ref_file, ref_text, gen_text, show_info=print, progress=None, target_rms=0.1,
              cross_fade_duration=0.15, sway_sampling_coef=-1, cfg_strength=2, nfe_step=32, speed=1.0,
              fix_duration=None, remove_silence=False, file_wave=None, file_spec=None, seed=None):  # fmt: skip
        if seed is None:
            seed = random.randint(0, sys.maxsize)
        if not ref_text.strip():
            raise OSError("this would start a recogniser")
        logging.warning("GIVEN %s", [sway_sampling_coef, cfg_strength, nfe_step, speed])
        with wave.open(ref_file) as file:
            reference = file.getnframes() / file.getframerate()
        seconds = fix_duration - reference if fix_duration else reference / len(ref_text) * len(gen_text) / speed
        samples = numpy.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * 24000)).astype("f4")
        if gen_text == "loud":
            samples[:5] = -1.5
        return (None if gen_text == "silent" else samples), 24000, None
