"""``attest``: known clips -> whether this machine's lip-sync pipeline gives the published values."""

from t2av_bench.api.runs import AnyPath
from t2av_bench.attestation import attest as attesting
from t2av_bench.attestation.attest import Attestation
from t2av_bench.attestation.reference import load
from t2av_bench.errors import NotApplicable
from t2av_bench.utils.progress import Notice, OnStep
from t2av_bench.utils.reasons import refusals, sentence


def attest(
    reference: str,
    source: AnyPath,
    *,
    out: AnyPath = "attest-run",
    certificate: AnyPath | None = None,
    device: str = "cpu",
    workers: int | None = None,
    progress: OnStep | None = None,
    notice: Notice | None = None,
) -> Attestation:
    """Score known clips and compare with published values: ``t2av-bench attest``.

    reference: ``mochabench``, ``mochabench-script``, or a ``.toml`` file of one's own. source: the folder with its
    clips. out: the run's folder; the same call continues it. certificate: where to write it, if nothing failed.

    ``Attestation.faults`` names what is wrong; a fault raises nothing. Raises ValueError, with the sentence that the
    command would print, where it cannot be carried out: weights, the ffmpeg program or all clips are missing.
    """
    from pathlib import Path

    with refusals():
        try:
            found = attesting.attest(
                load(reference), Path(source), Path(out), device=device, workers=workers,
                on_step=progress or (lambda _: None), notice=notice or (lambda _: None),
            )  # fmt: skip
        except NotApplicable as error:
            raise ValueError(sentence(error)) from error
        if certificate is not None and not found.faults:
            found.write(Path(certificate))
    return found
