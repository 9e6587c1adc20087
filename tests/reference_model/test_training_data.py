"""Shards, sources and the plan of batches: nothing lost, nothing doubled, and errors that name the place."""

import hashlib
import json
import pickle
import tracemalloc
from collections import Counter

import numpy as np
import pytest
import torch
from function_source import FunctionSource
from safetensors.torch import load_file, save_file
from training_factory import SHAPE, micro_config, synthetic

from reference_model.training.batch_plan import BatchPlan, sample_seed, split
from reference_model.training.config import read_config
from reference_model.training.loader import MicroBatches, load
from reference_model.training.samples import Sample, SampleError, random_window, read_sample
from reference_model.training.shards import ShardSource, write_shards
from reference_model.training.sources import Sources, check_sources, open_sources

DIMS = {"speech_dim": 8, "motion_dim": 6, "speaker_dim": 8}


def samples(count=7):
    """Every second sample has no motion; every third a suffix."""
    draw = torch.Generator().manual_seed(5)
    result = []
    for index in range(count):
        frames = 5 + 3 * index
        result.append(
            Sample(
                torch.randint(20, (2 + index,), generator=draw),
                torch.randn(frames, 8, generator=draw),
                torch.randn(8, generator=draw),
                torch.randn(frames - 1, 6, generator=draw) if index % 2 else None,
                torch.arange(index % 3),
            )
        )
    return result


def write(folder, items, **settings):
    write_shards(folder, ((f"clip-{index}", sample) for index, sample in enumerate(items)), **DIMS, **settings)
    return folder


def assert_same(left, right):
    for name, value in vars(left).items():
        other = getattr(right, name)
        assert (value is None) == (other is None), name
        assert value is None or torch.equal(value, other), name


def test_what_is_written_is_read(tmp_path):
    items = samples()
    source = ShardSource(write(tmp_path / "a", items, samples_per_shard=3), verify="digest")
    assert len(list((tmp_path / "a").glob("*.safetensors"))) == 3
    assert source.lengths.tolist() == [list(sample.lengths) for sample in items]
    for index in [6, 0, 3, 3, 1, 5, 2, 4]:
        assert_same(read_sample(source, index, SHAPE), items[index])


def test_only_entries_with_motion_and_several_folders(tmp_path):
    items = samples()
    one = write(tmp_path / "a", items[:3])
    two = write(tmp_path / "b", items[3:])
    source = ShardSource(one, two, with_motion=True)
    assert len(source.lengths) == 3
    for place, index in enumerate((1, 3, 5)):
        assert_same(source[place], items[index])
    assert "b/00000.safetensors, entry 2 ('clip-2')" in source.describe(2)


def test_half_precision_shards_come_back_in_float32(tmp_path):
    items = samples(2)
    source = ShardSource(write(tmp_path / "a", items, dtype=torch.float16))
    assert source[1].speech.dtype == torch.float32
    assert torch.equal(source[1].speech, items[1].speech.half().float())


