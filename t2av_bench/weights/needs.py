"""What metrics and systems lack on this machine, and the one command that brings it."""

from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from t2av_bench.errors import Lack, NotApplicable
from t2av_bench.utils.optional import OPENCV_LIBRARIES, opencv_fault
from t2av_bench.weights.entry import WeightsEntry, fetch_command
from t2av_bench.weights.table import configured, path


class Needs(Protocol):
    """A metric or a system, as a class or an object."""

    @property
    def id(self) -> str: ...
    @property
    def weights(self) -> tuple[str, ...]: ...
    @property
    def packages(self) -> tuple[str, ...]: ...
    @property
    def extra(self) -> str | None: ...


def missing(of: Needs) -> tuple[list[WeightsEntry], list[str]]:
    """Weights that are not here, and Python packages that are not installed; nothing is read or imported."""
    store = configured()
    absent = [store.entry(id) for id in of.weights if not store.is_present(id)]
    packages = dict.fromkeys([*of.packages, *(entry.package for entry in absent if entry.package)])
    return [entry for entry in absent if not entry.package], [name for name in packages if find_spec(name) is None]


def lack(*users: Needs, weights: bool = True, without: Collection[str] = ()) -> Lack | None:
    """All that is missing; None where nothing is. weights: whether they count too, ``without`` those of some ids."""
    entries: dict[str, WeightsEntry] = {}
    packages: dict[str, None] = {}
    extras, names = set(), []
    for user in users:
        absent, modules = missing(user)
        absent = [entry for entry in absent if entry.id not in without]
        entries |= {entry.id: entry for entry in absent if weights}
        packages |= dict.fromkeys(modules)
        extras |= {user.extra} if modules and user.extra else set()
        names += [user.id] if absent else []
    what = [f"weights {', '.join(entries)}"] if entries else []
    what += [f"Python packages {', '.join(packages)}"] if packages else []
    fault = opencv_fault() if any("cv2" in user.packages for user in users) else None
    what += [fault] if fault else []
    how = [OPENCV_LIBRARIES] if fault else []
    how += [f"pip install 't2av-bench[{','.join(sorted(extras))}]'"] if extras else []
    if entries:  # a command for all that a user needs would bring those that do not count, too
        how += [fetch_command(*entries.values(), names="" if without else ",".join(names))]
    licences = [f"{entry.id}: {entry.licence}" for entry in entries.values() if entry.group != "free"]
    return Lack(" and ".join(what), tuple(how), tuple(licences)) if what else None


def lacks(*users: Needs, weights: bool = True) -> str | None:
    """All that is missing, and the command that brings it; None where nothing is. weights: whether they count too."""
    found = lack(*users, weights=weights)
    return f"missing: {found}" if found else None


def unusable(user: Needs) -> str | None:
    """Why a metric cannot run at all: what it lacks, or weights that are not what they should be."""
    if reason := lacks(user):
        return reason
    try:
        for id in user.weights:
            path(id)
    except NotApplicable as error:
        return str(error)
    return None


def is_fetched(source: str, file: str, revision: str | None = None) -> bool:
    """Whether a folder, or else what was fetched of a repository of the model hub, holds a file."""
    from huggingface_hub import try_to_load_from_cache

    if Path(source).is_dir():
        return (Path(source) / file).is_file()
    return isinstance(try_to_load_from_cache(source, file, revision=revision), str)
