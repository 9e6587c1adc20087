"""The metrics, by ``family/variant`` id. Nothing is imported before it is asked for.

Other packages add metrics through the entry-point group ``t2av_bench.metrics`` (name: the id, value: module:Class).
One of theirs that cannot be used is broken alone (see ``utils.registry``).
"""

import json
from dataclasses import asdict
from typing import get_args

from t2av_bench.metrics.base import Damage, Licence, Metric, Response, SetMetric
from t2av_bench.metrics.names import MetricRegistry
from t2av_bench.scores import Protocol, Quantity
from t2av_bench.utils.config import folded

_METRICS = "t2av_bench.metrics."
_GRIDFACE = "t2av_bench.gridface.metrics."
# The order within a family is the order of preference: the family alone selects the first variant whose weights are
# present, and where none is, the first variant (whose scores then say which command fetches the weights).
_BUILT_IN = {
    "sync/exact": f"{_METRICS}sync:SyncExact",
    "sync/exact-blazeface": f"{_METRICS}sync:SyncExactBlazeFace",
    "sync/exact-haar": f"{_METRICS}sync:SyncExactHaar",
    "sync/crop": f"{_METRICS}sync:SyncCrop",
    "sync/joonson": f"{_METRICS}sync_legacy:SyncJoonson",
    "sync/syncnet-python": f"{_METRICS}sync_legacy:SyncSyncnetPython",
    "sync/mesh": f"{_METRICS}sync_mesh:SyncMesh",
    "sync/gridface": f"{_GRIDFACE}sync:SyncGridFace",
    "envelope/haar": f"{_METRICS}envelope:MouthEnvelope",
    "av_align/tempotokens": f"{_METRICS}av_align:AVAlign",
    "frozen/mesh468": f"{_METRICS}frozen_mesh:FrozenMesh",
    "frozen/pixels": f"{_METRICS}frozen_pixels:FrozenPixels",
    "drift/mesh468": f"{_METRICS}drift_mesh:DriftMesh",
    "drift/pixels": f"{_METRICS}drift_pixels:DriftPixels",
    "cuts/content": f"{_METRICS}cuts:CutsContent",
    "flicker/pixels": f"{_METRICS}flicker:FlickerPixels",
    "fid/clean": f"{_METRICS}fid:FIDClean",
    "fid/legacy_pytorch": f"{_METRICS}fid:FIDLegacyPytorch",
    "kid/clean": f"{_METRICS}kid:KIDClean",
    "kid/legacy_pytorch": f"{_METRICS}kid:KIDLegacyPytorch",
    "fvd/styleganv": f"{_METRICS}fvd:FVDStyleGANV",
    "kvd/styleganv": f"{_METRICS}fvd:KVDStyleGANV",
    "fd_frame/gridface": f"{_GRIDFACE}features:FDFrameGridFace",
    "fd_clip/gridface": f"{_GRIDFACE}features:FDClipGridFace",
    "lmd/mesh468": f"{_METRICS}lmd:LMDMesh",
    "lmd/dlib68": f"{_METRICS}lmd:LMDDlib",
    "lpips/alex": f"{_METRICS}lpips:LPIPSAlex",
    "lpips/vgg": f"{_METRICS}lpips:LPIPSVGG",
    "theval/lip-sync-mesh468": f"{_METRICS}theval_speech:LipSync",
    "theval/silent-lips-mesh468": f"{_METRICS}theval_speech:SilentLips",
    "theval/lips-mesh468": f"{_METRICS}theval:LipDynamics",
    "theval/eyebrows-mesh468": f"{_METRICS}theval:EyebrowDynamics",
    "theval/head-mesh468": f"{_METRICS}theval:HeadMotion",
    "theval/blinks-iris": f"{_METRICS}theval_blinks:Blinks",
    "psnr/rgb": f"{_METRICS}psnr:PSNR",
    "ssim/rgb": f"{_METRICS}ssim:SSIM",
    "csim/buffalo_l": f"{_METRICS}csim:CSIMBuffaloL",
    "identity_drift/buffalo_l": f"{_METRICS}identity_drift:IdentityDriftBuffaloL",
    "wer/qwen3-asr-1.7b": f"{_METRICS}wer:WERQwen3",
    "wer/whisper-large-v3": f"{_METRICS}wer:WERWhisper",
    "wer/whisper-large-v3-seed-tts": f"{_METRICS}wer:WERWhisperSeedTTS",
    "wer/whisper-base": f"{_METRICS}wer:WERWhisperBase",
    "wer/whisper-base-no-timestamps": f"{_METRICS}wer:WERWhisperBaseNoTimestamps",
    "wer/pocketsphinx": f"{_METRICS}wer:WERPocketsphinx",
    "cer/qwen3-asr-1.7b": f"{_METRICS}wer:CERQwen3",
    "cer/whisper-large-v3": f"{_METRICS}wer:CERWhisper",
    "cer/whisper-base": f"{_METRICS}wer:CERWhisperBase",
    "wer/gridface": f"{_GRIDFACE}wer:WERGridFace",
    "cer/gridface": f"{_GRIDFACE}wer:CERGridFace",
    "utmos/strong-v1": f"{_METRICS}utmos:UTMOS",
    "dnsmos/p835": f"{_METRICS}dnsmos:DNSMOS",
    "distillmos/v7": f"{_METRICS}distillmos:DistillMOS",
    "tempo/silero": f"{_METRICS}tempo:Tempo",
    "unspoken_end/whisper-base": f"{_METRICS}unspoken_end:UnspokenEndWhisperBase",
    "pesq/itu": f"{_METRICS}pesq:PESQ",
    "stoi/pystoi": f"{_METRICS}stoi:STOI",
    "mcd/pymcd": f"{_METRICS}mcd:MCDPymcd",
    "mcd/exact": f"{_METRICS}mcd:MCDExact",
    "dd/eval": f"{_METRICS}dd:DDEval",
    "dd/instructdubber": f"{_METRICS}dd:DDInstructDubber",
    "emo_sim/emotion2vec_plus_large": f"{_METRICS}emo_sim:EMOSIMPlusLarge",
    "emo_sim/emotion2vec_base": f"{_METRICS}emo_sim:EMOSIMBase",
    "sim/wavlm-ecapa": f"{_METRICS}sim:SIMWavLM",
    "sim/resemblyzer": f"{_METRICS}sim:SIMResemblyzer",
}