def test_the_writer_refuses_what_it_should(tmp_path):
    items = samples(2)
    folder = write(tmp_path / "a", items)
    with pytest.raises(FileExistsError, match="already holds shards"):
        write(folder, items)
    for number, (id, speech, told) in enumerate((
        ("x", torch.zeros(5, 8), "already a sample 'x'"),
        ("y", torch.zeros(5, 9), "sample 'y': speech has shape .5, 9., expected 8 channels"),
        ("y", torch.full((5, 8), torch.inf), "sample 'y': speech is not finite from frame 0 on"),
        ("y", torch.zeros(0, 8), "sample 'y': it needs at least one speech frame"),
    )):  # fmt: skip
        second = Sample(items[0].text_ids, speech, items[0].speaker_embedding)
        with pytest.raises(SampleError, match=told):
            write_shards(tmp_path / f"b{number}", [("x", items[0]), (id, second)], **DIMS)

    def interrupted():
        yield "x", items[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shards(tmp_path / "c", interrupted(), **DIMS, samples_per_shard=1)
    with pytest.raises(SampleError, match="no index.json in .*c: writing it was not finished"):
        ShardSource(tmp_path / "c")
    with pytest.raises(SampleError, match="there is no such folder"):
        ShardSource(tmp_path / "d")


def test_damaged_shards_are_named(tmp_path):
    folder = write(tmp_path / "a", samples())
    shard = folder / "00000.safetensors"
    whole = shard.read_bytes()

    changed = bytearray(whole)
    changed[-3] ^= 1
    shard.write_bytes(changed)
    ShardSource(folder, verify="size")
    with pytest.raises(SampleError, match="00000.safetensors does not have the SHA-256"):
        ShardSource(folder, verify="digest")

    shard.write_bytes(whole[:-10])
    with pytest.raises(SampleError, match=f"00000.safetensors has {len(whole) - 10} bytes, index.json says"):
        ShardSource(folder)

    shard.write_bytes(b"\0" * len(whole))
    with pytest.raises(SampleError, match="00000.safetensors, entry 3 cannot be read"):
        ShardSource(folder)[3]

    shard.unlink()
    with pytest.raises(SampleError, match="00000.safetensors is missing"):
        ShardSource(folder)
    (folder / "index.json").write_text("{")
    with pytest.raises(SampleError, match="index.json is not JSON"):
        ShardSource(folder)
    (folder / "index.json").write_text('{"format": "other"}')
    with pytest.raises(SampleError, match="has format 'other'"):
        ShardSource(folder)


def test_an_index_of_another_writing_is_noticed(tmp_path):
    folder = write(tmp_path / "a", samples())
    index = json.loads((folder / "index.json").read_text())
    lengths = np.load(folder / "lengths.npy")
    lengths[2, 2] -= 1
    np.save(folder / "lengths.npy", lengths)
    with pytest.raises(SampleError, match="lengths.npy cannot be used: it is not the file that index.json"):
        ShardSource(folder)
    index["lengths_sha256"] = hashlib.sha256((folder / "lengths.npy").read_bytes()).hexdigest()
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(SampleError, match="entry 2 .'clip-2'.: the shard gives its lengths as"):
        ShardSource(folder)[2]
    (folder / "lengths.npy").unlink()
    with pytest.raises(SampleError, match="lengths.npy cannot be used: .*No such file"):
        ShardSource(folder)


def test_folders_of_the_earlier_format_are_read(tmp_path):
    """Its index held ids and lengths, its shards no ids."""
    items = samples()
    folder = write(tmp_path / "a", items, samples_per_shard=3)
    index, first = json.loads((folder / "index.json").read_text()), 0
    for shard in index["shards"]:
        path, count = folder / shard["file"], shard.pop("entries")
        tensors = load_file(path)
        save_file({name: tensor for name, tensor in tensors.items() if name not in ("ids", "id_ends")}, path)
        shard["ids"] = [f"clip-{number}" for number in range(first, first + count)]
        shard["lengths"] = tensors["lengths"].tolist()
        shard["bytes"], shard["sha256"] = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
        first += count
    dims = {name: index[name] for name in DIMS}
    (folder / "index.json").write_text(json.dumps({"format": "t2av-latents-1", **dims, "shards": index["shards"]}))
    (folder / "lengths.npy").unlink()
    source = ShardSource(folder, with_motion=True, verify="digest")
    for place, number in enumerate((1, 3, 5)):
        assert_same(source[place], items[number])
    assert "00001.safetensors, entry 2 ('clip-5')" in source.describe(2)


def test_a_source_crosses_to_another_process(tmp_path):
    items = samples()
    source = ShardSource(write(tmp_path / "a", items, samples_per_shard=3), with_motion=True)
    assert_same(source[1], items[3])
    sent = pickle.dumps(source)
    assert len(sent) < 1000
    assert_same(pickle.loads(sent)[2], items[5])


def test_names_in_any_script_come_back(tmp_path):
    write_shards(tmp_path / "a", zip(("слово/é", "说话", "a b"), samples(3), strict=True), **DIMS)
    described = [ShardSource(tmp_path / "a").describe(index) for index in range(3)]
    assert [text.rpartition(", entry ")[2] for text in described] == ["0 ('слово/é')", "1 ('说话')", "2 ('a b')"]


def test_memory_does_not_grow_with_the_data(tmp_path):
    """A million entries that are never read: opening them and planning a step costs the permutations alone."""
    count = 1_000_000
    np.save(tmp_path / "lengths.npy", np.tile(np.array([[20, 5, 200, 200]], np.int32), (count, 1)))
    digest = hashlib.sha256((tmp_path / "lengths.npy").read_bytes()).hexdigest()
    (tmp_path / "index.json").write_text(json.dumps(
        {"format": "t2av-latents-2", **DIMS, "entries": count, "lengths_sha256": digest, "shards": []}
    ))  # fmt: skip
    tracemalloc.start()
    try:
        source = ShardSource(tmp_path, with_motion=True)
        assert tracemalloc.get_traced_memory()[0] < 1e6
        both = Sources(source, source)
        batches = MicroBatches(micro_config(), both)
        assert len(batches.picks(1234)[1]) == 6
        assert tracemalloc.get_traced_memory()[0] < 9 * count
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "broken, complaint",
    [
        ({"speech": torch.full((8, 8), torch.nan)}, "function, sample 0: speech is not finite from frame 0"),
        ({"speech": torch.zeros(8, 7)}, "speech has shape .8, 7., expected 8 channels"),
        ({"text_ids": torch.tensor([3, 20])}, "text_ids go from 3 to 20, but the model knows tokens 0 to 19"),
        ({"speech": torch.zeros(9, 8)}, r"are \(2, 0, 9, 0\), but \(2, 0, 8, 0\) were announced"),
        ({"speaker_embedding": torch.zeros(4)}, "speaker_embedding has shape .1, 4., expected 8"),
    ],
)
def test_broken_samples_are_named(broken, complaint):
    good = {"text_ids": torch.tensor([1, 2]), "speech": torch.zeros(8, 8), "speaker_embedding": torch.zeros(8)}
    source = FunctionSource(lambda index: Sample(**{**good, **broken}), [(2, 0, 8, 0)])
    with pytest.raises(SampleError, match=complaint):
        read_sample(source, 0, SHAPE)


