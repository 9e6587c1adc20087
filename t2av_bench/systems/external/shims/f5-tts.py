"""F5-TTS: speech in the voice of a recording whose words are known."""

import os
import sys
import wave

from _worker import Refused, write_sound

LONGEST = 12.0  # seconds: a longer recording is cut, and its transcript fits no more


def load(settings):
    sys.path.insert(0, os.path.join(settings["checkout"], "src"))
    from f5_tts.api import F5TTS

    options, weights = settings["options"], settings["weights"]
    paths = {name: os.path.join(weights, options[name]) for name in ("ckpt_file", "vocab_file", "vocoder_local_path")}
    for name, path in sorted(paths.items()):  # an empty path makes it fetch the file
        if not options[name] or not os.path.exists(path):
            raise ValueError(f"{name} is missing: {path}")
    return F5TTS(model=options["model"], device=settings["device"], **paths), options


def make(model, request):
    system, options = model
    if not (request["voice_text"] or "").strip():  # it would start a recogniser of its own
        raise Refused("refused", "the words of the voice are not known: give voice_text")
    with wave.open(request["voice"]) as file:
        reference = file.getnframes() / float(file.getframerate())
    if reference > LONGEST:
        raise Refused("refused", f"the voice lasts {reference:.1f} s; F5-TTS cuts it at 12 s, away from its words")
    asked = request["target_seconds"]
    samples, rate, _ = system.infer(
        ref_file=request["voice"], ref_text=request["voice_text"], gen_text=request["text"], seed=request["seed"],
        nfe_step=options["nfe_step"], cfg_strength=options["cfg_strength"],
        sway_sampling_coef=options["sway_sampling_coef"], speed=options["speed"],
        fix_duration=reference + asked if asked else None)  # fmt: skip
    if samples is None or not len(samples):
        raise RuntimeError("infer() gave no sound")
    path = os.path.join(request["out_dir"], request["id"] + ".wav")
    clipped = write_sound(path, samples, rate)
    return {"audio": path, "notes": [f"{clipped} samples lay beyond full scale and were clipped"] if clipped else []}
