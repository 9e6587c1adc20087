"""Talker-T2AV with tiny random parts: the whole path on a CPU in a fraction of a second."""

import numpy as np
import torch
from torch import Tensor

SIZE = 64


def speech(seconds: float, rate: int, seed: int = 0, amplitude: float = 0.2) -> np.ndarray:
    """(n,) float32: noise in syllables of a quarter second, without pauses longer than the threshold's frames."""
    count = round(seconds * rate)
    noise = np.random.default_rng(seed).standard_normal(count)
    syllables = 0.3 + 0.7 * np.sin(np.pi * 4 * np.arange(count) / rate) ** 2
    return (amplitude / 3 * noise * syllables).astype(np.float32)


class PixelMotionCodec:
    """A motion codec for tests: the latent is the brightness of ten places, and moves the source's brightness."""

    latent_dim, frame_rate = 10, 25

    def __init__(self, image_size: int = SIZE) -> None:
        self.image_size = image_size
        self.encoded: list[Tensor] = []

    def normalize(self, motion_code: Tensor) -> Tensor:
        return (motion_code - 0.1) / 0.5

    def denormalize(self, motion_latents: Tensor) -> Tensor:
        return motion_latents * 0.5 + 0.1

    def encode(self, frames: Tensor) -> Tensor:
        assert frames.shape[2:] == (3, self.image_size, self.image_size) and frames.abs().max() <= 1
        self.encoded.append(frames)
        return self.normalize(torch.nn.functional.adaptive_avg_pool2d(frames[:, :, 0], (2, 5)).flatten(2))

    def source(self, source_image: Tensor) -> "PixelRenderer":
        return PixelRenderer(self, source_image)


class PixelRenderer:
    def __init__(self, codec: PixelMotionCodec, source: Tensor) -> None:
        self.codec, self.source = codec, source

    def render(self, motion_latents: Tensor) -> Tensor:
        codes = self.codec.denormalize(motion_latents)
        return self.source[:, None] * 0.8 + 0.2 * codes.mean(-1).tanh()[..., None, None, None]


def tiny_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from reference_model.inference.prompt import PLACEHOLDER

    words = "hello there world good day user assistant <think> </think>".split()
    core = Tokenizer(models.WordLevel({word: n for n, word in enumerate(["<unk>", *words])}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>", PLACEHOLDER], special_tokens=True)
    return tokenizer


def tiny_config(arrangement: str = "add"):
    from dataclasses import replace

    from reference_model.config import ModelConfig

    return replace(ModelConfig.named("tiny"), speech_dim=6, motion_dim=10, speaker_dim=8, arrangement=arrangement)


def tiny_audio_codec():
    from reference_model.codecs.whisperx_vae import WhisperSize, WhisperXVAE, WhisperXVAEConfig

    whisper = WhisperSize(mel_bins=8, positions=50, width=16, heads=1, layers=1)
    config = WhisperXVAEConfig(encoder_width=2, hidden_dim=16, decoder_width=32, latent_dim=6, whisper=whisper)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return WhisperXVAE(config).eval().requires_grad_(False)


def tiny_speaker_encoder():
    from reference_model.speaker import EcapaConfig, SpeakerEncoder, WavLMSize

    size = WavLMSize(width=32, layers=1, heads=2, feed_forward=32, position_kernel=8, position_groups=4, buckets=8,
                     convolutions=((8, 10), *((8, 3),) * 4, *((8, 2),) * 2))  # fmt: skip
    head = EcapaConfig(hidden_states=2, feature_dim=32, channels=16, embedding_dim=8, merged_channels=24, bottleneck=12)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return SpeakerEncoder(size, head).eval().requires_grad_(False)


def tiny_components(arrangement: str = "add", motion_codec=None):
    from functools import partial

    from reference_model.checkpoints import random_model
    from reference_model.inference.prompt import text_prompt
    from t2av_bench.systems.talker_t2av.inputs import Components

    return Components(
        model=random_model(tiny_config(arrangement)), prompt=partial(text_prompt, tiny_tokenizer()),
        audio_codec=tiny_audio_codec(), motion_codec=motion_codec or PixelMotionCodec(),
        speaker_encoder=tiny_speaker_encoder(), digests={"talker_t2av": "0" * 64},
    )  # fmt: skip
