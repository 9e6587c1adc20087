"""What can be checked of a system whose clips somebody else makes: their files, and nothing of how they came about."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from t2av_bench.errors import Unscorable
from t2av_bench.systems.base import Request
from t2av_bench.systems.delivery import finished
from t2av_bench.systems.external.clip_folder import ClipFolder
from t2av_bench.systems.external.spec import Spec
from t2av_bench.utils.checks import Step
from t2av_bench.utils.config import near

_OPTIONS = ("clips", "names", "rule")
_UNKNOWN = {
    "checkout": "its program is not here",
    "item": "no clip can be asked for",
    "seed": "who made the clips knows whether a seed gives the same clip again",
    "no face": "nobody can be asked what becomes of a picture without a face",
    "kill": "there is no process",
    "not honoured": "what the clips were made from is their maker's word",
}


def checked(spec: Spec, options: Mapping[str, Any]) -> Iterator[Step]:
    """The steps. Of ``clips`` every file is decoded; without it there is nothing to look at.

    ValueError for options beside ``clips``, ``names`` and ``rule``.
    """
    if unknown := [name for name in options if name not in _OPTIONS]:
        raise ValueError(f"checking a folder takes no option {unknown[0]!r}{near(unknown[0], _OPTIONS)}")
    for name, why in _UNKNOWN.items():
        yield name, "skipped", f"cannot be checked: {why}"
    if not options.get("clips"):
        yield "files", "skipped", "cannot be checked: nothing says where they are; next: --option clips=FOLDER"
        return
    folder = ClipFolder(options["clips"], options.get("names"), options.get("rule") or spec.defaults.get("rule"))
    if folder.trouble:
        yield "files", "failed", folder.trouble
        return
    task, good, ids = next(iter(spec.tasks)), 0, folder.ids
    for id in ids:
        try:
            found = folder.files(Request(id=id, out=Path(f"{id}.mp4"), task=task))
            finished(found.video, found.sound)
        except Unscorable as reason:
            yield f"file of {id}", "failed", str(reason)
        else:
            good += 1
    for notice in folder.notices(ids):
        yield "names", "skipped", notice
    yield "files", "ok" if good else "failed", f"{good} of {len(ids)} items have a file that can be read"
