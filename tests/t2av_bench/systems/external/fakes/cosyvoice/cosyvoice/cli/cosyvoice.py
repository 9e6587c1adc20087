"""A module with CosyVoice's names and habits: a text comes in pieces, of the global generators."""

import logging
import os
import random
import re
import wave

import matcha  # noqa: F401
import numpy


class CosyVoice:
    sample_rate = 24000

    def __init__(self, model_dir, load_jit=False, load_trt=False, fp16=False, trt_concurrent=1):
        self.model_dir = model_dir

    def inference_zero_shot(self, tts_text, prompt_text, prompt_wav, zero_shot_spk_id='', stream=False, speed=1.0, text_frontend=True):  # noqa: E501  # fmt: skip
        logging.warning("GIVEN %s", [prompt_text, stream, speed, text_frontend])
        with wave.open(prompt_wav) as file:
            assert file.getnframes() / file.getframerate() <= 30, "do not support extract speech token for audio longer than 30s"  # noqa: E501  # fmt: skip
        for sentence in re.findall(r"[^.]+", tts_text):
            level = random.uniform(0.1, 0.5)
            yield {"tts_speech": numpy.full((1, 1000 * len(sentence)), level) + numpy.random.uniform(0, 0.1)}


class CosyVoice2(CosyVoice):
    def __init__(self, model_dir, load_jit=False, load_trt=False, load_vllm=False, fp16=False, trt_concurrent=1):
        super().__init__(model_dir)


class CosyVoice3(CosyVoice2):
    def __init__(self, model_dir, load_trt=False, load_vllm=False, fp16=False, trt_concurrent=1):
        super().__init__(model_dir)


def AutoModel(**kwargs):
    for name, kind in (("cosyvoice", CosyVoice), ("cosyvoice2", CosyVoice2), ("cosyvoice3", CosyVoice3)):
        if os.path.exists("{}/{}.yaml".format(kwargs["model_dir"], name)):
            return kind(**kwargs)
    raise TypeError("No valid model type found!")
