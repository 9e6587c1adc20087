"""The metrics, by ``family/variant`` id. Nothing is imported before it is asked for.

Other packages add metrics through the entry-point group ``t2av_bench.metrics`` (name: the id, value: module:Class).
"""

import difflib
import importlib
import inspect
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from t2av_bench.metrics.base import Metric, Settings

# The order within a family is the order of preference: the family alone selects the first variant whose weights are
# present, and where none is, the first variant (whose scores then say which command fetches the weights).
_BUILT_IN = {
    "sync/exact": "sync:SyncExact",
    "sync/exact-haar": "sync:SyncExactHaar",
    "sync/crop": "sync:SyncCrop",
    "sync/joonson": "sync_legacy:SyncJoonson",
    "sync/syncnet-python": "sync_legacy:SyncSyncnetPython",
    "sync/gridface": "gridface_sync:SyncGridFace",
    "envelope/haar": "envelope:MouthEnvelope",
    "av_align/tempotokens": "av_align:AVAlign",
    "fid/clean": "fid:FIDClean",
    "fid/legacy_pytorch": "fid:FIDLegacyPytorch",
    "kid/clean": "kid:KIDClean",
    "kid/legacy_pytorch": "kid:KIDLegacyPytorch",
    "fvd/styleganv": "fvd:FVDStyleGANV",
    "kvd/styleganv": "fvd:KVDStyleGANV",
    "fd_frame/gridface": "gridface_features:FDFrameGridFace",
    "fd_clip/gridface": "gridface_features:FDClipGridFace",
    "lpips/alex": "lpips:LPIPSAlex",
    "lpips/vgg": "lpips:LPIPSVGG",
    "psnr/rgb": "psnr:PSNR",
    "ssim/rgb": "ssim:SSIM",
    "csim/buffalo_l": "csim:CSIMBuffaloL",
    "wer/qwen3-asr-1.7b": "wer:WERQwen3",
    "wer/whisper-large-v3": "wer:WERWhisper",
    "wer/whisper-large-v3-seed-tts": "wer:WERWhisperSeedTTS",
    "wer/pocketsphinx": "wer:WERPocketsphinx",
    "cer/qwen3-asr-1.7b": "wer:CERQwen3",
    "cer/whisper-large-v3": "wer:CERWhisper",
    "wer/gridface": "wer_gridface:WERGridFace",
    "cer/gridface": "wer_gridface:CERGridFace",
    "utmos/strong-v1": "utmos:UTMOS",
    "dnsmos/p835": "dnsmos:DNSMOS",
    "pesq/itu": "pesq:PESQ",
    "stoi/pystoi": "stoi:STOI",
    "sim/wavlm-ecapa": "sim:SIMWavLM",
    "sim/resemblyzer": "sim:SIMResemblyzer",
}
# These variants measure the clips of one benchmark alone, so neither ``all`` nor a family with others means them.
_OF_ONE_BENCHMARK = ("gridface",)


@cache
def _registry() -> dict[str, str]:
    found = {id: f"t2av_bench.metrics.{target}" for id, target in _BUILT_IN.items()}
    for entry in entry_points(group="t2av_bench.metrics"):
        if entry.name in found:
            raise ValueError(
                f"metric id {entry.name!r} of {entry.value} is taken by {found[entry.name]}; rename one of the two"
            )
        found[entry.name] = entry.value
    return found


def metric_ids() -> list[str]:
    """All ids, in order of preference within a family."""
    return list(_registry())


def metric_class(id: str) -> type[Metric]:
    """The class behind an exact id."""
    module, _, name = _registry()[id].partition(":")
    return getattr(importlib.import_module(module), name)


def resolve(names: Iterable[str]) -> list[str]:
    """Names as a user types them (``sync``, ``sync/crop``, ``all``) -> exact ids, in order, without repetition.

    ``all`` is every family. Variants for one benchmark's clips (``sync/gridface``) are chosen by their full name, or by
    a family that has no others. Raises ValueError naming the nearest id for an unknown name.
    """
    from t2av_bench.weights import is_present

    families: dict[str, list[str]] = {}
    for id in metric_ids():
        families.setdefault(id.split("/")[0], []).append(id)
    general = {family: [id for id in ids if not _is_of_one_benchmark(id)] for family, ids in families.items()}
    chosen: dict[str, None] = {}
    for name in names:
        if name in _registry():
            chosen[name] = None
        elif name == "all" or name in families:
            for family in families if name == "all" else [name]:
                variants = general[family] or ([] if name == "all" else families[family])
                if not variants:
                    continue
                ready = (id for id in variants if all(is_present(weight) for weight in metric_class(id).weights))
                chosen[next(ready, variants[0])] = None
        else:
            near = difflib.get_close_matches(name, [*families, *_registry(), "all"], n=3, cutoff=0.4)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ValueError(f"unknown metric {name!r}{hint} 't2av-bench list metrics' shows all")
    return list(chosen)


def _is_of_one_benchmark(id: str) -> bool:
    return id.partition("/")[2] in _OF_ONE_BENCHMARK


def create(id: str, settings: Settings | None = None, options: Mapping[str, Any] | None = None) -> Metric:
    """An instance of the metric with an exact id; ``options`` are the arguments of its constructor.

    Raises ValueError naming the options that there are.
    """
    known = list(inspect.signature(metric_class(id)).parameters)[1:]
    for name in options or {}:
        if name not in known:
            has = f"has {', '.join(known)}" if known else "has none"
            raise ValueError(f"{id} has no option {name!r}; it {has}")
    return metric_class(id)(settings, **(options or {}))
