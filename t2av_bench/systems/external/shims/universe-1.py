"""UniVerse-1: the repository's script makes one clip and ends, so every clip loads all models."""

import glob
import json
import os
import socket
import sys

from _worker import Refused, run

CHUNK = 1  # a clip takes a process of its own: nothing is gained by lists, and a time-out costs one clip
SCRIPT = os.path.join("fastvideo", "sample", "sample_universe.py")


def load(settings):
    options, weights = settings["options"], settings["weights"]
    paths = {name: os.path.join(weights, options[name]) for name in ("model_path", "ace_path", "transformer_path")}
    for name, path in sorted(paths.items()):  # without a transformer the script prints a line and exits with 0
        if not os.path.isdir(path):
            raise ValueError(f"the folder of {name} is missing: {path}")
    if not os.path.isfile(os.path.join(settings["checkout"], SCRIPT)):
        raise ValueError(f"the checkout has no {SCRIPT}")
    return dict(settings, paths=paths)


def make_many(model, requests):
    for request in requests:
        try:
            yield request["id"], one(model, request)
        except Exception as error:
            yield request["id"], error


def one(model, request):
    id, out, options = request["id"], request["out_dir"], model["options"]
    if not request["identity"]:
        raise Refused("refused", "the picture is the first frame: give an identity")
    image = os.path.basename(request["identity"])
    if image.count(".") != 1 or "." in id:  # the script cuts names at the first dot: two clips could become one
        raise ValueError("names need exactly one dot, got {!r} and {!r}".format(image, id + ".json"))
    if " " in out:  # its last command is a shell string without quotes
        raise ValueError(f"the path has a space: {out!r}")
    prompt = os.path.join(out, id + ".json")
    with open(prompt, "w") as file:  # ASCII: the script reads with the encoding of the locale
        json.dump({"video_prompt": request["prompt"], "audio_prompt": [options["audio_prompt"]],
                   "speech_prompt": {"speaker": options["speaker"], "text": request["text"]}}, file)  # fmt: skip
    media = os.path.join(out, "media")
    arguments = ["--refimg_path", request["identity"], "--prompt_path", prompt, "--output_path", media,
                 "--seed", str(request["seed"])]  # fmt: skip
    for name in ("model_path", "ace_path", "transformer_path"):
        arguments += ["--" + name, model["paths"][name]]
    for name in ("num_frames", "num_inference_steps", "guidance_scale_vid", "guidance_scale_aud"):
        arguments += ["--" + name, str(options[name])]
    arguments += ["--cpu_offload"] if options["cpu_offload"] else []
    code, said = command([sys.executable, SCRIPT] + arguments, model["checkout"])
    stem = os.path.join(media, "{}_{}_h*_w*".format(image.split(".")[0], id))
    # The muxed file is a second encoding of these two.
    videos = [path for path in glob.glob(stem + ".mp4") if not path.endswith("_with_audio.mp4")]
    audios = glob.glob(stem + ".wav")
    if code or len(videos) != 1 or len(audios) != 1:
        found = ", ".join(sorted(os.listdir(media))) if os.path.isdir(media) else ""
        raise RuntimeError(f"the script ended with {code} and left {found or 'no file'}; it said: {said}")
    return {"video": videos[0], "audio": audios[0]}


def command(arguments, checkout):
    """Exit status and last words of one process; without torchrun it needs torchrun's variables."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = dict(os.environ, WORLD_SIZE="1", RANK="0", LOCAL_RANK="0", MASTER_ADDR="127.0.0.1",
                     MASTER_PORT=str(port), PYTHONPATH=checkout, PYTHONDONTWRITEBYTECODE="1")  # fmt: skip
    return run(arguments, checkout, variables)
