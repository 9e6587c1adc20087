"""AniPortrait: one process an item, because its one generator serves the whole list."""

import glob
import json
import os
import subprocess
import sys

SCRIPT = "scripts/audio2vid.py"
CONFIG = "configs/prompts/animation_audio.yaml"
WEIGHTS = "pretrained_model"
# Without it the pose is drawn unseeded, and speech below 5 s or of a multiple of 5 s fails.
EXTRA = ['pose_temp: "./configs/inference/head_pose_temp/pose_temp.npy"']
CHUNK = 16
CROP = [1030, 2, 512, 512]  # the third of three tiles with 2 pixels between them


def load(settings):
    script = os.path.join(settings["checkout"], *SCRIPT.split("/"))
    if not os.path.isfile(script):
        raise FileNotFoundError(f"there is no {script}")
    return settings


def private(folder, settings):
    """A folder of links to the checkout's entries with an output folder of its own."""
    os.makedirs(os.path.join(folder, "output"))
    for name in os.listdir(settings["checkout"]):
        if name not in ("output", WEIGHTS):
            os.symlink(os.path.join(settings["checkout"], name), os.path.join(folder, name))
    weights = os.path.join(settings["weights"], WEIGHTS)
    os.symlink(weights, os.path.join(folder, WEIGHTS))


def configuration(folder, settings, requests):
    """The checkout's own file, with these cases for its own; written by hand, as not all have a YAML library."""
    with open(os.path.join(settings["checkout"], *CONFIG.split("/")), encoding="utf-8") as file:
        lines = file.read().split("\ntest_cases:")[0].splitlines()
    lines = [line for line in lines if not line.startswith("pose_temp:")] + EXTRA + ["test_cases:"]
    for request in requests:
        stem = os.path.join(folder, request["id"])
        for end, field in ((".png", "identity"), (".wav", "driving_audio")):
            os.symlink(request[field], stem + end)
        lines += ["  {}:".format(json.dumps(stem + ".png")), "    - " + json.dumps(stem + ".wav")]
    path = os.path.join(folder, "t2av_cases.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return path


def made(folder, id, end):
    """The stamp of the minute is in the names of folder and file: the stems alone are known."""
    pattern = os.path.join(folder, "output", "*", "*", f"{id}_{id}_*{end}")
    return sorted(glob.glob(pattern))


def own(path, request):
    """What the request gave is the request's: a list shares one folder."""
    place = os.path.join(request["out_dir"], request["id"] + ".mp4")
    os.rename(path, place)
    return place


def make_many(settings, requests):
    options = settings["options"]
    for request in requests:
        folder = os.path.join(request["out_dir"], "run")
        private(folder, settings)
        command = [sys.executable, "-m", "scripts.audio2vid", "--config", configuration(folder, settings, [request]),
                   "-W", "512", "-H", "512", "--seed", str(request["seed"]), "--cfg", str(options["cfg"]),
                   "--steps", str(options["steps"]), "--fps", "30"]  # fmt: skip
        if options["accelerate"]:
            command += ["-acc", "--fi_step", str(options["fi_step"])]
        status = subprocess.call(command, cwd=folder)
        found = [path for path in made(folder, request["id"], ".mp4") if not path.endswith("_noaudio.mp4")]
        if found:
            notes = ["frames between were interpolated"] if options["accelerate"] else []
            yield request["id"], {"av": own(found[-1], request), "edits": [{"crop": CROP}], "notes": notes}
        else:
            yield request["id"], RuntimeError(f"{SCRIPT} wrote no file and ended with {status}")
