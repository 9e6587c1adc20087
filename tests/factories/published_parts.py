"""The published layout of Talker-T2AV's weights, at tiny sizes, in a weights folder with a table of its own."""

import dataclasses
import hashlib

import numpy as np
import pytest
import torch
from tiny_talker import tiny_audio_codec, tiny_config, tiny_speaker_encoder, tiny_tokenizer
from weights_table import use_weights

WIDTHS = (32, 32, 32, 32)


def write_parts(folder) -> dict[str, str]:
    """Random weights as the publishers lay them out; weights id -> file or folder."""
    from reference_model.checkpoints import random_model, save_model
    from reference_model.codecs.lia_x import Generator, LIAXConfig, lia_x_names
    from reference_model.codecs.whisperx_vae import whisperx_vae_names
    from reference_model.speaker.encoder import speaker_names

    # One frame a patch: LIA-X's depth makes a 512x512 frame cost seconds on a CPU, whatever its width.
    config = dataclasses.replace(tiny_config(), patch_size=1)
    save_model(random_model(config), folder / "talker-t2av" / "model.safetensors")
    tiny_tokenizer().save_pretrained(folder / "talker-t2av")
    codec = tiny_audio_codec()
    state = whisperx_vae_names(codec.config).state_to_release(codec.state_dict())
    torch.save({"state_dict": state}, folder / "model.ckpt")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        generator = Generator(LIAXConfig(WIDTHS, style_dim=16, motion_dim=10))
    torch.save(lia_x_names().state_to_release(generator.state_dict()), folder / "lia-x.pt")
    speaker = tiny_speaker_encoder()
    torch.save({"model": speaker_names(speaker.size).state_to_release(speaker.state_dict())}, folder / "speaker.pth")
    np.save(folder / "motion_mean.npy", np.linspace(-0.1, 0.1, 10, dtype=np.float32))
    np.save(folder / "motion_std.npy", np.full(10, 0.5, np.float32))
    return {
        "talker_t2av": "talker-t2av", "whisperx_vae": "model.ckpt", "lia_x": "lia-x.pt",
        "wavlm_large_finetune": "speaker.pth", "talker_t2av_motion_mean": "motion_mean.npy",
        "talker_t2av_motion_std": "motion_std.npy", "qwen3_0_6b": "Qwen3-0.6B", "sfd_face": "sfd_face.pth",
    }  # fmt: skip


@pytest.fixture
def published(tmp_path, monkeypatch):
    """The parts in a weights folder with a table of their own; returns the folder."""
    folder = tmp_path / "weights"
    folder.mkdir()
    rows = []
    for id, name in write_parts(folder).items():
        path = folder / name
        if path.is_dir() or not path.exists():
            rows.append(f'[{id}]\norigins = [{{hub = "nobody/{id}"}}]\n')
        else:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            rows.append(f'[{id}]\norigins = ["file:///nowhere"]\nsha256 = "{digest}"\n')
        group = "non-commercial" if id == "lia_x" else "free"
        rows[-1] += (
            f'purpose = "part {id}"\nfile = "{name}"\nlicence = "terms of {id}"\ngroup = "{group}"\n'
            'format = "state_dict"\nloader = "test"\n'
        )
    use_weights(monkeypatch, folder, "\n".join(rows))
    return folder
