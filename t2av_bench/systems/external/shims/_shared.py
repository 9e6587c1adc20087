"""What several shims do alike: commands that are started, sounds that are written, lists of cases. Standard library
alone at import, syntax of Python 3.8.
"""

import collections
import glob
import json
import os
import subprocess
import sys
import time
import wave

SETTLED = 5.0  # seconds that a file stays as it is: it is finished
ENDING = 60.0  # seconds that a command may take to end after its last file


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
    """(n,) float as mono PCM16, full scale 32768; how many samples lay beyond it and were clipped."""
    import numpy

    samples = numpy.asarray(samples)
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(int(rate))
        file.writeframes(numpy.clip(numpy.rint(samples * 32768.0), -32768, 32767).astype("<i2").tobytes())
    return int((abs(samples) > 1).sum())


def link(settings, weights, folder, but=()):
    """Make ``folder`` look like the checkout, with the folder ``weights`` of the settings' weights for its own.

    For systems that read weights of a fixed name beside their code. but: names that are left out.
    """
    for name in os.listdir(settings["checkout"]):
        if name != weights and name not in but:
            os.symlink(os.path.join(settings["checkout"], name), os.path.join(folder, name))
    os.symlink(os.path.join(settings["weights"], weights), os.path.join(folder, weights))


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

    def run(self, settings, requests, command, more, end, but=None):
        """Carry out ``command`` on these requests: (id, path of the clip, or the RuntimeError that there is none) of
        each as soon as it is there. A command that hangs or crashes costs only what it had not finished.

        It runs in a folder with links to the entries of the checkout and an output folder of its own. end, but: see
        ``find``.
        """
        folder = os.path.join(requests[0]["out_dir"], "run")
        os.makedirs(os.path.join(folder, "output"))
        link(settings, self.weights, folder, but=("output",))
        cases = self.configuration(folder, settings, requests)
        process = subprocess.Popen([sys.executable] + command + ["--config", cases] + more, cwd=folder)
        left = list(requests)
        while left:
            status = process.poll()
            for request in list(left):
                path = self.find(folder, request, end, but)
                if path and (status is not None or time.time() - os.path.getmtime(path) > SETTLED):
                    left.remove(request)
                    place = os.path.join(request["out_dir"], request["id"] + ".mp4")
                    os.rename(path, place)
                    yield request["id"], place
            if status is not None:
                break
            time.sleep(0.5)
        for request in left:
            yield request["id"], RuntimeError(f"{self.script} wrote no file and ended with {process.wait()}")
        try:
            process.wait(timeout=ENDING)  # the next one needs its memory
        except subprocess.TimeoutExpired:
            process.kill()

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

    def find(self, folder, request, end, but=None):
        """Path of a request's clip, None where there is none: it ends in ``end``, and not in ``but``.

        The stamp of the minute is in the names of folder and file: the stems alone are known.
        """
        pattern = os.path.join(folder, "output", "*", "*", "{0}_{0}_*{1}".format(request["id"], end))
        found = sorted(path for path in glob.glob(pattern) if not (but and path.endswith(but)))
        return found[-1] if found else None
