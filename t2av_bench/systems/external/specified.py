"""``specified.ID`` is the class of a specification of the user's own, by its carrier."""

from t2av_bench.systems.base import System
from t2av_bench.systems.external import folder, worker
from t2av_bench.systems.external.spec import spec


def __getattr__(name: str) -> type[System]:
    try:
        carrier = spec(name).carrier
    except KeyError as error:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: {error.args[0]}") from error
    found: type[System] = getattr(folder if carrier == "folder" else worker, name)
    return found
