"""AniPortrait: one process an item, because its one generator serves the whole list."""

from _worker import Cases

CASES = Cases(
    "scripts/audio2vid.py", "configs/prompts/animation_audio.yaml", "pretrained_model",
    # Without it the pose is drawn unseeded, and speech below 5 s or of a multiple of 5 s fails.
    ['pose_temp: "./configs/inference/head_pose_temp/pose_temp.npy"'],
)  # fmt: skip
CHUNK = 16
CROP = [1030, 2, 512, 512]  # the third of three tiles with 2 pixels between them

load = CASES.load


def make_many(settings, requests):
    options = settings["options"]
    for request in requests:
        more = ["-W", "512", "-H", "512", "--seed", str(request["seed"]), "--cfg", str(options["cfg"]),
                "--steps", str(options["steps"]), "--fps", "30"]  # fmt: skip
        if options["accelerate"]:
            more += ["-acc", "--fi_step", str(options["fi_step"])]
        status, folder = CASES.run(settings, [request], ["-m", "scripts.audio2vid"], more)
        notes = ["frames between were interpolated"] if options["accelerate"] else []
        try:
            path = CASES.made(folder, request, status, but="_noaudio.mp4")
            yield request["id"], {"av": path, "edits": [{"crop": CROP}], "notes": notes}
        except RuntimeError as error:
            yield request["id"], error
