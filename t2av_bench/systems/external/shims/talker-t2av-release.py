"""Talker-T2AV as released: its command makes one clip and ends."""

import os
import sys
import wave

from _worker import Refused, run

LONGEST = 30.0  # seconds: the command cuts a longer reference
FRAME_RATE = 25
BEYOND = 2.4  # seconds that a clip may be longer than its reference: fifteen patches of four frames
VARIABLES = {"whispervae": "WHISPERVAE_CKPT", "liax": "LIAX_CKPT", "wavlm": "WAVLM_CKPT"}
# The command has no seed: this runs the same file as a script after seeding what it draws from.
SEEDED = ("import random, runpy, sys; seed = int(sys.argv[1]); sys.argv = sys.argv[2:]; random.seed(seed)\n"
          "try:\n    import numpy; numpy.random.seed(seed)\nexcept ImportError: pass\n"
          "try:\n    import torch; torch.manual_seed(seed)\nexcept ImportError: pass\n"
          "runpy.run_path(sys.argv[0], run_name='__main__')")  # fmt: skip


def load(settings):
    if not os.path.isfile(os.path.join(settings["checkout"], "infer.py")):
        raise ValueError("the checkout has no infer.py")
    if not os.path.exists(settings["weights"]):
        raise ValueError("the weights are missing: {}".format(settings["weights"]))
    return settings


def make(model, request):
    if request["task"] != "t2av":
        raise Refused("refused", "the release has no entry for the task {}, only for t2av".format(request["task"]))
    with wave.open(request["voice"]) as file:
        seconds = file.getnframes() / float(file.getframerate())
    if seconds > LONGEST:
        raise Refused("refused", f"the voice lasts {seconds:.1f} s; the release reads 30 s of it")
    options, stem = model["options"], os.path.join(request["out_dir"], request["id"])
    reference = os.path.join(request["out_dir"], "reference.mp4")
    # The picture alone counts: a nearly lossless film of it, as long as the voice.
    last_words(["ffmpeg", "-nostdin", "-y", "-v", "error", "-loop", "1", "-framerate", str(FRAME_RATE),
         "-i", request["identity"], "-i", request["voice"], "-t", f"{max(seconds, 1.0 / FRAME_RATE):.3f}",
         "-c:v", "libx264", "-crf", "6", "-pix_fmt", "yuv420p", "-c:a", "aac", reference], model)  # fmt: skip
    arguments = ["--text", request["text"], "--ref-audio", request["voice"], "--ref-video", reference,
                 "--output", stem + ".mp4", "--checkpoint-dir", model["weights"], "--gt-prefix-seconds", "0",
                 "--fps", str(FRAME_RATE)]  # fmt: skip
    for name in ("llm_name", "cfm_steps", "cfm_temperature", "cfm_cfg"):
        arguments += ["--" + name.replace("_", "-"), str(options[name])]
    if options["ref_motion"]:
        arguments += ["--ref-motion", os.path.join(model["weights"], options["ref_motion"])]
    said = last_words([sys.executable, "-c", SEEDED, str(request["seed"]), "infer.py"] + arguments, model)
    for path in (stem + ".mp4", stem + ".wav"):
        if not os.path.isfile(path):
            raise RuntimeError(f"infer.py left no {os.path.basename(path)}; it said: {said}")
    made = (os.path.getsize(stem + ".wav") - 44) / 4.0 / 24000  # float32 at 24 kHz, which ``wave`` does not read
    notes = []
    if made > seconds + BEYOND - 4.0 / FRAME_RATE:
        notes.append(f"the clip is as long as the reference allows ({seconds:.2f} s + 2.4 s): words may be missing")
    return {"video": stem + ".mp4", "audio": stem + ".wav", "notes": notes}


def last_words(arguments, model):
    """Last words of a command that ended well."""
    variables = dict(os.environ, CHECKPOINT_DIR=model["weights"])
    for option, name in VARIABLES.items():
        if model["options"][option]:
            variables[name] = os.path.join(model["weights"], model["options"][option])
    status, last = run(arguments, model["checkout"], variables)
    if status:
        raise RuntimeError(f"{os.path.basename(arguments[0])} ended with {status}: {last}")
    return last
