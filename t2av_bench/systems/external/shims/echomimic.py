"""EchoMimic: a command that takes a list of cases; all of them share the noise of one seed."""

from _worker import Cases

CASES = Cases("infer_audio2vid.py", "configs/prompts/animation.yaml", "pretrained_weights")
CHUNK = 16
FLAGS = {"width": "-W", "height": "-H", "length": "-L", "cfg": "--cfg", "steps": "--steps", "fps": "--fps",
         "context_frames": "--context_frames", "context_overlap": "--context_overlap",
         "facecrop_dilation_ratio": "--facecrop_dilation_ratio"}  # fmt: skip

load = CASES.load


def make_many(settings, requests):
    for seed in sorted({request["seed"] for request in requests}):
        these = [request for request in requests if request["seed"] == seed]
        more = ["--seed", str(seed), "--device", settings["device"].split(":")[0]]
        for name, flag in FLAGS.items():
            more += [flag, str(settings["options"][name])]
        for id, made in CASES.run(settings, these, ["-u", CASES.script], more, "_withaudio.mp4"):
            yield id, {"av": made} if isinstance(made, str) else made