def test_errors_of_a_user_s_function_are_named():
    source = FunctionSource(lambda index: {}[index], [(2, 0, 8, 0)], name="my latents")
    with pytest.raises(SampleError, match="my latents, sample 0: KeyError: 0"):
        read_sample(source, 0, SHAPE)


def test_unusable_sources_are_refused_before_training(tmp_path):
    config = micro_config()
    motionless = synthetic(3, motion=False)
    with pytest.raises(SampleError, match="sample 0 has no motion, so it cannot be a T2AV sample"):
        check_sources(Sources(motionless, motionless), config)
    with pytest.raises(SampleError, match="there is no tts source"):
        check_sources(Sources(synthetic(3)), config)
    with pytest.raises(SampleError, match="data.t2av has no samples"):
        check_sources(Sources(synthetic(0), motionless), config)
    long = FunctionSource(synthetic(1).__getitem__, [(1000, 0, 8, 8)])
    with pytest.raises(SampleError, match="leaves no room in data.max_tokens = 1000"):
        check_sources(Sources(long, motionless), config)
    folder = str(write(tmp_path / "a", samples()))
    shards = {"kind": "shards", "t2av": folder, "tts": folder}
    with pytest.raises(SampleError, match="holds latents with motion_dim 6, the model has 7; set model.motion_dim = 6"):
        open_sources(micro_config(data=shards, model={"motion_dim": 7}))
    opened = open_sources(micro_config(data=shards))
    assert (len(opened.t2av.lengths), len(opened.tts.lengths)) == (3, 7)


