"""Ovi: sound and picture of five or ten seconds, as the checkpoint has it."""

import logging
import os
import sys

from _worker import Refused, write_sound

FRAMES = {"720x720_5s": 121, "960x960_5s": 121, "960x960_10s": 241}
GENERATION = ("solver_name", "sample_steps", "shift", "video_guidance_scale", "audio_guidance_scale", "slg_layer",
              "video_negative_prompt", "audio_negative_prompt")  # fmt: skip


class Config(dict):
    """The engine asks for keys both ways."""

    __getattr__ = dict.__getitem__


class Errors(logging.Handler):
    """``generate`` logs the traceback of whatever went wrong and returns None: the log alone knows why."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


def load(settings):
    options = settings["options"]
    if options["checkpoint"] not in FRAMES:
        raise ValueError("checkpoint is one of {}, got {!r}".format(", ".join(FRAMES), options["checkpoint"]))
    if options["fp8"] and options["checkpoint"] != "720x720_5s":
        raise ValueError("fp8 is for checkpoint 720x720_5s alone, got {!r}".format(options["checkpoint"]))
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    from ovi.ovi_fusion_engine import OviFusionEngine

    config = Config(ckpt_dir=settings["weights"], model_name=options["checkpoint"], mode="i2v",
                    cpu_offload=options["cpu_offload"], fp8=options["fp8"], qint8=options["qint8"])  # fmt: skip
    device = settings["device"]
    rank = int(device.split(":")[1]) if device.startswith("cuda:") else device
    return OviFusionEngine(config=config, device=rank), options


def make(model, request):
    engine, options = model
    if not request["identity"]:
        raise Refused("refused", "the picture is the first frame: give an identity")
    errors = Errors()
    logging.getLogger().addHandler(errors)
    try:
        made = engine.generate(
            text_prompt=request["prompt"], image_path=request["identity"], video_frame_height_width=None,
            seed=request["seed"], **{name: options[name] for name in GENERATION})  # fmt: skip
    finally:
        logging.getLogger().removeHandler(errors)
    if made is None:
        logged = errors.messages[-1].strip().splitlines() if errors.messages else []
        raise RuntimeError(logged[-1] if logged else "generate() returned None and logged no error")
    frames, samples = made[0], made[1]
    expected = FRAMES[options["checkpoint"]]
    if frames.shape[1] != expected:
        raise RuntimeError(f"{frames.shape[1]} frames came, {options['checkpoint']} makes {expected}")
    import numpy

    if not numpy.isfinite(samples).all():
        raise RuntimeError("the sound holds values that are no numbers")
    stem = os.path.join(request["out_dir"], request["id"])
    write_video(stem + ".mp4", frames)
    clipped = write_sound(stem + ".wav", samples, 16000)
    notes = [f"{clipped} of {samples.size} samples lay beyond full scale and were clipped"] if clipped else []
    return {"video": stem + ".mp4", "audio": stem + ".wav", "notes": notes}


def write_video(path, frames):
    """(3, F, H, W) float in [-1, 1] at 24 fps. The repository's own writer guesses the range from the maximum."""
    import imageio_ffmpeg
    import numpy

    height, width = frames.shape[2:]
    file = imageio_ffmpeg.write_frames(path, (width, height), fps=24, codec="libx264", quality=None,
                                       output_params=["-crf", "12"])  # fmt: skip
    file.send(None)
    for index in range(frames.shape[1]):
        if not numpy.isfinite(frames[:, index]).all():
            raise RuntimeError(f"frame {index} holds values that are no numbers")
        pixels = numpy.clip(numpy.rint((frames[:, index] + 1) * 127.5), 0, 255).astype(numpy.uint8)
        file.send(numpy.ascontiguousarray(pixels.transpose(1, 2, 0)))
    file.close()
