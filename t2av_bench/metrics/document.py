"""``docs/metrics.md``, from the metrics themselves: ``python -m t2av_bench.metrics.document > docs/metrics.md``."""

import inspect

from t2av_bench.metrics import registry
from t2av_bench.metrics.base import Metric
from t2av_bench.scores import Quantity

_HEAD = """\
# Metrics

Written by `python -m t2av_bench.metrics.document` from the metrics' own data; a test keeps it so.

A metric is named `family/variant`. Two variants are two columns: their numbers are never averaged, ranked or compared
with each other. The family alone (`--metrics sync`) selects the first variant below whose weights are present;
`--metrics theval`, whose variants measure different things, means all of them. `all` means every family so, and
`sync/mesh` beside what `sync` means.

Wherever a metric or a quantity is named (`--metrics`, `--columns`, `--quantities`, `--waive`, `--option`, margins,
configurations, the Python API), an id (`sync/exact`), a family (`sync`), a column (`sync_c`) and what it is also called
(`LSE-C`) are understood, case and punctuation aside: `lse_c` is `LSE-C`. As a metric, a column means the first variant
that gives it and whose weights are present. A name that may be several things is refused with what it may be.

Columns marked ‡ come from bundled stand-ins, and are not comparable with published numbers. Variants named `gridface`
measure the embedded benchmark's clips alone: they are chosen by their full name, never by `all`. So are metrics that
mislead on talking faces; they say so.

Options are given as `--option METRIC.OPTION=VALUE`, such as `sync/exact.min_track=50`; in brackets is what they are
without it. They are part of the protocol. `detect_every` and `dtype` make a metric faster, at a price:
[faster protocols](faster.md).

Every score is stored with its protocol: parameters, sha256 of the weights, and the library versions that can move it.
The protocol's fingerprint decides which numbers may share a table column.

A metric of your own plugs in from a package of your own: see [plug-ins](plugins.md).

## At a glance

| measures | families | weights |
|---|---|---|
| lip sync | `sync` (Sync-C, Sync-D, offset, distance as played, share in the tolerance of ITU-R BT.1359; six protocols of SyncNet's); by name only, for they rise under some damage: `av_align`, `envelope`‡ | SyncNet and S3FD, or BlazeFace for the faces |
| lip sync that anybody may measure ([what it is worth](lip_sync.md)) | `sync/mesh` (confidence that does not depend on the length, distance, offset in milliseconds, in columns of its own) | in the package; BlazeFace, face mesh, Silero VAD |
| mouth, face and head ([what the face mesh sees](landmarks.md)) | `frozen`, `lmd`, `theval` (openness against loudness, silent lips, dynamics of lips, brows and head, blinks; THEval's formulas and corrected forms) | BlazeFace, face mesh, iris, Silero VAD |
| pictures | `fid`, `kid`, `fvd`, `kvd`, `lpips`, `psnr`, `ssim`, `csim`, `identity_drift`, `drift`, `cuts`, `flicker` | Inception, I3D, AlexNet/VGG, ArcFace; none for PSNR, SSIM and the last two |
| speech | `wer`, `cer` (Qwen3-ASR, Whisper large-v3 or base, pocketsphinx‡: the best whose weights are there, named in the column), `unspoken_end`, `tempo` (rate, pauses, a cut end), `utmos`, `dnsmos`, `distillmos`, `sim` (WavLM-ECAPA, Resemblyzer‡) | per recogniser; Silero VAD; DistillMOS; bundled for DNSMOS and ‡ |
| dubbing, with a reference | `dd` (duration divergence), `emo_sim`, `mcd`, `pesq`, `stoi` | StyleTTS2's aligner, emotion2vec; none for the last three |

The pages behind these numbers: what each metric claims to notice, and whether it does ([validity](validity.md)); what it
changes for reasons that are not the model ([error budget](error_budget.md)); how far it agrees with people
([panel](panel.md)); whether a machine gives the published values ([attest](attest.md)).
"""  # noqa: E501


def document() -> str:
    """The page as Markdown."""
    parts = [_HEAD]
    previous = None
    for id in registry.built_in:
        metric = registry.class_of(id)
        if metric.__module__ != previous:
            previous = metric.__module__
            about = inspect.getdoc(inspect.getmodule(metric)) or ""
            parts.append(f"## {id.split('/')[0]}\n\n{about}\n")
        parts.append(_section(metric))
    return "\n".join(parts)


def _section(metric: type[Metric]) -> str:
    lines = [f"### `{metric.id}`", "", f"{metric.title}. {metric.paper}.", ""]
    lines += ["| column | also called | better | range | unit | over a set |", "|---|---|---|---|---|---|"]
    lines += [_row(quantity, metric) for quantity in metric.quantities]
    if not metric.by_default:
        lines += ["", "By its name alone: `all` does not mean it."]
    needs = []
    if metric.weights:
        needs.append("weights " + ", ".join(f"`{id}`" for id in metric.weights) + f" ({metric.licence})")
    if metric.extra:
        needs.append(f"`pip install 't2av-bench[{metric.extra}]'`")
    if options := _options(metric):
        lines += ["", f"Options: {options}."]
    lines += ["", "Needs " + " and ".join(needs) + "." if needs else "Needs nothing but the base install.", ""]
    return "\n".join(lines)


def _options(metric: type[Metric]) -> str:
    parameters = list(inspect.signature(metric).parameters.values())[1:]  # the first are its settings
    return ", ".join(f"`{each.name}` (`{each.default}`)" for each in parameters)


def _row(quantity: Quantity, metric: type[Metric]) -> str:
    also = ", ".join([quantity.label, *metric.also_called(quantity.name)])
    column = f"`{quantity.name}`{'‡' if metric.stand_in else ''}"
    low, high = ("" if bound is None else f"{bound:g}" for bound in quantity.interval)
    interval = f"{low or '−∞'} … {high or '∞'}"
    better = {"higher": "higher ↑", "lower": "lower ↓", "none": "–"}[quantity.direction]
    over = {"weighted": "weighted mean", "set": "from all features"}.get(quantity.aggregate, quantity.aggregate)
    return f"| {column} | {also} | {better} | {interval} | {quantity.unit or '–'} | {over} |"


if __name__ == "__main__":
    print(document(), end="")
