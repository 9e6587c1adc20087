"""Sonic: a portrait speaks; everything it loads lies under ``checkpoints`` beside its code."""

import os
import sys
import tempfile

from _worker import Refused, link

NEEDED = ("Sonic/audio2bucket.pth", "Sonic/audio2token.pth", "Sonic/unet.pth", "stable-video-diffusion-img2vid-xt",
          "whisper-tiny", "RIFE", "yoloface_v5m.pt")  # fmt: skip


def load(settings):
    folder = os.path.join(settings["weights"], "checkpoints")
    missing = [name for name in NEEDED if not os.path.exists(os.path.join(folder, *name.split("/")))]
    if missing:
        raise FileNotFoundError("{} lacks {}: put or link them there".format(folder, ", ".join(missing)))
    tree = tempfile.mkdtemp()  # in the process's private folder, which goes with it
    link(settings, "checkpoints", tree)
    sys.path.insert(0, tree)
    os.chdir(tree)
    from sonic import Sonic

    device = settings["device"]
    return Sonic(int(device.split(":")[1]) if device.startswith("cuda:") else device), settings["options"]


def make(model, request):
    sonic, options = model
    path = os.path.join(request["out_dir"], request["id"] + ".mp4")
    # It makes other names by replacing ".mp4" wherever it stands in the path.
    if path.count(".mp4") != 1:
        raise ValueError(f"'.mp4' may stand once in the path, got {path}")
    # A seed of 0 or None keeps that of the item before.
    if not request["seed"]:
        raise ValueError("the seed is at least 1, got {!r}".format(request["seed"]))
    found = sonic.process(
        request["identity"], request["driving_audio"], path, min_resolution=options["min_resolution"],
        inference_steps=options["inference_steps"], dynamic_scale=options["dynamic_scale"],
        seed=request["seed"])  # fmt: skip
    if found == -1:
        raise Refused("no_face", "Sonic found no face in the picture")
    return {"av": path}
