"""The metrics, by ``family/variant`` id. Nothing is imported before it is asked for.

Other packages add metrics through the entry-point group ``t2av_bench.metrics`` (name: the id, value: module:Class).
One of theirs that cannot be used is broken alone (see ``plugins``).
"""

import difflib
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any, get_args

from t2av_bench.metrics.base import Licence, Metric, SetMetric, Settings
from t2av_bench.scores import Protocol, Quantity
from t2av_bench.utils.plugins import PluginError, Registry, stdout_to_stderr
from t2av_bench.utils.reasons import unexpected

_METRICS = "t2av_bench.metrics."
_GRIDFACE = "t2av_bench.gridface.metrics."
# The order within a family is the order of preference: the family alone selects the first variant whose weights are
# present, and where none is, the first variant (whose scores then say which command fetches the weights).
_BUILT_IN = {
    "sync/exact": f"{_METRICS}sync:SyncExact",
    "sync/exact-haar": f"{_METRICS}sync:SyncExactHaar",
    "sync/crop": f"{_METRICS}sync:SyncCrop",
    "sync/joonson": f"{_METRICS}sync_legacy:SyncJoonson",
    "sync/syncnet-python": f"{_METRICS}sync_legacy:SyncSyncnetPython",
    "sync/gridface": f"{_GRIDFACE}sync:SyncGridFace",
    "envelope/haar": f"{_METRICS}envelope:MouthEnvelope",
    "av_align/tempotokens": f"{_METRICS}av_align:AVAlign",
    "fid/clean": f"{_METRICS}fid:FIDClean",
    "fid/legacy_pytorch": f"{_METRICS}fid:FIDLegacyPytorch",
    "kid/clean": f"{_METRICS}kid:KIDClean",
    "kid/legacy_pytorch": f"{_METRICS}kid:KIDLegacyPytorch",
    "fvd/styleganv": f"{_METRICS}fvd:FVDStyleGANV",
    "kvd/styleganv": f"{_METRICS}fvd:KVDStyleGANV",
    "fd_frame/gridface": f"{_GRIDFACE}features:FDFrameGridFace",
    "fd_clip/gridface": f"{_GRIDFACE}features:FDClipGridFace",
    "lpips/alex": f"{_METRICS}lpips:LPIPSAlex",
    "lpips/vgg": f"{_METRICS}lpips:LPIPSVGG",
    "psnr/rgb": f"{_METRICS}psnr:PSNR",
    "ssim/rgb": f"{_METRICS}ssim:SSIM",
    "csim/buffalo_l": f"{_METRICS}csim:CSIMBuffaloL",
    "wer/qwen3-asr-1.7b": f"{_METRICS}wer:WERQwen3",
    "wer/whisper-large-v3": f"{_METRICS}wer:WERWhisper",
    "wer/whisper-large-v3-seed-tts": f"{_METRICS}wer:WERWhisperSeedTTS",
    "wer/pocketsphinx": f"{_METRICS}wer:WERPocketsphinx",
    "cer/qwen3-asr-1.7b": f"{_METRICS}wer:CERQwen3",
    "cer/whisper-large-v3": f"{_METRICS}wer:CERWhisper",
    "wer/gridface": f"{_GRIDFACE}wer:WERGridFace",
    "cer/gridface": f"{_GRIDFACE}wer:CERGridFace",
    "utmos/strong-v1": f"{_METRICS}utmos:UTMOS",
    "dnsmos/p835": f"{_METRICS}dnsmos:DNSMOS",
    "pesq/itu": f"{_METRICS}pesq:PESQ",
    "stoi/pystoi": f"{_METRICS}stoi:STOI",
    "sim/wavlm-ecapa": f"{_METRICS}sim:SIMWavLM",
    "sim/resemblyzer": f"{_METRICS}sim:SIMResemblyzer",
}
# These variants measure the clips of one benchmark alone, so neither ``all`` nor a family with others means them.
_OF_ONE_BENCHMARK = ("gridface",)


def metric_ids() -> list[str]:
    """All ids, in order of preference within a family; a plug-in among them may be broken."""
    return list(_registry.targets)


def broken() -> dict[str, str]:
    """Plug-ins that cannot be used, by id, and why: each is imported for it."""
    return _registry.broken()


def metric_class(id: str) -> type[Metric]:
    """The class behind an exact id. Raises PluginError for a plug-in that cannot be used."""
    return _registry.class_of(id)


