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


def picture_clip(seed, count=104):
    """(frames (n, 240, 224, 3) uint8, audio (640 n,) float32): a still picture with a patch that follows the sound."""
    from sync_factory import hidden_signal, talking_audio

    signal = hidden_signal(count, seed)
    picture = np.kron(np.random.default_rng(7).integers(30, 220, (15, 14, 3)), np.ones((16, 16, 1)))
    frames = np.repeat(picture.astype(np.uint8)[None], count, axis=0)
    frames[:, 144:168, 80:104] = np.clip(128 + 60 * signal, 0, 255).astype(np.uint8)[:, None, None, None]
    return frames, talking_audio(signal)


def one_face_s3fd(frame):
    """A random S3FD that sees one steady face of more than 100 pixels in clips of ``picture_clip``."""
    import torch
    from sync_factory import random_s3fd

    network = random_s3fd(frame, seed=19)
    with torch.no_grad():
        for layer in network.conf:
            layer.bias[-1] -= 1.2  # all but one of its boxes stay below 0.9
    return network


def official_values(path, sound, syncnet, s3fd, min_track=100):
    """(offset, C, D) of a clip's only track by syncnet-python 0.2.3; min_track: joonson's rule, 50 is its own."""
    import torch
    from syncnet_python.detectors.s3fd import S3FD
    from syncnet_python.syncnet_pipeline import PipelineConfig, SyncNetPipeline
    from syncnet_python.SyncNetInstance import SyncNetInstance

    official = object.__new__(SyncNetPipeline)
    official.cfg, official.device = PipelineConfig(min_track=min_track), "cpu"
    official.s3fd = S3FD(net=s3fd, device="cpu")
    official.syncnet = SyncNetInstance(net=syncnet, device="cpu")
    with torch.no_grad():
        offsets, confidences, distances, *_ = official.inference(str(path), str(sound))
    assert len(offsets) == 1, "the random detector is meant to see one face"
    return offsets[0], float(confidences[0]), float(distances[0])
