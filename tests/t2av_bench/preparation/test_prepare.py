"""``t2av-bench train prepare``: from files to what ``reference_model.train`` reads."""

import numpy as np
import pytest
import torch
from scipy.io import wavfile
from tiny_talker import speech
from typer.testing import CliRunner

from reference_model.train import main as train
from reference_model.training.config import read_config
from reference_model.training.loader import MicroBatches, load
from reference_model.training.sources import check_sources, open_sources
from t2av_bench.cli.main import app


def prepare(*words):
    return CliRunner().invoke(app, ["train", "prepare", *map(str, words)])


@pytest.fixture
def authors(tmp_path):
    """A table as the authors' data set has it: two whole clips, a file that is not there, and speech alone."""
    folder = tmp_path / "данные"
    folder.mkdir()
    rows = ["sample_id,dataset_source,split,text,wav_path,motion_pt_path,video_path,pt_length,fps"]
    for name, frames in (("a", 40), ("b", 900), ("c", 40)):
        wavfile.write(folder / f"{name}.wav", 24_000, speech(frames / 25, 24_000))
        torch.save(
            torch.randn(frames, 10, generator=torch.Generator().manual_seed(frames)).half(), folder / f"{name}.pt"
        )
        rows.append(f"{name},dh,train,hello there,{name}.wav,{name}.pt,,{frames},25")
    (folder / "c.pt").unlink()
    rows.append("d,emilia,train,good day,c.wav,,,,")
    (folder / "train.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "train.csv"


def test_the_authors_table_becomes_shards_that_the_papers_configuration_starts_from(authors, published, tmp_path):
    shards = tmp_path / "shards"
    done = prepare(authors, "--codec", "release", "--out", shards, "--workers", 1)
    assert done.exit_code == 1, done.output
    assert f"{shards}\n" in done.stdout
    assert "left out: 1 clip (c): " in done.stderr and "c.pt" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "prepared 3 of 4 clips (speaker embeddings of the clip's own voice), left out 1: reasons in "
    )
    again = prepare(authors, "--codec", "release", "--out", shards, "--max-left-out", 1)
    assert again.exit_code == 0 and again.stderr.splitlines()[-1] == last

    config = read_config(
        "paper", [f"data.t2av={shards}", "batch.size=8", "batch.accumulation=1", "data.workers=0", "start.backbone="]
    )
    sizes = config.model
    assert (sizes.speech_dim, sizes.motion_dim, sizes.speaker_dim) == (6, 10, 8)
    assert (sizes.backbone, sizes.head) == (read_config("paper").model.backbone, read_config("paper").model.head)
    sources = open_sources(config)
    check_sources(sources, config)
    assert sources.t2av.lengths[:, 2:].tolist() == [[40, 40], [900, 900]]
    assert sources.tts.lengths[:, 2:].tolist() == [[40, 40], [900, 900], [40, 0]]
    part = next(load(MicroBatches(config, sources), 0, 1))
    heard = part.modalities["speech"].valid.flatten(1).sum(1).tolist()
    assert sorted(set(heard)) == [40, 750]  # a window of 30 s of the clip of 36 s
    assert torch.equal(part.has_motion, part.task == 1) and (part.task == 1).sum() == 4

    arguments = ["tiny", f"output={tmp_path / 'run'}", "data.kind=shards", f"data.t2av={shards}", "steps=2",
                 "batch.size=4", "checkpoints.every=2", "validation.every=0", "data.max_tokens=220"]  # fmt: skip
    assert train([*arguments, "--quiet"]) == 0


def test_missing_weights_are_named_with_the_command_that_fetches_them(authors, published, tmp_path):
    (published / "lia-x.pt").unlink()
    done = prepare(authors, "--codec", "release", "--out", tmp_path / "shards")
    assert done.exit_code == 2
    assert "the codec 'release' needs weights that are missing" in done.stderr
    assert "t2av-bench weights fetch lia_x --accept non-commercial" in done.stderr
    assert not (tmp_path / "shards").exists()


def test_unknown_codecs_are_refused(authors, tmp_path):
    done = prepare(authors, "--codec", "gridfaces", "--out", tmp_path / "shards")
    assert done.exit_code == 2 and "unknown codec 'gridfaces'; did you mean gridface" in done.stderr


def test_gridface_clips_are_read_near_their_truth(tmp_path):
    """A clip written as mp4, and one with a word that nobody knows."""
    from reference_model.training.shards import ShardSource
    from t2av_bench.gridface.data import build, corpus
    from t2av_bench.gridface.data.tokens import WordTokenizer
    from t2av_bench.gridface.models import motion_statistics
    from t2av_bench.gridface.models.voice_encoder import VoiceEncoder
    from t2av_bench.gridface.models.world_codec import WorldCodec

    manifest = build.build(tmp_path / "data", ["train"], 2, workers=1)["train"]
    lines = manifest.read_text().splitlines()
    utterances = corpus.utterances("train", 2)
    manifest.write_text("\n".join([lines[0], lines[1].replace(utterances[1].words[0], "blablabla")]))
    done = prepare(manifest, "--codec", "gridface", "--out", tmp_path / "shards", "--workers", 1, "--voice", "other")
    assert done.exit_code == 1 and "do not know the word 'blablabla'" in done.stderr
    source, codec = ShardSource(tmp_path / "shards", with_motion=True), WorldCodec.load()
    for index, (utterance, recording) in enumerate(corpus.recordings(utterances[:1])):
        sample, truth = source[index], motion_statistics.normalize(recording.motion)
        assert torch.equal(sample.text_ids, WordTokenizer().encode(utterance.text))
        assert sample.motion.shape == truth.shape and sample.speech.shape == (len(truth), 32)
        # Most of the motion's variance is read, and of the sound's, although both were compressed.
        errors = (
            np.mean((sample.motion.numpy() - truth) ** 2),
            np.mean((sample.speech.numpy() - codec.encode(torch.from_numpy(recording.audio)[None])[0].numpy()) ** 2),
        )
        assert errors[0] < 0.25 * truth.var() and errors[1] < 0.25 * sample.speech.numpy().var(), errors
        ((_, voice),) = corpus.recordings([corpus.voice_sample(utterance)])
        heard = VoiceEncoder(codec).embed(voice.audio)
        assert torch.nn.functional.cosine_similarity(sample.speaker_embedding, heard, dim=0) > 0.98


@pytest.mark.slow
def test_clips_written_as_mp4_are_learnt(tmp_path):
    import json

    from t2av_bench.gridface.data import build

    manifest = build.build(tmp_path / "data", ["train"], 24, workers=1)["train"]
    done = prepare(manifest, "--codec", "gridface", "--out", tmp_path / "shards", "--workers", 1)
    assert done.exit_code == 0, done.output
    settings = ["steps=150", "data.kind=shards", f"data.t2av={tmp_path / 'shards'}", f"output={tmp_path / 'run'}",
                f"data.validation={tmp_path / 'shards'}", "validation.every=150", "checkpoints.every=150"]  # fmt: skip
    assert train(["tiny", *settings, "--quiet"]) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    before, after = (line for line in lines if line["kind"] == "validation")
    assert (before["step"], after["step"]) == (0, 150)
    for name, most in (("loss", 0.5), ("speech_loss", 0.65), ("motion_loss", 0.5), ("stop_loss", 0.2)):
        assert after[name] < most * before[name], (name, before[name], after[name])