def _check(id: str, metric: type[Metric]) -> None:
    """Everything that is read of a metric without measuring. Raises ValueError for what cannot be kept or shown."""
    from t2av_bench.weights import entry

    family, slash, variant = id.partition("/")
    if not (family and slash and variant) or family == "all":
        raise ValueError(f"its id is {id!r}, expected family/variant")
    if metric.id != id:
        raise ValueError(f"its class says that its id is {metric.id!r}")
    if not all(isinstance(text, str) and text for text in (metric.title, metric.paper)):
        raise ValueError("'title' and 'paper' are texts")
    if metric.licence not in get_args(Licence):
        raise ValueError(f"its licence is {metric.licence!r}, expected one of {', '.join(get_args(Licence))}")
    quantities = metric.quantities
    if not isinstance(quantities, tuple) or not quantities or not all(isinstance(q, Quantity) for q in quantities):
        raise ValueError("'quantities' is a tuple of one or more Quantity")
    if len({quantity.name for quantity in quantities}) < len(quantities):
        raise ValueError("two of its quantities have one name")
    for quantity in quantities:
        if quantity.direction not in ("higher", "lower", "none") or len(quantity.interval) != 2:
            raise ValueError(f"{quantity} has no direction or no interval (low, high)")
        if (quantity.aggregate == "set") != issubclass(metric, SetMetric):
            raise ValueError("a SetMetric's quantities have aggregate='set', and no other's have")
    for weight in metric.weights:
        entry(weight)
    if inspect.isabstract(metric):
        raise ValueError(f"it lacks {', '.join(sorted(metric.__abstractmethods__))}")
    protocol = metric().protocol
    if not isinstance(protocol, Protocol) or protocol.id != id:
        raise ValueError("'protocol' is a Protocol with the metric's id")
    document = [protocol.as_dict(), metric.title, metric.paper, metric.extra, [asdict(each) for each in quantities]]
    json.dumps(document, allow_nan=False, ensure_ascii=False).encode()


_registry = Registry("t2av_bench.metrics", _BUILT_IN, Metric, _check)  # type: ignore[type-abstract]


def resolve(names: Iterable[str], notice: Callable[[str], None] | None = None) -> list[str]:
    """Names as a user types them (``sync``, ``sync/crop``, ``all``) -> exact ids, in order, without repetition.

    ``all`` is every family. Variants for one benchmark's clips (``sync/gridface``) are chosen by their full name, or by
    a family that has no others. Raises ValueError naming the nearest id for an unknown name.

    A broken plug-in is left out of ``all`` and of a family that has others, which ``notice`` is told; chosen by its
    name it raises PluginError.
    """
    from t2av_bench.weights import is_present

    families: dict[str, list[str]] = {}
    for id in metric_ids():
        families.setdefault(id.split("/")[0], []).append(id)
    troubles: dict[str, str] = {}
    general = {family: [id for id in ids if not _is_of_one_benchmark(id)] for family, ids in families.items()}
    chosen: dict[str, None] = {}
    for name in names:
        if name in _registry.targets:
            metric_class(name)
            chosen[name] = None
        elif name == "all" or name in families:
            for family in families if name == "all" else [name]:
                variants = general[family] or ([] if name == "all" else families[family])
                variants, trouble = _usable(variants)
                troubles |= trouble
                if trouble and not variants and name != "all":
                    raise PluginError("; ".join(trouble.values()))
                if not variants:
                    continue
                ready = (id for id in variants if all(is_present(weight) for weight in metric_class(id).weights))
                chosen[next(ready, variants[0])] = None
        else:
            near = difflib.get_close_matches(name, [*families, *_registry.targets, "all"], n=3, cutoff=0.4)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ValueError(f"unknown metric {name!r}{hint} 't2av-bench list metrics' shows all")
        if name == "all":
            troubles |= _registry.refused
    if notice:
        for text in troubles.values():
            notice(text)
    return list(chosen)


def _usable(ids: list[str]) -> tuple[list[str], dict[str, str]]:
    """Ids that can be used, and why the others cannot."""
    usable, troubles = [], {}
    for id in ids:
        try:
            metric_class(id)
            usable.append(id)
        except PluginError as error:
            troubles[id] = str(error)
    return usable, troubles


def _is_of_one_benchmark(id: str) -> bool:
    return id.partition("/")[2] in _OF_ONE_BENCHMARK


def create(id: str, settings: Settings | None = None, options: Mapping[str, Any] | None = None) -> Metric:
    """An instance of the metric with an exact id; ``options`` are the arguments of its constructor.

    Raises ValueError naming the options that there are.
    """
    kind = metric_class(id)
    known = list(inspect.signature(kind).parameters)[1:]
    for name in options or {}:
        if name not in known:
            has = f"has {', '.join(known)}" if known else "has none"
            raise ValueError(f"{id} has no option {name!r}; it {has}")
    try:
        with stdout_to_stderr():
            return kind(settings, **(options or {}))
    except (ValueError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a plug-in's constructor, and its sys.exit() too
        raise PluginError(f"{id} cannot be made with the options {dict(options or {})}: {unexpected(error)}") from error
