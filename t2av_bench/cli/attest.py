"""``t2av-bench attest``: does the lip-sync pipeline on this machine give published values?"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from t2av_bench.cli.errors import FAILED, usage_errors
from t2av_bench.utils.checks import Step, documents, failed
from t2av_bench.utils.files import json_text
from t2av_bench.utils.terminal_text import echo


def attest(
    reference: Annotated[
        str | None, typer.Argument(metavar="[REFERENCE]", help="mochabench, mochabench-script, or a .toml file.")
    ] = None,
    source: Annotated[Path | None, typer.Option(metavar="DIR", help="The folder with its clips.")] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the scores; the same command continues it.")
    ] = Path("attest-run"),
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the certificate here.  [default: OUT/certificate.json]")
    ] = None,
    check: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Say what has changed since a certificate was written.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or mps.")] = "cpu",
    workers: Annotated[int | None, typer.Option(min=1, max=512, help="Processes; changes no number.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score clips whose lip-sync values are published, and certify that the values agree.

    Needs SyncNet's and S3FD's weights, the ffmpeg program, and the clips. A wrong set-up is refused, and what is wrong
    has a name: checkpoint, detector, crop, tracks, rate, sound, clips, values. See docs/attest.md.

    Exit status: 0 all agrees; 1 something differs, and no certificate is written; 2 it cannot be carried out.
    """
    from t2av_bench.attestation import certificate as certificates
    from t2av_bench.attestation.reference import load, names
    from t2av_bench.utils.registry import stdout_to_stderr

    if check is not None:
        with usage_errors():
            if certificate is not None:
                raise ValueError("--check writes no certificate: leave --certificate out, or --check")
            held = certificates.read(check)
            if reference is None and held["id"] not in names():
                raise ValueError(
                    f"{check} is of a reference of one's own, {held['id']}; name its file: "
                    f"t2av-bench attest {held['id']}.toml --check {check}"
                )
            steps = list(certificates.check(held, load(reference or held["id"]), source))
        _show(steps, as_json)
        raise typer.Exit(FAILED if failed(steps) else 0)

    from t2av_bench.api.attesting import attest
    from t2av_bench.cli.progress import Display

    display = Display()
    with usage_errors():
        if reference is None or source is None:
            raise ValueError("expected t2av-bench attest REFERENCE --source DIR, or t2av-bench attest --check FILE")
        place = certificate or out / "certificate.json"
        with display, stdout_to_stderr():
            found = attest(
                reference, source, out=out, certificate=place, device=device, workers=workers,
                progress=display.step, notice=display.note,
            )  # fmt: skip
    _show(found.steps, as_json)
    if found.faults:
        display.note(f"refused: {', '.join(found.faults)}; no certificate is written: exit status 1")
        raise typer.Exit(FAILED)
    display.note(f"certificate: {place}")


def _show(steps: Iterable[Step], as_json: bool) -> None:
    if as_json:
        echo(json_text(documents(steps), indent=1))
    else:
        for name, status, words in steps:
            echo(f"{status:<7}  {name}: {words}")
