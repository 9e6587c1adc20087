"""The options that the networks read; the same names and defaults as those of FLOAT."""

import argparse


class BaseOptions:
    def parse(self):
        return self.initialize(argparse.ArgumentParser(allow_abbrev=False)).parse_args()

    def initialize(self, parser):
        parser.add_argument("--seed", default=15, type=int)
        parser.add_argument("--fix_noise_seed", action="store_true")
        parser.add_argument("--fps", type=float, default=25.0)
        parser.add_argument("--sampling_rate", type=int, default=16000)
        parser.add_argument("--wav2vec_sec", default=2, type=float)
        parser.add_argument("--wav2vec_model_path", default="./checkpoints/wav2vec2-base-960h")
        parser.add_argument("--audio2emotion_path", default="./checkpoints/wav2vec-english-speech-emotion-recognition")
        parser.add_argument("--nfe", type=int, default=10)
        return parser
