"""A tree with Ovi's names and habits: a relative path at import, None on any error, sound beyond full scale."""

import logging
import os
import re
import traceback

import numpy

DEFAULT_CONFIG = {"model_name": open("ovi/configs/inference/inference_fusion.yaml").read().split('"')[1]}
SPECS = {"720x720_5s": ("model.safetensors", 121), "960x960_5s": ("model_960x960.safetensors", 121),
         "960x960_10s": ("model_960x960_10s.safetensors", 241)}  # fmt: skip


class OviFusionEngine:
    def __init__(self, config=DEFAULT_CONFIG, device=0, target_dtype=None):
        file, self.frames = SPECS[config.get("model_name", "960x960_5s")]
        if config.get("fp8", False):
            file = "model_fp8_e4m3fn.safetensors"
        if not os.path.exists(os.path.join(config.ckpt_dir, "Ovi", file)):
            raise RuntimeError(f"REQUIRED fusion checkpoint not found in {config.ckpt_dir}, please download...")
        print("printed on the descriptor of results", flush=True)

    def generate(self, text_prompt, image_path=None, video_frame_height_width=None, seed=100, solver_name="unipc",
                 sample_steps=50, shift=5.0, video_guidance_scale=5.0, audio_guidance_scale=4.0, slg_layer=9,
                 video_negative_prompt="", audio_negative_prompt=""):  # fmt: skip
        try:
            if open(image_path, "rb").read(4) != b"\x89PNG":
                raise ValueError(f"cannot identify image file {image_path!r}")
            logging.warning("GIVEN %s", sorted((k, v) for k, v in locals().items() if k != "self"))
            spoken = re.findall(r"<S>(.*?)<E>", text_prompt)
            if spoken == ["out of memory"]:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            rng = numpy.random.default_rng(seed)
            frames = self.frames - (spoken == ["short"])
            video = rng.uniform(-1, 1, (3, frames, 1, 1)).astype("f4") + numpy.zeros((3, frames, 32, 32), "f4")
            audio = rng.uniform(-0.5, 0.5, round(frames / 24 * 16000)).astype("f4")
            if spoken == ["loud"]:
                audio[:7] = 1.5
            if spoken == ["nan"]:
                audio[3] = numpy.nan
            return video, audio, None
        except Exception:
            logging.error(traceback.format_exc())
            return None
