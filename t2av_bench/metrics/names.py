"""How metrics are found: by id, family, quantity or the field's name for it, as people type them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from t2av_bench.metrics.base import Metric, Settings
from t2av_bench.utils.config import folded, near, nearest
from t2av_bench.utils.reasons import unexpected
from t2av_bench.utils.registry import PluginError, Registry, same, stdout_to_stderr

Key = tuple[str, str]
"""A quantity of a metric: (metric id, quantity name)."""

# These variants measure the clips of one benchmark alone, so neither ``all`` nor a family with others means them.
_OF_ONE_BENCHMARK = ("gridface",)
# Variants of these families measure different things, not one thing in different ways: the family means them all.
_SUITES = ("drift", "frozen", "theval")
# Beside the family's first variant ``all`` means these, which cost little and listen with other ears.
_BESIDE = ("sync/mesh",)
_SHOW = "'t2av-bench list metrics' shows all"


class MetricRegistry(Registry[Metric]):
    """Metrics by id. A name, case and punctuation aside, is an id (``sync/crop``), a family (``sync``), a quantity
    (``sync_c``), or another name of one: its label in tables, or what the field calls it (``LSE-C``)."""

    def create(self, name: str, settings: Settings | None = None, options: Mapping[str, Any] | None = None) -> Metric:
        """An instance of the metric. options: arguments of its constructor. Raises ValueError for wrong ones."""
        try:
            with stdout_to_stderr():
                return super().create(name, settings, **(options or {}))
        except (ValueError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a plug-in's constructor, and its sys.exit() too
            given = dict(options or {})
            raise PluginError(f"{name} cannot be made with the options {given}: {unexpected(error)}") from error

    def resolve(self, names: Iterable[str], notice: Callable[[str], None] | None = None) -> list[str]:
        """Names as a user types them -> ids, in order, without repetition.

        A family means its first variant whose weights are present, or its first variant where none's are (a suite,
        ``theval``, all its variants); a quantity the first such that gives it; ``all`` every family, but for metrics
        that are not ``by_default``, and ``sync/mesh`` beside what ``sync`` means. Variants for one benchmark's clips
        (``sync/gridface``) are chosen by their full name, or by a name that means no others.
        ValueError: an unknown name (the nearest are named), or one that several families have.

        A broken plug-in is left out of ``all`` and of a family that has others, which ``notice`` is told; chosen by its
        name it raises PluginError.
        """
        troubles: dict[str, str] = {}
        chosen: list[str] = []
        for name in names:
            if folded(name) == "all":
                groups = (self._variant(self._default(group), troubles) for group in self._every())
                chosen += filter(None, groups)
                troubles |= self.refused
                continue
            ids = self._meant(name)
            variants = [variant for group in _alternatives(ids) if (variant := self._variant(group, troubles))]
            if not variants:
                raise PluginError("; ".join(troubles[id] for id in ids))
            chosen += variants
        if notice:
            for text in troubles.values():
                notice(text)
        return list(dict.fromkeys(chosen))

    def preferred(self, name: str) -> list[str]:
        """What a name means where all weights are present: of a family, or of every family, the first variant; of a
        suite all; ``all`` means ``sync/mesh`` besides."""
        if folded(name) == "all":
            return list(dict.fromkeys(ids[0] for group in self._every() if (ids := self._default(group))))
        return [group[0] for group in _alternatives(self._meant(name))]

    def __contains__(self, name: object) -> bool:
        """Whether a name means a metric or a quantity, or several."""
        if not isinstance(name, str):
            return False
        return bool(_named(name, [(id, "") for id in self.ids()]) or _named(name, self.keys()) or self._aliased(name))

    def find(self, name: str) -> str:
        """The id that a name of one metric means. ValueError and PluginError as of ``resolve``."""
        if name in self.targets:
            return name
        found = [] if folded(name) == "all" else self.resolve([name])
        if len(found) != 1:
            raise ValueError(f"{name!r} means many metrics; {_SHOW}")
        return found[0]

    def select(self, names: Iterable[str], keys: Iterable[Key], quantity_first: bool = False) -> list[Key]:
        """Of the quantities that there are, those that the names mean, in the names' order.

        quantity_first: a name that is a family's and a quantity's (``wer``) means the quantity alone. ValueError: an
        unknown name (the nearest are named), or one that means several quantities of different names.
        """
        keys = list(keys)
        chosen: list[Key] = []
        for name in names:
            found = _named(name, keys, quantity_first) or self._called(name, keys)
            if not found:  # it may be known, but not there: then what is like that is near
                known = dict.fromkeys(part for id, quantity in keys for part in (quantity, id, _family(id)))
                like = next((quantity for _, quantity in self._called(name, self.keys())), "")
                raise ValueError(f"unknown quantity or metric {name!r}{near(like or name, filter(None, known))}")
            chosen += found
        return list(dict.fromkeys(chosen))

    def quantity(self, name: str, known: Iterable[str]) -> str:
        """The one quantity, of those that are known by name, that a name means. ValueError: it means none, or several.

        A quantity need not be of a metric that is installed.
        """
        known = list(known)
        if name in known:
            return name
        keys = [key for key in self.keys() if key[1] in known] + [("", quantity) for quantity in known]
        found = list(dict.fromkeys(quantity for _, quantity in self.select([name], keys, quantity_first=True)))
        if len(found) > 1:
            raise ValueError(f"{name!r} may be {' or '.join(found)}: name one of them")
        return found[0]

    def options_of(self, options: Mapping[str, Mapping[str, Any]], ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Options by id, of options by any name of a metric among ``ids``. ValueError: it is none of them, or several.

        What two names of a metric say is put together, the later before the earlier.
        """
        found: dict[str, dict[str, Any]] = {}
        keys = [(id, quantity.name) for id in ids for quantity in self.class_of(id).quantities] if options else []
        for name, given in options.items():
            meant = dict.fromkeys(id for id, _ in _named(name, keys) or self._called(name, keys))
            if len(meant) != 1:
                several = f"which may be {' or '.join(meant)}" if meant else "which is not measured"
                raise ValueError(f"options for {name}, {several}; name one of {', '.join(ids)}")
            found.setdefault(next(iter(meant)), {}).update(given)
        return found

    def keys(self) -> list[Key]:
        """All quantities of all metrics that can be used."""
        return [(id, quantity.name) for id, metric in self._usable().items() for quantity in metric.quantities]

    def _families(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for id in self.ids():
            found.setdefault(_family(id), []).append(id)
        return found

    def _every(self) -> Iterator[Sequence[str]]:
        """The groups that ``all`` means one variant of each."""
        for ids in self._families().values():
            yield from _alternatives(ids)
            yield from ([id] for id in ids if id in _BESIDE)

    def _default(self, ids: Sequence[str]) -> list[str]:
        """Those that ``all`` means; broken ones stay, for whoever uses them to say so."""
        kept = {id: metric.by_default for id, metric in self._usable(_general(ids)).items()}
        return [id for id in _general(ids) if kept.get(id, True)]

    def _meant(self, name: str) -> list[str]:
        """Ids of one family that a name means. Plug-ins are imported where it is neither an id nor a family."""
        keys = _named(name, [(id, "") for id in self.ids()]) or _named(name, self.keys())
        ids = list(dict.fromkeys(id for id, _ in keys or self._called(name, self.keys())))
        if not ids:
            quantities = [quantity for _, quantity in self.keys()]
            known = [*self._families(), *quantities, *self.ids(), *self._aliases(), "all"]
            hint = f"did you mean {' or '.join(found)}? " if (found := nearest(name, known)) else ""
            raise ValueError(f"unknown metric {name!r}; {hint}{_SHOW}")
        if len(set(map(_family, ids))) > 1:
            raise ValueError(f"{name!r} may be {' or '.join(ids)}: name one of them")
        return ids

    def _variant(self, ids: Sequence[str], troubles: dict[str, str]) -> str | None:
        """The one to measure by: the first whose weights are present, else the first that is not broken."""
        from t2av_bench.weights import is_present

        usable = self._usable(ids, troubles)
        ready = (id for id, metric in usable.items() if all(map(is_present, metric.weights)))
        return next(ready, next(iter(usable), None))

    def _called(self, name: str, keys: Iterable[Key]) -> list[Key]:
        """Those of the quantities that go by another name. ValueError where it means different ones."""
        wanted = self._aliased(name)
        found = [key for key in keys if key in wanted]
        quantities = dict.fromkeys(quantity for _, quantity in found)
        if len(quantities) > 1:
            raise ValueError(f"{name!r} may be {' or '.join(quantities)}: name one of them")
        return found

    def _aliased(self, name: str) -> set[Key]:
        return {key for alias, mine in self._aliases().items() if folded(alias) == folded(name) for key in mine}

    def _aliases(self) -> dict[str, list[Key]]:
        """Labels, and what the field calls quantities -> the quantities."""
        found: dict[str, list[Key]] = {}
        for id, metric in self._usable().items():
            labels = {quantity.label: quantity.name for quantity in metric.quantities}
            for alias, quantity in (labels | dict(metric.aliases)).items():
                found.setdefault(alias, []).append((id, quantity))
        return found

    def _usable(
        self, ids: Iterable[str] | None = None, troubles: dict[str, str] | None = None
    ) -> dict[str, type[Metric]]:
        """Classes by id; all where no ids are given. troubles: gets what the broken ones lack."""
        found = {}
        for id in self.ids() if ids is None else ids:
            try:
                found[id] = self.class_of(id)
            except PluginError as error:
                if troubles is not None:
                    troubles[id] = str(error)
        return found


def _family(id: str) -> str:
    return id.partition("/")[0]


def _alternatives(ids: Sequence[str]) -> list[Sequence[str]]:
    """The ids of one family in groups: those of a group measure the same thing."""
    if _family(ids[0]) in _SUITES:
        return [[id] for id in ids]
    return [_general(ids) or ids]


def _general(ids: Iterable[str]) -> list[str]:
    """Those that are not of one benchmark."""
    return [id for id in ids if id.partition("/")[2] not in _OF_ONE_BENCHMARK]


def _named(name: str, keys: Sequence[Key], quantity_first: bool = False) -> list[Key]:
    """The quantities that a family, a quantity or an id names; the exact name goes before one that is like it."""
    columns = [[_family(id) for id, _ in keys], [quantity for _, quantity in keys], [id for id, _ in keys]]
    if quantity_first:
        columns.insert(0, columns.pop(1))
    for named in (_exactly, same):
        for column in columns:
            if wanted := named(name, column):
                return [key for key, part in zip(keys, column, strict=True) if part in wanted]
    return []


def _exactly(name: str, known: Sequence[str]) -> list[str]:
    return [name] if name and name in known else []
