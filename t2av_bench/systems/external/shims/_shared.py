"""What several shims do alike: commands that are started, sounds that are written, lists of cases. Standard library
alone at import, syntax of Python 3.8.
"""

import collections
import glob
import json
import os
import subprocess
import sys
import wave


def run(arguments, folder, variables):
    """Exit status and last line of a command; all that it prints is printed."""
    process = subprocess.Popen(arguments, cwd=folder, env=variables, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    last = collections.deque(["nothing"], maxlen=1)
    for line in process.stdout:
        text = line.decode("utf-8", "replace")
        sys.stderr.write(text)
        last.extend([text.strip()] if text.strip() else [])
    return process.wait(), last[-1]


def write_sound(path, samples, rate):
    """(n,) float as mono PCM16; how many samples lay beyond full scale and were clipped."""
    import numpy

    samples = numpy.asarray(samples)
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(int(rate))
        file.writeframes(numpy.rint(numpy.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return int((abs(samples) > 1).sum())


class Cases:
    """A repository whose command reads a YAML file of ``test_cases`` and writes below ``output`` of where it runs.

    script, config: files of the checkout. weights: the folder that the command expects there. extra: lines of the
    configuration that replace its own.
    """

    def __init__(self, script, config, weights, extra=()):
        self.script, self.config, self.weights, self.extra = script, config, weights, list(extra)

    def load(self, settings):
        script = os.path.join(settings["checkout"], *self.script.split("/"))
        if not os.path.isfile(script):
            raise FileNotFoundError(f"there is no {script}")
        return settings

    def run(self, settings, requests, command, more):
        """Carry out ``command`` on these requests: its exit status and the folder where it ran, private to them.

        The folder holds links to the checkout's entries and an output folder of its own.
        """
        folder = os.path.join(requests[0]["out_dir"], "run")
        os.makedirs(os.path.join(folder, "output"))
        for name in os.listdir(settings["checkout"]):
            if name not in ("output", self.weights):
                os.symlink(os.path.join(settings["checkout"], name), os.path.join(folder, name))
        os.symlink(os.path.join(settings["weights"], self.weights), os.path.join(folder, self.weights))
        cases = self.configuration(folder, settings, requests)
        return subprocess.call([sys.executable] + command + ["--config", cases] + more, cwd=folder), folder

    def configuration(self, folder, settings, requests):
        """The checkout's own file, with these cases for its own; written by hand, as not all have a YAML library."""
        with open(os.path.join(settings["checkout"], *self.config.split("/")), encoding="utf-8") as file:
            lines = file.read().split("\ntest_cases:")[0].splitlines()
        keys = tuple(line.partition(":")[0] + ":" for line in self.extra)
        lines = [line for line in lines if not (keys and line.startswith(keys))] + self.extra + ["test_cases:"]
        for request in requests:
            stem = os.path.join(folder, request["id"])
            for end, field in ((".png", "identity"), (".wav", "driving_audio")):
                os.symlink(request[field], stem + end)
            lines += ["  {}:".format(json.dumps(stem + ".png")), "    - " + json.dumps(stem + ".wav")]
        path = os.path.join(folder, "t2av_cases.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        return path

    def made(self, folder, request, status, end=".mp4", but=None):
        """Path of a request's clip, moved to where the request wants it; RuntimeError where there is none.

        The stamp of the minute is in the names of folder and file: the stems alone are known.
        """
        pattern = os.path.join(folder, "output", "*", "*", "{0}_{0}_*{1}".format(request["id"], end))
        found = sorted(path for path in glob.glob(pattern) if not (but and path.endswith(but)))
        if not found:
            raise RuntimeError(f"{self.script} wrote no file and ended with {status}")
        place = os.path.join(request["out_dir"], request["id"] + ".mp4")
        os.rename(found[-1], place)
        return place