def test_a_configuration_takes_its_channels_from_the_shards_that_it_names(tmp_path):
    folder = str(write(tmp_path / "a", samples()))
    named = ["data.kind=shards", f'data.t2av=["{folder}"]', "output=unused"]
    config = read_config("tiny", named)
    assert {name: getattr(config.model, name) for name in DIMS} == DIMS
    opened = open_sources(config)  # whose speech is T2AV's where nothing else is named
    assert (len(opened.t2av.lengths), len(opened.tts.lengths), opened.validation) == (3, 7, None)
    with pytest.raises(SampleError, match="motion_dim 6, the model has 7; set model.motion_dim = 6"):
        open_sources(read_config("tiny", [*named, "model.motion_dim=7"]))
    with pytest.raises(SampleError, match="there is no such folder"):
        open_sources(read_config("tiny", ["data.kind=shards", "data.t2av=absent", "output=unused"]))


# -- the plan ------------------------------------------------------------------------------------------------


def make_plan(t2av=30, tts=18, counts=(4, 3), seed=0, pool=5):
    draw = np.random.default_rng(9)
    return BatchPlan(
        {"t2av": draw.integers(5, 90, t2av), "tts": draw.integers(5, 90, tts)},
        {"t2av": counts[0], "tts": counts[1]},
        seed,
        pool,
    )


