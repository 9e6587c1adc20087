"""The networks of Table 1 against what their operations take at least on this machine.

Operations are counted by torch as the networks run (two for a multiplication and an addition; activations, sums and
normalisations count nothing), those of ONNX from the shapes that onnxruntime reports. The machine's rates are those of
a large matrix product and of the best of some convolutions, in this very run: no layer is faster than that. A
decoder that writes one token after another reads all its weights for each: its floor is by bytes.
"""

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from step_floor import measure_machine

DTYPES = ("float32", "bfloat16")
_CONVOLUTIONS = ((256, 56, 4), (64, 112, 8), (512, 14, 32), (192, 35, 16))
"""Channels, side, pictures: 3x3 convolutions as the networks have them."""


@dataclass
class Row:
    """unit: what passes. operations: of one pass in 10^9. seconds: the fastest pass. floor_s: the least for the
    operations (or bytes). ratio: seconds over floor_s."""

    network: str
    unit: str
    dtype: str
    operations: float
    seconds: float
    floor_s: float
    ratio: float


def rates(seconds: float = 0.5) -> dict[str, dict[str, float]]:
    """By dtype: 10^9 operations a second of ``matmul`` and ``convolution``, and 10^9 bytes a second."""
    import torch

    found = {}
    for name in DTYPES:
        dtype = getattr(torch, name)
        machine = measure_machine(torch.device("cpu"), dtype, seconds)
        best = 0.0
        with torch.inference_mode():
            for channels, side, count in _CONVOLUTIONS:
                layer = torch.nn.Conv2d(channels, channels, 3, padding=1).to(dtype, memory_format=torch.channels_last)
                shown = torch.randn(count, channels, side, side).to(dtype, memory_format=torch.channels_last)
                operations = 2.0 * 9 * channels**2 * side**2 * count
                best = max(best, operations / fastest(lambda layer=layer, shown=shown: layer(shown), 5))
        found[name] = {
            "matmul": machine.throughput / 1e9, "convolution": best / 1e9, "bytes": machine.bandwidth / 1e9
        }  # fmt: skip
    return found


def fastest(run: Callable[[], Any], repeats: int) -> float:
    """Processor seconds of the fastest of some passes after the first."""
    run()
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best


