"""FLOAT: a portrait speaks; its networks read all options of the repository's own parser."""

import os
import shlex
import sys
import traceback

from _worker import Refused

WEIGHTS = {"--ckpt_path": "float.pth", "--wav2vec_model_path": "wav2vec2-base-960h",
           "--audio2emotion_path": "wav2vec-english-speech-emotion-recognition"}  # fmt: skip
EMOTIONS = ("S2E", "angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def load(settings):
    options, folder = settings["options"], os.path.join(settings["weights"], "checkpoints")
    if options["emo"] not in EMOTIONS:  # it would take another name for S2E
        raise ValueError("emo is one of {}, got {!r}".format(", ".join(EMOTIONS), options["emo"]))
    missing = [name for name in WEIGHTS.values() if not os.path.exists(os.path.join(folder, name))]
    if missing:
        raise FileNotFoundError("{} lacks {}".format(folder, ", ".join(missing)))
    from generate import InferenceAgent, InferenceOptions

    # Without the flag the seed of a call counts for nothing; its nfe never does.
    sys.argv[1:] = ["--fix_noise_seed", "--nfe", str(options["nfe"])]
    for name, file in WEIGHTS.items():
        sys.argv += [name, os.path.join(folder, file)]
    try:
        opt = InferenceOptions().parse()
    finally:
        sys.argv[1:] = []
    device = settings["device"]
    opt.rank, opt.ngpus = int(device.split(":")[1]) if device.startswith("cuda:") else device, 1
    return InferenceAgent(opt), options


def make(model, request):
    agent, options = model
    path = os.path.join(request["out_dir"], request["id"] + ".mp4")
    for each in (path, request["driving_audio"]):  # it joins the sound by a line for a shell, without quotes
        if shlex.quote(each) != each:
            raise ValueError(f"a path may hold nothing that a shell reads as its own, got {each!r}")
    try:
        agent.run_inference(
            path, request["identity"], request["driving_audio"], a_cfg_scale=options["a_cfg_scale"],
            r_cfg_scale=options["r_cfg_scale"], e_cfg_scale=options["e_cfg_scale"], emo=options["emo"],
            no_crop=options["no_crop"], seed=request["seed"])  # fmt: skip
    except IndexError as error:
        # Where it crops it takes the first of the faces, of which there may be none.
        if traceback.extract_tb(error.__traceback__)[-1].name != "process_img":
            raise
        raise Refused("no_face", "FLOAT found no face with a score above 0.95") from error
    if not os.path.exists(path):
        raise RuntimeError("FLOAT left no file: its ffmpeg, whose words it throws away, could not join the sound")
    return {"av": path}
