"""What other packages add through entry points: metrics, systems and benchmarks.

A plug-in that cannot be used is broken alone: whoever lists or chooses plug-ins gets a PluginError with the reason, and
the others work.
"""

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from t2av_bench.utils.reasons import unexpected

T = TypeVar("T")


class PluginError(ValueError):
    """A plug-in that cannot be used; the message names it and says why."""


class Registry(Generic[T]):
    """Classes by id: this project's, and those that other packages add. Nothing is imported before it is asked for.

    group: entry-point group (name: the id, value: ``module:Class``). built_in: id -> ``module:Class``. kind: what every
    class is. check: raises ValueError for what a plug-in's class lacks.
    """

    def __init__(
        self, group: str, built_in: Mapping[str, str], kind: type[T], check: Callable[[str, type[T]], None]
    ) -> None:
        self._group, self._built_in, self._kind, self._check = group, built_in, kind, check
        self._found: tuple[dict[str, str], dict[str, str]] | None = None
        self._loaded: dict[str, type[T] | PluginError] = {}

    @property
    def targets(self) -> dict[str, str]:
        """Ids -> ``module:Class``, the built-in ones first; a plug-in among them may be broken."""
        return self._entries()[0]

    @property
    def refused(self) -> dict[str, str]:
        """Names of plug-ins whose id is taken, and why they are left out."""
        return self._entries()[1]

    def class_of(self, id: str) -> type[T]:
        """The class behind an exact id. Raises PluginError for a plug-in that cannot be used."""
        target = self.targets[id]
        if id in self._built_in:
            module, _, name = target.partition(":")
            return getattr(importlib.import_module(module), name)
        if id not in self._loaded:
            try:
                self._loaded[id] = load(id, target, self._kind, self._check)
            except PluginError as error:
                self._loaded[id] = error
        found = self._loaded[id]
        if isinstance(found, PluginError):
            raise found
        return found

    def broken(self) -> dict[str, str]:
        """Plug-ins that cannot be used, by id, and why: each is imported for it."""
        found = dict(self.refused)
        for id in self.targets:
            if id not in self._built_in:
                try:
                    self.class_of(id)
                except PluginError as error:
                    found[id] = str(error)
        return found

    def forget(self) -> None:
        """Look for plug-ins anew."""
        self._found = None
        self._loaded.clear()

    def _entries(self) -> tuple[dict[str, str], dict[str, str]]:
        if self._found is None:
            self._found = targets(self._group, self._built_in)
        return self._found


def targets(group: str, built_in: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Ids -> ``module:Class``, the built-in ones first; and names of those whose id is taken -> why they are left out.

    The order of installation does not matter.
    """
    found, refused = dict(built_in), {}
    for entry in sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value)):
        taken = found.get(entry.name)
        if taken is None:
            found[entry.name] = entry.value
        elif taken != entry.value:
            refused[f"{entry.name} ({entry.value})"] = (
                f"the plug-in {entry.value} is left out: its id {entry.name!r} is taken by {taken}; rename one of both"
            )
    return found, refused


def load(id: str, target: str, kind: type[T], check: Callable[[str, type[T]], None]) -> type[T]:
    """Import a plug-in's class. ``check`` raises ValueError for what it lacks. Raises PluginError for any trouble."""
    where = f"the plug-in {id} ({target}) is broken"
    module, _, name = target.partition(":")
    with calling(where):
        found = importlib.import_module(module.strip())
        for part in name.strip().split("."):
            found = getattr(found, part)
        if not isinstance(found, type) or not issubclass(found, kind):
            raise PluginError(f"{where}: it is no {kind.__name__}")
        check(id, found)
    return found


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