def _check(id: str, metric: type[Metric]) -> None:
    """Everything that is read of a metric without measuring. Raises ValueError for what cannot be kept or shown."""
    from t2av_bench.weights import entry

    family, slash, variant = id.partition("/")
    if not (family and slash and variant) or folded(family) == "all":
        raise ValueError(f"its id is {id!r}, expected family/variant")
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
    if hasattr(metric, "embedded"):  # it would lose its mark unseen
        raise ValueError("'embedded' is called 'stand_in' now")
    for alias, name in metric.aliases.items():
        if not (isinstance(alias, str) and folded(alias)) or name not in [quantity.name for quantity in quantities]:
            raise ValueError(f"'aliases' is other names -> names of its quantities, got {alias!r}: {name!r}")
    for name, claims in metric.validity.items():
        if name not in [quantity.name for quantity in quantities]:
            raise ValueError(f"'validity' speaks of {name!r}, which is none of its quantities")
        for damage, response in claims.items():
            if damage not in get_args(Damage) or response not in get_args(Response):
                raise ValueError(
                    f"'validity' is quantity -> damage -> response, got {damage!r}: {response!r}; damages are "
                    f"{', '.join(get_args(Damage))}, responses {', '.join(get_args(Response))}"
                )
    if not isinstance(metric.by_default, bool):
        raise ValueError(f"'by_default' is True or False, got {metric.by_default!r}")
    for weight in metric.weights:
        entry(weight)
    protocol = metric().protocol
    if not isinstance(protocol, Protocol) or protocol.id != id:
        raise ValueError("'protocol' is a Protocol with the metric's id")
    document = [protocol.as_dict(), metric.title, metric.paper, metric.extra, [asdict(each) for each in quantities]]
    json.dumps(document, allow_nan=False, ensure_ascii=False).encode()


registry = MetricRegistry("metric", _BUILT_IN, Metric, _check, given="settings")  # type: ignore[type-abstract]
metric_ids, metric_class, broken = registry.ids, registry.class_of, registry.broken
create, resolve = registry.create, registry.resolve
