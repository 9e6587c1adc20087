"""What other packages add through entry points: metrics, systems and benchmarks.

A plug-in that cannot be used is broken alone: whoever lists or chooses plug-ins gets a PluginError with the reason, and
the others work.
"""

import importlib
import inspect
import os
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from t2av_bench.utils.config import folded, near
from t2av_bench.utils.reasons import unexpected

T = TypeVar("T")


class PluginError(ValueError):
    """A plug-in that cannot be used; the message names it and says why."""


class Registry(Generic[T]):
    """Classes by id: this project's, and those that other packages add. Nothing is imported before it is asked for.

    noun: what a class is called, ``metric``; ``t2av_bench.metrics`` is then the entry-point group (name: the id, value:
    ``module:Class``). built_in: id -> ``module:Class``. kind: what every class is. check: raises ValueError for what a
    plug-in's class lacks. maker: what makes an instance of a class; ``given``: its parameter that is no option.
    """

    def __init__(
        self, noun: str, built_in: Mapping[str, str], kind: type[T],
        check: Callable[[str, type[T]], None] = lambda id, kind: None,
        maker: Callable[[type[T]], Callable[..., T]] = lambda kind: kind, given: str = "",
    ) -> None:  # fmt: skip
        self.noun = noun
        self.built_in, self._kind, self._check = built_in, kind, check
        self._maker, self._given = maker, given
        self._loaded: dict[str, type[T] | PluginError] = {}

    def ids(self) -> list[str]:
        """All ids, those of this project first; a plug-in among them may be broken."""
        return list(self.targets)

    @property
    def targets(self) -> dict[str, str]:
        """Ids -> ``module:Class``."""
        return self._entries[0]

    @property
    def refused(self) -> dict[str, str]:
        """Plug-ins whose id is taken, and why they are left out. The order of installation does not matter."""
        return self._entries[1]

    def __contains__(self, name: object) -> bool:
        """Whether a name is an id, case and punctuation aside."""
        return isinstance(name, str) and bool(same(name, self.targets))

    def find(self, name: str) -> str:
        """The id that a name is, case and punctuation aside. ValueError: it is none (the nearest are named), or two."""
        found = same(name, self.targets)
        if not found:
            raise ValueError(f"unknown {self.noun} {name!r}{near(name, self.targets)}")
        if len(found) > 1:
            raise ValueError(f"the {self.noun} {name!r} may be {' or '.join(found)}: name one of them")
        return found[0]

    def class_of(self, name: str) -> type[T]:
        """The class behind an id. ValueError as of ``find``; PluginError for a plug-in that cannot be used."""
        id = self.find(name)
        target = self.targets[id]
        if id in self.built_in:
            module, _, attribute = target.partition(":")
            return getattr(importlib.import_module(module), attribute)
        if id not in self._loaded:
            try:
                self._loaded[id] = self._load(id, target)
            except PluginError as error:
                self._loaded[id] = error
        found = self._loaded[id]
        if isinstance(found, PluginError):
            raise found
        return found

    def create(self, name: str, /, *given: Any, **options: Any) -> T:
        """An instance of the class with an id. options: of its maker; ValueError as of ``check_options``."""
        self.check_options(name, options)
        return self._maker(self.class_of(name))(*given, **options)

    def check_options(self, name: str, options: Mapping[str, Any]) -> None:
        """ValueError for options that a class does not have, lacks although it needs them, or that have a wrong type.

        A text is good where a path is wanted.
        """
        id = self.find(name)
        where, maker = f"{self.noun} {id}", self._maker(self.class_of(id))
        with calling(f"the {where} is broken"):
            parameters = inspect.signature(maker).parameters
        known = {key: each for key, each in parameters.items() if key != self._given and each.kind not in _OPEN_ENDED}
        free = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
        for key in options:
            if key not in known and key != self._given and not free:
                raise ValueError(f"{where} has no option {key!r}{near(key, known)}")
        for key, each in known.items():
            if each.default is inspect.Parameter.empty and key not in options:
                raise ValueError(f"{where} needs the option {key!r}")
        if wrong := list(_wrong_types(maker, options)):
            raise ValueError(f"options of {where}: {'; '.join(wrong)}")

    def broken(self) -> dict[str, str]:
        """Plug-ins that cannot be used, by id, and why: each is imported for it."""
        found = dict(self.refused)
        for id in self.targets:
            if id not in self.built_in:
                try:
                    self.class_of(id)
                except PluginError as error:
                    found[id] = str(error)
        return found

    def forget(self) -> None:
        """Look for plug-ins anew."""
        self.__dict__.pop("_entries", None)
        self._loaded.clear()

    @cached_property
    def _entries(self) -> tuple[dict[str, str], dict[str, str]]:
        found, refused = dict(self.built_in), {}
        entries = entry_points(group=f"t2av_bench.{self.noun}s")
        for entry in sorted(entries, key=lambda entry: (entry.name, entry.value)):
            taken = found.setdefault(entry.name, entry.value)
            if taken != entry.value:
                refused[f"{entry.name} ({entry.value})"] = (
                    f"the plug-in {entry.value} is left out: its id {entry.name!r} is taken by {taken}; rename one of "
                    "both"
                )
        return found, refused

    def _load(self, id: str, target: str) -> type[T]:
        """Import a plug-in's class. Raises PluginError for any trouble."""
        where = f"the plug-in {id} ({target}) is broken"
        module, _, name = target.partition(":")
        with calling(where):
            found: Any = importlib.import_module(module.strip())
            for part in name.strip().split("."):
                found = getattr(found, part)
            fits = isinstance(found, type) and issubclass(found, self._kind)
            if not fits:
                raise PluginError(f"{where}: it is no {self._kind.__name__}")
            if found.id != id:
                raise ValueError(f"its class says that its id is {found.id!r}")
            if inspect.isabstract(found):
                raise ValueError(f"it lacks {', '.join(sorted(found.__abstractmethods__))}")
            self._check(id, found)
            return found


