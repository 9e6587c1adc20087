"""The measured rows of a specification: which runs make a row, by its ``[[rows]]`` or else by the runs' names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from reports.tables.origins import versions
from reports.tables.specification import RowSpecification, Specification
from t2av_bench.results.run import RunResult, system_names

_SEED = re.compile(r"\(seed \d+\)$")  # of an experiment's labels


@dataclass(slots=True)
class TableSystem:
    """One measured row: its name, and its runs by language (None: of a table without languages).

    Several runs of one language are the same system from several training seeds. reference: shown, but not ranked.
    row: the name of the specification's row that it fills.
    """

    name: str
    runs: dict[str | None, list[RunResult]] = field(default_factory=dict)
    family: str = ""
    reference: bool = False
    row: str = ""

    @property
    def distinct(self) -> list[RunResult]:
        """All runs, each once."""
        return list({id(run): run for runs in self.runs.values() for run in runs}.values())

    @property
    def seeds(self) -> int:
        """Runs behind a cell, where they are most."""
        return max((len(runs) for runs in self.runs.values()), default=0)

    def clips(self) -> dict[str, int]:
        """Language -> number of clips, each counted once however many runs have it."""
        found: dict[str, set[str]] = {}
        for run in self.distinct:
            for clip in run.clips:
                found.setdefault(run.language(clip), set()).add(clip)
        return {language: len(clips) for language, clips in found.items()}


def systems(specification: Specification, runs: Sequence[RunResult]) -> list[TableSystem]:
    """The rows, in the specification's order; then, in the order given, those of runs that none of its rows takes.

    Runs of two versions of a system of other people's make two rows, each with its version in the name.

    Raises ValueError where a row would take two runs of one name and language: seeds have names of their own.
    """
    by_language = any(group.languages for group in specification.groups)
    rows = {row.name: TableSystem(row.name, {}, row.family, row.reference, row.name) for row in specification.rows}
    others: list[RunResult] = []
    for run in runs:
        row = _row(specification.rows, run.name)
        if row is None:
            others.append(run)
            continue
        for language in list(run.languages()) if by_language else [None]:
            held = rows[row.name].runs.setdefault(language, [])
            if twin := next((each for each in held if each.name == run.name), None):
                clips = f" with {language} clips" if language else ""
                raise ValueError(
                    f"{twin.path} and {run.path} are both runs of {run.name!r}{clips}; the row {row.name!r} takes one "
                    "of each name (training seeds have names of their own): leave one out"
                )
            held.append(run)
    found = [system for system in rows.values() if system.runs] + _by_name(others, by_language)
    return [part for system in found for part in _by_version(system)]


def _by_version(system: TableSystem) -> list[TableSystem]:
    """The row, or one for each version of a system that made its runs: two that differ are not one system's seeds."""
    made = {id(run): sorted(set().union(*versions([run]).values())) for run in system.distinct}
    known = [version for version in made.values() if version]
    if all(version == known[0] for version in known):
        return [system]
    parts: dict[str, TableSystem] = {}
    for language, runs in system.runs.items():
        for run in runs:
            version = " and ".join(made[id(run)])
            name = f"{system.name} ({version})" if version else system.name
            part = parts.setdefault(name, replace(system, name=name, runs={}))
            part.runs.setdefault(language, []).append(run)
    return list(parts.values())


def absent_rows(specification: Specification, found: Sequence[TableSystem]) -> list[str]:
    """Names of the specification's rows that no run is for."""
    present = {system.row for system in found}
    return [row.name for row in specification.rows if row.name not in present]


def names_by(specifications: Sequence[Specification], runs: Sequence[RunResult]) -> list[str]:
    """What the runs are called beside tables of these specifications: as the row that takes each, else as it is itself.

    Of two rows the first counts. Runs that share a row add what tells them apart: language, training seed, or their
    own names; whatever is alike then adds its folder.
    """
    taken = [
        next((row.name for each in specifications if (row := _row(each.rows, run.name))), None) for run in runs
    ]  # fmt: skip
    found = []
    for name, run in zip(taken, runs, strict=True):
        if name is None:
            found.append(run.name)
            continue
        twins = [other for row, other in zip(taken, runs, strict=True) if row == name]
        if len({twin.name for twin in twins}) > 1:
            seed = _SEED.search(run.name)
            name += f" {seed[0] if seed else f'({run.name})'}"
        if len({tuple(twin.languages()) for twin in twins}) > 1:
            name += f" ({', '.join(run.languages())})"
        found.append(name)
    return system_names(runs, found)


def _row(rows: Sequence[RowSpecification], name: str) -> RowSpecification | None:
    """The first row that takes runs of a name; one that spells it out goes before a pattern."""
    exact = (row for row in rows if name in row.runs)
    pattern = (row for row in rows if any(fnmatchcase(name, run) for run in row.runs))
    return next(exact, None) or next(pattern, None)


def _by_name(runs: Sequence[RunResult], by_language: bool) -> list[TableSystem]:
    """In a table by language, runs of one name and of different languages make one row."""
    found: list[TableSystem] = []
    for run in runs:
        languages = list(run.languages()) if by_language else [None]
        home = next(
            (system for system in found if by_language and system.name == run.name
             and not system.runs.keys() & set(languages)), None
        )  # fmt: skip
        if home is None:
            home = TableSystem(run.name)
            found.append(home)
        for language in languages:
            home.runs[language] = [run]
    for name in {system.name for system in found}:
        alike = [system for system in found if system.name == name]
        if len(alike) > 1:
            for system in alike:
                system.name = f"{name} ({', '.join(str(run.path) for run in system.distinct)})"
    return found
