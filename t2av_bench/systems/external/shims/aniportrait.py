"""AniPortrait: one process an item, because its one generator serves the whole list."""

from _worker import Cases

CASES = Cases(
    "scripts/audio2vid.py", "configs/prompts/animation_audio.yaml", "pretrained_model",
    # Without it the pose is drawn unseeded, and speech below 5 s or of a multiple of 5 s fails.
    ['pose_temp: "./configs/inference/head_pose_temp/pose_temp.npy"'],
)  # fmt: skip
CHUNK = 1  # a clip takes a process of its own: nothing is gained by lists, and a time-out costs one clip
CROP = [1030, 2, 512, 512]  # the third of three tiles with 2 pixels between them

load = CASES.load


def make_many(settings, requests):
    options = settings["options"]
    for request in requests:
        more = ["-W", "512", "-H", "512", "--seed", str(request["seed"]), "--cfg", str(options["cfg"]),
                "--steps", str(options["steps"]), "--fps", "30"]  # fmt: skip
        if options["accelerate"]:
            more += ["-acc", "--fi_step", str(options["fi_step"])]
        notes = ["frames between were interpolated"] if options["accelerate"] else []
        command = ["-m", "scripts.audio2vid"]
        for id, made in CASES.run(settings, [request], command, more, ".mp4", but="_noaudio.mp4"):
            is_there = isinstance(made, str)
            yield id, {"av": made, "edits": [{"crop": CROP}], "notes": notes} if is_there else made