def same(name: str, known: Iterable[str]) -> list[str]:
    """Which of the known names it is: the exact one, else all that differ in case and punctuation alone."""
    known = list(dict.fromkeys(known))
    wanted = folded(name)
    return [name] if name and name in known else [each for each in known if wanted and folded(each) == wanted]


_OPEN_ENDED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def hints_of(maker: Callable[..., Any]) -> dict[str, Any]:
    """Types of the parameters, as far as they can be known."""
    try:
        return typing.get_type_hints(maker.__init__ if isinstance(maker, type) else maker)  # type: ignore[misc]
    except Exception:  # names that are there for type checkers alone, and whatever else a plug-in writes
        return {}


def _wrong_types(maker: Callable[..., Any], options: Mapping[str, Any]) -> Iterator[str]:
    """Which options have values of another type than the parameters, and what was expected."""
    from pydantic import TypeAdapter, ValidationError
    from pydantic.errors import PydanticUserError

    hints = hints_of(maker) if options else {}
    for name, value in options.items():
        hint = hints.get(name, Any)
        if isinstance(value, str) and Path in (hint, *typing.get_args(hint)):
            continue
        try:
            # A configuration file's lists are good for tuples; but "10" is no number, and 1 no truth value.
            TypeAdapter(hint).validate_python(value, strict=isinstance(value, str | int | float))
        except ValidationError as error:
            yield f"{name}: {error.errors()[0]['msg']}, got {value!r:.60}"
        except PydanticUserError:
            continue  # a type of the plug-in's own: its maker judges


@contextmanager
def calling(where: str) -> Iterator[None]:
    """Runs foreign code: what it raises becomes a PluginError that begins with ``where``; it prints to stderr."""
    try:
        with stdout_to_stderr():
            yield
    except PluginError:
        raise
    except ValueError as error:
        raise PluginError(f"{where}: {error}") from error
    except KeyboardInterrupt:
        raise  # the user's
    except BaseException as error:  # sys.exit() too: it is the plug-in that ends, not the command
        raise PluginError(f"{where}: {unexpected(error)}") from error


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """What foreign code prints inside goes to stderr, whether Python, C or a program that it starts prints it."""
    try:
        sys.stdout.flush()
        kept = os.dup(1)
    except (OSError, ValueError, AttributeError):  # there is no stdout
        yield
        return
    try:
        os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
