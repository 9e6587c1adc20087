"""EchoMimic: a command that takes a list of cases; all of them share the noise of one seed."""

import glob
import json
import os
import subprocess
import sys

SCRIPT = "infer_audio2vid.py"
CONFIG = "configs/prompts/animation.yaml"
WEIGHTS = "pretrained_weights"
EXTRA = []  # lines for its configuration
CHUNK = 16
FLAGS = {"width": "-W", "height": "-H", "length": "-L", "cfg": "--cfg", "steps": "--steps", "fps": "--fps",
         "context_frames": "--context_frames", "context_overlap": "--context_overlap",
         "facecrop_dilation_ratio": "--facecrop_dilation_ratio"}  # fmt: skip


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
    seeds = sorted({request["seed"] for request in requests})
    for seed in seeds:
        these = [request for request in requests if request["seed"] == seed]
        folder = os.path.join(these[0]["out_dir"], "run")
        private(folder, settings)
        command = [sys.executable, "-u", SCRIPT, "--config", configuration(folder, settings, these),
                   "--seed", str(seed), "--device", settings["device"].split(":")[0]]  # fmt: skip
        for name, flag in FLAGS.items():
            command += [flag, str(settings["options"][name])]
        status = subprocess.call(command, cwd=folder)
        for request in these:
            found = made(folder, request["id"], "_withaudio.mp4")
            if found:
                yield request["id"], {"av": own(found[-1], request)}
            else:
                yield request["id"], RuntimeError(f"{SCRIPT} wrote no file and ended with {status}")
