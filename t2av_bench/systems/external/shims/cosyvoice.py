"""CosyVoice 2 and Fun-CosyVoice 3: speech in the voice of a recording whose words are known."""

import os
import random
import sys
import wave

from _worker import Refused, write_sound

LONGEST = 30.0  # seconds: an assertion of its front end
PREFIX = "You are a helpful assistant.<|endofprompt|>"  # version 3 was trained with it before the recording's words


def load(settings):
    folder = os.path.join(settings["weights"], settings["options"]["model_dir"])
    if not os.path.isdir(folder):  # it would ask a hub for it
        raise ValueError(f"the folder of the model is missing: {folder}")
    sys.path.insert(0, os.path.join(settings["checkout"], "third_party", "Matcha-TTS"))
    from cosyvoice.cli.cosyvoice import AutoModel

    return AutoModel(model_dir=folder), settings["options"]


def make(model, request):
    system, options = model
    words = (request["voice_text"] or "").strip()
    if not words:
        raise Refused("refused", "the words of the voice are not known: give voice_text")
    with wave.open(request["voice"]) as file:
        seconds = file.getnframes() / float(file.getframerate())
    if seconds > LONGEST:
        raise Refused("refused", f"the voice lasts {seconds:.1f} s; CosyVoice takes 30 s at most")
    if type(system).__name__ == "CosyVoice3":
        words = PREFIX + words
    import numpy

    random.seed(request["seed"])
    numpy.random.seed(request["seed"])
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(request["seed"])
    pieces = [
        numpy.asarray(piece["tts_speech"]).reshape(-1)
        for piece in system.inference_zero_shot(
            request["text"], words, request["voice"], stream=False, speed=options["speed"],
            text_frontend=options["text_frontend"])
    ]  # fmt: skip
    if not sum(len(piece) for piece in pieces):
        raise RuntimeError("inference_zero_shot() gave no sound")
    samples = numpy.concatenate(pieces)
    path = os.path.join(request["out_dir"], request["id"] + ".wav")
    clipped = write_sound(path, samples, system.sample_rate)
    notes = [f"{len(pieces)} pieces were put together"] if len(pieces) > 1 else []
    notes += [f"{clipped} samples lay beyond full scale and were clipped"] if clipped else []
    return {"audio": path, "notes": notes}
