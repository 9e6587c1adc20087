"""Who has run an adapter with the real weights: until somebody has, it is "never run with weights".

An attestation is what ``t2av-bench systems check ID --attest FILE`` writes. Those that were handed in lie in the folder
beside this module, those of the user, and whatever they were given, in the folder of ``own_file``. It holds for the
specification and shim whose digests it names.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from t2av_bench.systems.external.spec import spec, spec_ids
from t2av_bench.utils.files import json_text, write_text
from t2av_bench.utils.machine import user_data

SCHEMA = 1
_BUNDLED = Path(__file__).with_name("attestations")
NEVER_RUN = "never run with weights"


def own_file(id: str) -> Path:
    """Where the user's own attestation of a system lies."""
    return user_data() / "attestations" / f"{id}.json"


def attestation(id: str) -> Mapping[str, Any] | None:
    """The newest attestation of a system; None where there is none."""
    return next(iter(_all(id)), None)


def never_run(id: str) -> bool:
    """Whether nobody has attested that an external system passed its check with its weights."""
    return attestation(id) is None


def status(id: str, digests: Mapping[str, str]) -> str:
    """What to say about it. digests: of the spec and the shim that are meant, by the names in the attestation.

    An attestation of just these comes before a newer one of others.
    """
    found = min(_all(id), key=lambda each: bool(_changed(each, digests)), default=None)
    if found is None:
        return NEVER_RUN
    changed = _changed(found, digests)
    since = f"; {' and '.join(changed)} changed since" if changed else ""
    return f"passed its check with weights on {str(found['date'])[:10]}{since}"


def caveat(id: str, digests: Mapping[str, str]) -> str:
    """``status`` where readers of numbers should know it; empty where somebody ran just these with the weights.

    And of a folder of clips that somebody made, which is not run at all.
    """
    if id in spec_ids() and spec(id).carrier == "folder":
        return ""
    return "" if any(not _changed(each, digests) for each in _all(id)) else status(id, digests)


def write(path: Path, facts: Mapping[str, Any]) -> None:
    """Write an attestation of ``facts`` (``id``, ``date`` and ``results`` among them), and keep it for this user.

    Raises ValueError for facts that attest nothing: a step failed, or the files were fakes.
    """
    whole = {"schema": SCHEMA, **facts}
    if why := _refused(whole):
        raise ValueError(f"there is nothing to attest: {why}")
    own = own_file(str(whole["id"]))
    own.parent.mkdir(parents=True, exist_ok=True)
    for each in (path, own):
        write_text(each, json_text(whole, indent=1) + "\n")
    _read.cache_clear()


def _all(id: str) -> list[Mapping[str, Any]]:
    """The newest first. A file that is none says nothing."""
    paths = [path for folder in (own_file(id).parent, _BUNDLED) for path in sorted(folder.glob("*.json"))]
    found = [each for path in paths if (each := _read(path)) and each["id"] == id]
    return sorted(found, key=lambda each: str(each["date"]), reverse=True)


def _changed(found: Mapping[str, Any], digests: Mapping[str, str]) -> list[str]:
    return [name for name, digest in digests.items() if found.get(name) != digest]


def _refused(facts: Mapping[str, Any]) -> str | None:
    failed = [each["name"] for each in facts["results"] if each["status"] == "failed"]
    made = [each["name"] for each in facts["results"] if each["status"] == "ok" and each["name"].startswith("item ")]
    if facts.get("fake"):
        return "a fake tree was checked"
    if failed:
        return f"{', '.join(failed)} failed"
    return None if made else "no clip was made"


@cache
def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        counts = found["schema"] == SCHEMA and found["id"] and found["date"] and not _refused(found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return found if counts else None
