"""Same classes, options and habits as FLOAT at the commit of its specification; moves nothing."""

import json
import math
import os
import random
import subprocess
import tempfile
import wave

import av
import numpy
from options.base_options import BaseOptions

EMOTIONS = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]


class DataProcessor:
    def process_img(self, img):
        """The first face alone counts; what lies beyond the picture is black."""
        faces = [box for box in img["faces"] if box[4] > 0.95]
        left, top, right, bottom, _ = faces[0]
        return dict(img, border=8)

    def preprocess(self, ref_path, audio_path, no_crop):
        score = 0.9 if "noface" in ref_path else 0.99
        img = {"faces": [(10, 10, 50, 50, score)], "border": 0}
        with wave.open(audio_path) as file:
            return img if no_crop else self.process_img(img), file.getnframes()


class InferenceAgent:
    def __init__(self, opt):
        self.opt, self.rank = opt, opt.rank
        with open(opt.ckpt_path):
            print("noise on the standard output")
        for folder in (opt.wav2vec_model_path, opt.audio2emotion_path):
            os.listdir(folder)
        self.data_processor = DataProcessor()

    def sample(self, samples, seed):
        """(T,) grey; every stretch of ``wav2vec_sec`` starts from the same noise, where the noise is fixed."""
        frames = math.ceil(samples * self.opt.fps / self.opt.sampling_rate)
        stretch, greys = int(self.opt.wav2vec_sec * self.opt.fps), []
        while len(greys) < frames:
            draws = random.Random(seed) if self.opt.fix_noise_seed else random.SystemRandom()
            greys += [draws.randrange(40, 220) for _ in range(stretch)]
        return greys[:frames]

    def save_video(self, greys, border, video_path, audio_path):
        with tempfile.NamedTemporaryFile(suffix=".mp4", delete=False) as file:
            silent = file.name
        with av.open(silent, "w") as file:
            stream = file.add_stream("libx264", rate=round(self.opt.fps))
            stream.width = stream.height = 64
            for grey in greys:
                picture = numpy.full((64, 64, 3), grey, numpy.uint8)
                picture[:border] = 0
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
            file.mux(stream.encode())
        with open(os.devnull, "wb") as nowhere:
            line = f"ffmpeg -y -i {silent} -i {audio_path} -c:v copy -c:a aac {video_path}"
            subprocess.call(line, shell=True, stdout=nowhere, stderr=nowhere)
        if os.path.exists(video_path):
            os.remove(silent)
        return video_path

    def run_inference(self, res_video_path, ref_path, audio_path, a_cfg_scale=2.0, r_cfg_scale=1.0, e_cfg_scale=1.0,
                      emo="S2E", nfe=10, no_crop=False, seed=25, verbose=False):  # fmt: skip
        img, samples = self.data_processor.preprocess(ref_path, audio_path, no_crop)
        if samples == 0:
            raise IndexError("index 0 is out of bounds for dimension 0 with size 0")
        feeling = emo.lower() if str(emo).lower() in EMOTIONS else "that of the speech"
        print("GIVEN", json.dumps({
            "a": a_cfg_scale, "r": r_cfg_scale, "e": e_cfg_scale, "emotion": feeling, "points": self.opt.nfe,
            "rank": self.rank,
        }))  # fmt: skip
        return self.save_video(self.sample(samples, seed), img["border"], res_video_path, audio_path)


class InferenceOptions(BaseOptions):
    def initialize(self, parser):
        parser = super().initialize(parser)
        parser.add_argument("--ckpt_path", default="/home/author/float/checkpoints/float.pth", type=str)
        return parser