def counted(run: Callable[[], Any]) -> dict[str, float]:
    """Operations of one pass of torch networks: those of ``convolution``, and the others as ``matmul``."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    def recurrent(shown: Any, into: Any, back: Any, *rest: Any, out_shape: Any = None, **named: Any) -> int:
        return int(2 * np.prod(shown[:2]) * (np.prod(into) + np.prod(back)))

    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mkldnn_rnn_layer: recurrent}) as counter:
        run()
    by_kind = {"convolution": 0.0, "matmul": 0.0}
    for kind, operations in counter.get_flop_counts()["Global"].items():
        by_kind["convolution" if "conv" in str(kind) else "matmul"] += operations
    return by_kind


def row(
    network: str, unit: str, dtype: str, run: Callable[[], Any], found: Mapping[str, Mapping[str, float]],
    operations: Mapping[str, float] | None = None, read: float = 0.0,
) -> Row:  # fmt: skip
    """read: bytes of weights that a pass must read, where they are more than a cache holds."""
    operations = operations or counted(run)
    floor = sum(number / 1e9 / found[dtype][kind] for kind, number in operations.items())
    floor = max(floor, read / 1e9 / found[dtype]["bytes"])
    seconds = fastest(run, 3)
    return Row(network, unit, dtype, sum(operations.values()) / 1e9, seconds, floor, seconds / floor)


def rows(clip: Path, found: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """A ``Row`` of all networks that are here, on what they see of a clip; a reason where one is not."""
    made: list[dict[str, Any]] = []
    for name, networks in (("SyncNet and S3FD", _sync), ("Inception", _inception), ("I3D", _i3d), ("UTMOS", _utmos),
                           ("Whisper base", _whisper), ("DNSMOS", _dnsmos)):  # fmt: skip
        try:
            made += map(asdict, networks(clip, found))
        except Exception as error:
            made.append({"network": name, "reason": f"{type(error).__name__}: {error}"[:300]})
    return made


def _frames(clip: Path, count: int) -> np.ndarray:
    from t2av_bench.media.clip import Clip

    return next(Clip(clip).frames(count))


def _audio(clip: Path) -> np.ndarray:
    from t2av_bench.media.clip import Clip

    return Clip(clip).audio()


def _sync(clip: Path, found: Mapping[str, Mapping[str, float]]) -> list[Row]:
    import torch

    from t2av_bench.extractors import syncnet
    from t2av_bench.faces import crop, detect
    from t2av_bench.utils.inference import precision

    frames = _frames(clip, 36)
    crops = next(crop.whole_frames([frames]))
    small = torch.from_numpy(np.ascontiguousarray(frames[:16, ::4, ::4])).permute(0, 3, 1, 2).float()
    small = small.contiguous(memory_format=torch.channels_last)
    made = []
    for dtype in DTYPES:
        network, detector = syncnet.syncnet(dtype=dtype), detect.s3fd(dtype=dtype)

        def faces(detector: Any = detector, dtype: Any = dtype) -> None:
            with precision(dtype, "cpu"):
                detector.network(small)

        made.append(row("SyncNet, mouths", "36 frames", dtype, lambda n=network: n.embed_mouths(crops), found))
        made.append(row("S3FD", "16 frames at a quarter of 512x512", dtype, faces, found))
    return made


def _inception(clip: Path, found: Mapping[str, Mapping[str, float]]) -> list[Row]:
    from t2av_bench import weights
    from t2av_bench.extractors import inception

    network = inception.load("legacy_pytorch", weights.path("inception_pt"), weights.digest("inception_pt"), "cpu")
    images = inception.resized(_frames(clip, 16), "legacy_pytorch")
    return [
        row("Inception (pytorch-fid)", "16 frames", dtype, lambda d=dtype: inception.embed(images, network, "cpu", d),
            found) for dtype in DTYPES
    ]  # fmt: skip


def _i3d(clip: Path, found: Mapping[str, Mapping[str, float]]) -> list[Row]:
    from t2av_bench import weights
    from t2av_bench.extractors import i3d

    network = i3d.load(weights.path(i3d.WEIGHTS), weights.digest(i3d.WEIGHTS), "cpu")
    video = _frames(clip, 16)[None]
    return [row("I3D", "16 frames", dtype, lambda d=dtype: i3d.logits(network, video, dtype=d), found)
            for dtype in DTYPES]  # fmt: skip


def _utmos(clip: Path, found: Mapping[str, Mapping[str, float]]) -> list[Row]:
    from t2av_bench import weights
    from t2av_bench.extractors import utmos

    network = utmos.load(weights.path("utmos22_strong"), weights.digest("utmos22_strong"), "cpu")
    audio = _audio(clip)
    unit = f"{len(audio) / utmos.SAMPLE_RATE:.1f} s of sound"
    return [row("UTMOS (wav2vec 2.0 base)", unit, "float32", lambda: utmos.utmos(network, audio), found)]


def _whisper(clip: Path, found: Mapping[str, Mapping[str, float]]) -> list[Row]:
    import torch

    from t2av_bench import weights
    from t2av_bench.extractors.whisper_recogniser import WhisperRecogniser
    from t2av_bench.utils.inference import full_precision

    heard = WhisperRecogniser(weights.path("whisper_base"), digest=weights.digest("whisper_base"))
    window = heard._features(_audio(clip))[..., :3000]
    model = heard.model
    with full_precision():
        encoded = model.get_encoder()(window)
        # The tokens themselves do not change the time of a step.
        begin = torch.full((1, 1), model.generation_config.decoder_start_token_id)
        kept = model(encoder_outputs=encoded, decoder_input_ids=begin, use_cache=True).past_key_values

    def encode() -> None:
        with full_precision():
            model.get_encoder()(window)

    def step() -> None:
        with full_precision():
            model(encoder_outputs=encoded, decoder_input_ids=begin, past_key_values=kept, use_cache=True)

    decoder = model.get_decoder()
    layers = sum(part.numel() for part in decoder.layers.parameters())
    read = 4.0 * (layers + model.get_output_embeddings().weight.numel())
    return [
        row("Whisper base, encoder", "a window of 30 s", "float32", encode, found),
        row("Whisper base, decoder", "a token", "float32", step, found, read=read),
    ]


def _dnsmos(clip: Path, found: Mapping[str, Mapping[str, float]]) -> list[Row]:
    """Both networks in one pass of 9.01 s; operations from onnxruntime's own report of each convolution's shapes."""
    import onnxruntime

    from t2av_bench import weights
    from t2av_bench.extractors.dnsmos_networks import load_dnsmos, log_mel

    audio = np.clip(np.resize(_audio(clip), int(9.01 * 16000)), -1, 1).astype(np.float32)
    names = [str(weights.path(id)) for id in ("dnsmos_p835", "dnsmos_p808")]
    sessions, operations = dict(zip(names, load_dnsmos(*names), strict=True)), {"convolution": 0.0, "matmul": 0.0}
    shown = {
        names[0]: {"input_1": audio[None]},
        names[1]: {"input_1": log_mel(audio[:-160]).astype(np.float32)[None]},
    }
    for name, given in shown.items():
        with tempfile.TemporaryDirectory() as folder:
            options = onnxruntime.SessionOptions()
            options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
            options.intra_op_num_threads = 1
            session = onnxruntime.InferenceSession(name, options, providers=["CPUExecutionProvider"])
            session.run(None, given)
            for event in json.loads(Path(session.end_profiling()).read_text()):
                kind, number = _onnx_operations(event.get("args", {}))
                operations[kind] += number
    unit = "a window of 9 s"

    def networks() -> None:
        for name, given in shown.items():
            sessions[name].run(None, given)

    return [row("DNSMOS, both networks", unit, "float32", networks, found, operations)]


def _onnx_operations(facts: Mapping[str, Any]) -> tuple[str, float]:
    """Kind and operations of one node, as onnxruntime's profile describes it."""
    kind = facts.get("op_name", "")
    if "Conv" not in kind and kind not in ("MatMul", "Gemm", "FusedMatMul"):
        return "matmul", 0.0
    shapes = [next(iter(each.values())) for each in facts["input_type_shape"]]
    out = 2.0 * float(np.prod(next(iter(facts["output_type_shape"][0].values()))))
    if "Conv" in kind:
        return "convolution", out * float(np.prod(shapes[1][1:]))  # (out, in / groups, kernel ...)
    return "matmul", out * float(shapes[0][-1])
