"""Same names and habits as Sonic at the commit of its specification; moves nothing."""

import os
import wave

BASE_DIR = os.path.dirname(os.path.abspath(__file__))


class Sonic:
    seed = 72589  # the object of the configuration belongs to the class

    def __init__(self, device_id=0, enable_interpolate_frame=True):
        os.write(1, b"noise on the standard output\n")
        open(os.path.join(BASE_DIR, "checkpoints/yoloface_v5m.pt")).close()

    def process(self, image_path, audio_path, output_path, min_resolution=512, inference_steps=25,
                dynamic_scale=1.0, keep_resolution=False, seed=None):  # fmt: skip
        if seed:
            Sonic.seed = seed
        if "noface" in image_path:
            return -1
        import av
        import numpy

        with wave.open(audio_path) as sound:
            seconds = sound.getnframes() / sound.getframerate()
        with av.open(output_path, "w") as file:
            stream = file.add_stream("mpeg4", rate=25)
            stream.width = stream.height = 64
            grey = numpy.full((64, 64, 3), Sonic.seed % 256, numpy.uint8)
            for _ in range(2 * (int(25 * seconds) // 2) - 1):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
            file.mux(stream.encode())
        return 0