def test_every_epoch_holds_every_sample_once():
    plan = make_plan()
    for task, size, count in (("t2av", 30, 4), ("tts", 18, 3)):
        steps = 30  # a whole number of epochs and pools of both tasks
        seen = Counter(pick.index for step in range(steps) for pick in plan.step(step) if pick.task == task)
        assert seen == Counter({index: steps * count // size for index in range(size)})
        assert plan.epoch(task, steps) == steps * count / size


def test_a_step_is_a_function_of_seed_and_step():
    forwards = [make_plan().step(step) for step in range(20)]
    plan = make_plan()
    assert [plan.step(step) for step in reversed(range(20))][::-1] == forwards
    assert [make_plan(seed=1).step(step) for step in range(20)] != forwards
    assert sorted(pick.position for pick in forwards[0]) == list(range(7))


def test_pools_limit_padding():
    def waste(pool):
        plan = make_plan(400, 400, (4, 4), pool=pool)
        longest = total = 0
        for step in range(100):
            lengths = [plan.lengths[pick.task][pick.index] for pick in plan.step(step)]
            longest += max(lengths) * len(lengths)
            total += sum(lengths)
        return 1 - total / longest

    assert waste(50) < 0.1 < 0.3 < waste(1)


@pytest.mark.parametrize(
    "counts, parts", [((4, 3), 1), ((4, 3), 2), ((4, 3), 7), ((3, 3), 4), ((8, 0), 3), ((0, 5), 5)]
)
def test_parts_of_a_batch_are_the_batch(counts, parts):
    whole = make_plan(counts=counts).step(3)
    dealt = split(whole, parts)
    assert sorted(pick.position for part in dealt for pick in part) == list(range(len(whole)))
    sizes = [len(part) for part in dealt]
    assert min(sizes) >= 1 and max(sizes) - min(sizes) <= 1
    with pytest.raises(ValueError, match="cannot be split into"):
        split(whole, len(whole) + 1)


def test_seeds_of_samples_differ():
    seeds = {sample_seed(run, step, position) for run in range(3) for step in range(20) for position in range(20)}
    assert len(seeds) == 1200


# -- the loader ----------------------------------------------------------------------------------------------


def sources():
    return Sources(synthetic(12), synthetic(12, 1, motion=False))


def test_processes_share_a_step_without_doubling():
    config = micro_config(batch={"size": 7, "accumulation": 2})
    for step in range(4):
        dealt = [
            MicroBatches(config, sources(), rank, 3).picks(step * 2 + turn)[2] for rank in range(3) for turn in range(2)
        ]
        assert sorted(pick.position for part in dealt for pick in part) == list(range(7))


def test_workers_change_nothing():
    results = []
    for workers in (0, 2):
        config = micro_config(data={"workers": workers}, batch={"accumulation": 2}, aids={"input_noise": 0.1})
        state = torch.get_rng_state()
        results.append(list(load(MicroBatches(config, sources()), 1, 4)))
        assert torch.equal(torch.get_rng_state(), state)
    assert len(results[0]) == len(results[1]) == 6
    for left, right in zip(*results, strict=True):
        for name in ("input_ids", "task", "place", "token", "labelled", "labels", "stop_weight"):
            assert torch.equal(getattr(left, name), getattr(right, name)), name
        for mine, other in zip(left.modalities.values(), right.modalities.values(), strict=True):
            for name in ("latents", "valid", "condition", "state", "window", "input_noise"):
                assert torch.equal(getattr(mine, name), getattr(other, name)), name
            assert torch.equal(mine.draws.noise, other.draws.noise) and mine.share == other.share
        assert (left.stop_share, left.tokens, left.padding) == (right.stop_share, right.tokens, right.padding)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_sample_in_a_worker_keeps_its_message(workers):
    good = synthetic(12)

    def function(index):
        raise OSError("the disk is gone")

    broken = Sources(FunctionSource(function, good.lengths, name="my latents"), synthetic(12, 1, motion=False))
    with pytest.raises(SampleError, match=r"^my latents, sample \d+: OSError: the disk is gone$"):
        list(load(MicroBatches(micro_config(data={"workers": workers}), broken), 0, 1))


def counting(frames, motion=None):
    """A sample whose speech and motion say at which frame they are."""
    times = [torch.arange(length).float()[:, None] for length in (frames, frames if motion is None else motion)]
    return Sample(torch.tensor([1, 2]), times[0].expand(-1, 8), torch.zeros(8), times[1].expand(-1, 6))


def test_a_window_of_a_long_sample_is_the_same_in_both_modalities():
    starts = set()
    for seed in range(300):
        cut = random_window(counting(20, 18), 12, (seed,))
        assert torch.equal(cut.speech[:, 0], cut.motion[:, 0]) and len(cut.speech) == 12
        assert torch.equal(cut.text_ids, torch.tensor([1, 2]))
        starts.add(int(cut.speech[0, 0]))
    assert starts == set(range(18 - 12 + 1))  # every place at which both last long enough
    assert random_window(counting(20, 9), 12, (0,)).lengths == (2, 0, 12, 9)
    assert random_window(counting(20), 0, (0,)).lengths == (2, 0, 20, 20)
    speech_alone = random_window(Sample(torch.tensor([1]), torch.zeros(20, 8), torch.zeros(8)), 12, (3,))
    assert speech_alone.lengths == (1, 0, 12, 0)


def test_long_clips_are_trained_in_windows_that_seed_and_step_decide():
    source = FunctionSource(
        lambda index: counting(100 + index), [(2, 0, 100 + index, 100 + index) for index in range(9)]
    )

    def frames(modality):
        return modality.valid.flatten(1).sum(1).tolist()

    def first_frames(workers, seed=0):
        config = micro_config(data={"window_seconds": 2.0, "workers": workers}, seed=seed)
        found = []
        for part in load(MicroBatches(config, Sources(source, source)), 0, 6):
            speech, motion = (part.modalities[name] for name in ("speech", "motion"))
            assert frames(speech) == [50] * 6
            assert frames(motion) == [50 if task else 0 for task in part.task.tolist()]
            first = [each.latents[:, config.model.context_patches, 0, 0] for each in (speech, motion)]
            assert torch.equal(first[0][part.has_motion], first[1][part.has_motion])
            found.append(first[0].tolist())
        return found

    one = first_frames(0)
    assert first_frames(2) == one != first_frames(0, seed=1)
    assert len({start for step in one for start in step}) > 20
    whole = next(load(MicroBatches(micro_config(data={"window_seconds": 0}), Sources(source, source)), 0, 1))
    assert min(frames(whole.modalities["speech"])) >= 100


def test_half_of_a_batch_is_tts_and_tts_has_no_motion():
    both = synthetic(12)
    part = next(load(MicroBatches(micro_config(batch={"size": 8}), Sources(both, both)), 0, 1))
    assert sorted(part.task.tolist()) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert torch.equal(part.has_motion, part.task == 1)
