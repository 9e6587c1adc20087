"""``t2av-bench inspect``: what the product sees of a file."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from t2av_bench.cli.errors import FAILED
from t2av_bench.utils.terminal_text import echo, printable


def inspect(
    clips: Annotated[list[Path], typer.Argument(metavar="CLIP...", help="Media files.", show_default=False)],
    faces: Annotated[
        bool, typer.Option("--faces", help="Also look for faces, with the best detector that is here.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array instead of text.")] = False,
) -> None:
    """Print what is seen of media files: streams, the chosen ones, clock, rates, lengths, and reasons.

    Times are in seconds; 'docs/time_line.md' explains them. Exit status: 0, or 1 where a file, or its pictures or
    sound, cannot be used.
    """
    from t2av_bench.evaluation.inspection import inspect as look

    seen, usable = [], True
    for clip in clips:
        facts = look(clip, faces)
        usable &= not facts["problems"]
        if as_json:
            seen.append(facts)
        else:
            echo(describe(facts))
    if as_json:
        # As ASCII: a file name that is no text has no other form.
        echo(json.dumps(seen, indent=1))
    if not usable:
        raise typer.Exit(FAILED)


def describe(facts: dict[str, Any]) -> str:
    """The facts of ``inspection.inspect`` as lines for people, the last one with its line end."""
    lines = [f"{printable(facts['file'], one_line=True)}"]
    if facts["format"]:
        lines[0] += f": {facts['format']}, {facts['bytes']} bytes"
    lines += [f"  stream    {_stream(stream)}" for stream in facts["streams"]]
    if facts["clock"]:
        lines += [f"  clock     {line}" for line in _clock(facts["clock"], facts["pictures"], facts["sound"])]
    if facts["pictures"]:
        lines.append(f"  pictures  {_pictures(facts['pictures'])}")
    if facts["sound"]:
        lines.append(f"  sound     {_sound(facts['sound'], facts['pictures'])}")
    if facts["faces"]:
        lines += [f"  faces     {line}" for line in _faces(facts["faces"])]
    lines += [f"  problem   {printable(reason, one_line=True)}" for reason in facts["problems"]]
    return "\n".join(lines) + "\n"


def _stream(stream: dict[str, Any]) -> str:
    parts = [f"{stream['index']} {stream['kind']}", stream["codec"] or "no decoder"]
    if stream.get("size"):
        parts.append("x".join(map(str, stream["size"])))
    if stream.get("rate"):
        parts.append(f"{stream['rate']:.6g} {'pictures/s' if stream['kind'] == 'video' else 'Hz'}")
    parts += [stream[key] for key in ("pixel_format", "layout") if stream.get(key)]
    parts += [f"{key} {stream[key]:.3f} s" for key in ("start", "duration") if stream[key] is not None]
    marks = f" [{', '.join(stream['dispositions'])}]" if stream["dispositions"] else ""
    return f"{', '.join(parts)}{marks} - {'taken' if stream['chosen'] else 'left'}: {stream['why']}"


def _clock(clock: dict[str, Any], pictures: dict | None, sound: dict | None) -> list[str]:
    stamp = clock["zero_stamp"]
    lines = [f"zero is {clock['zero']}" + (f", {stamp:.3f} s by the file's own clock" if stamp is not None else "")]
    if pictures:
        if clock["decoding_times"]:
            lines.append("only times of decoding are stated: pictures are shown at these, in order")
        if clock["constant_rate"]:
            lines.append(f"constant rate: all time stamps lie on {clock['constant_rate']:.6g} pictures/s")
        else:
            lines.append("variable rate: each picture at its own time stamp")
    begins = clock["first_sample"]
    if begins is not None and pictures and sound:
        place = f"{abs(begins) * 1000:.1f} ms {'after' if begins > 0 else 'before'} zero"
        done = "filled with silence" if begins > 0 else "cut"
        lines.append(f"sound begins {place}, {done}" if abs(begins) >= 5e-5 else "sound begins at zero")
    if clock["priming_samples"]:
        milliseconds = clock["priming_seconds"] * 1000
        lines.append(
            f"{clock['priming_samples']} samples ({milliseconds:.1f} ms) dropped: priming, or before an edit list"
        )
    return lines


def _pictures(pictures: dict[str, Any]) -> str:
    return (
        f"{pictures['source']} at {pictures['source_rate']:.6g}/s become {pictures['slots']} at 25/s "
        f"({pictures['seconds']:.2f} s): {pictures['repeated']} repeated, {pictures['dropped']} dropped"
    )


def _sound(sound: dict[str, Any], pictures: dict[str, Any] | None) -> str:
    peak = "digital silence" if sound["peak_dbfs"] is None else f"peak {sound['peak_dbfs']:.1f} dBFS"
    text = f"in {printable(sound['file'])}: " if "file" in sound else ""
    text += f"{sound['seconds']:.3f} s at {sound['rate']} Hz, {peak}"
    if pictures:
        longer = sound["seconds"] - pictures["seconds"]
        text += f", {abs(longer):.3f} s {'longer' if longer >= 0 else 'shorter'} than the pictures"
    return text


def _faces(faces: dict[str, Any]) -> list[str]:
    if faces["reason"]:
        reason = printable(faces["reason"], one_line=True)
        return [f"{faces['detector']}: {reason}" if faces["detector"] else reason]
    return [
        f"{faces['detector']}: frames {track['first_frame']} to {track['last_frame']}, "
        f"{track['mean_size'][0]:.0f}x{track['mean_size'][1]:.0f} pixels on average"
        for track in faces["tracks"]
    ]
