"""What the reference tools themselves make of the probes of ``attestation.probes``."""

import subprocess
import wave

import cv2
import numpy as np


def official_blocks(folder, monkeypatch):
    """Blocks of the crops that syncnet-python 0.2.3 hands to its encoder."""
    from t2av_bench.attestation import probes
    from t2av_bench.utils.optional import make_torchvision_importable

    make_torchvision_importable()
    from syncnet_python import syncnet_pipeline as pipeline

    written, paths = [], []

    class Writer:
        def __init__(self, *_):
            pass

        write = staticmethod(written.append)
        release = staticmethod(lambda: None)

    pictures, boxes = probes.crop_input()
    for index, frame in enumerate(pictures):
        paths.append(str(folder / f"{index:03d}.png"))
        cv2.imwrite(paths[-1], frame[..., ::-1])
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.cv2, "VideoWriter", Writer)
        patch.setattr(pipeline.subprocess, "run", lambda *_, **__: None)
        patch.setattr(pipeline.os, "remove", lambda _: None)
        official = object.__new__(pipeline.SyncNetPipeline)
        official.cfg = pipeline.PipelineConfig()
        official._crop({"frame": np.arange(len(boxes)), "bbox": boxes}, paths, "audio.wav", folder / "crop")
    return probes.blocks(np.stack(written)[..., ::-1])


def joonson_files(clip, folder):
    """The commands of joonson/syncnet_python 6efbb1c as its run_pipeline.py types them: (pictures, sound file)."""
    folder.mkdir(exist_ok=True)
    avi, sound = folder / "video.avi", folder / "audio.wav"
    for command in (
        f"ffmpeg -y -i {clip} -qscale:v 2 -async 1 -r 25 {avi}",
        f"ffmpeg -y -i {avi} -qscale:v 2 -threads 1 -f image2 {folder / '%06d.jpg'}",
        f"ffmpeg -y -i {avi} -ac 1 -vn -acodec pcm_s16le -ar 16000 {sound}",
    ):
        subprocess.run(command.split(), check=True, capture_output=True)
    return np.stack([cv2.imread(str(path))[..., ::-1] for path in sorted(folder.glob("*.jpg"))]), sound


def samples(path):
    """(n,) int16 of a mono wave file."""
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")
