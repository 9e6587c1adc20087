"""Classes of systems that a specification describes: what it says are their class attributes."""

import inspect
from collections.abc import Iterable
from typing import Any, ClassVar, TypeVar

from t2av_bench.systems.base import System
from t2av_bench.systems.external.spec import Spec


class SpecifiedSystem(System):
    """spec: what is known of the system. A class that names one has the attributes that it says."""

    spec: ClassVar[Spec]

    def __init_subclass__(cls, **given: Any) -> None:
        super().__init_subclass__(**given)
        if "spec" not in cls.__dict__:
            return
        said = cls.spec
        cls.id, cls.title, cls.paper, cls.licence = said.id, said.title, said.paper, said.licence
        cls.needs, cls.seed_support = dict(said.tasks), said.seed_support
        # Files that somebody made have the format that they have, and their length.
        is_made = said.carrier != "folder"
        cls.native = said.native_format if is_made else None
        cls.follows_length = is_made and said.honours.get("target_seconds") in ("yes", "words")


Base = TypeVar("Base", bound=SpecifiedSystem)


def class_of(
    base: type[Base], said: Spec, carrier: str, parameters: Iterable[inspect.Parameter], **own: Any
) -> type[Base]:
    """The class of a specification whose code is that of ``base``, whose ``load`` takes any options.

    parameters: of its own ``load``, by name, so that a wrong or a missing one is refused before anything is made. own:
    further attributes. AttributeError for a specification of another carrier.
    """
    if said.carrier != carrier:
        raise AttributeError(f"{said.id} has the carrier {said.carrier}, not {carrier}")
    parent, known = base.load.__func__, list(parameters)  # type: ignore[attr-defined]

    def load(cls: type[Base], *, device: str = "cpu", **options: Any) -> Base:
        made: Base = parent(cls, device=device, **options)
        return made

    load.__doc__ = parent.__doc__
    load.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("cls", inspect.Parameter.POSITIONAL_OR_KEYWORD), *known]
    )
    load.__annotations__ = {each.name: each.annotation for each in known}
    return type(said.id, (base,), {"__module__": base.__module__, "spec": said, "load": classmethod(load), **own})
