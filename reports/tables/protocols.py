"""Two numbers share a column only where their protocols have one fingerprint."""

from collections.abc import Sequence

from t2av_bench.results.columns import Column
from t2av_bench.results.run import RunResult


class MixedProtocols(ValueError):
    """Runs whose numbers are not comparable; the message names what differs."""


def protocol_marks(
    metric: str, cells: Sequence[Column | None], runs: Sequence[RunResult], allow_mixed: bool, notes: list[str]
) -> list[str]:
    """A mark for every cell whose protocol differs from the first one's. A cell without a value mixes with any.

    runs: one a cell. Raises MixedProtocols unless ``allow_mixed``, which appends the difference to ``notes``.
    """
    cells = [column if column and column.summary.score.value is not None else None for column in cells]
    fingerprints = list(dict.fromkeys(column.fingerprint for column in cells if column))
    if len(fingerprints) <= 1:
        return [""] * len(cells)
    protocols = {protocol.fingerprint: protocol for run in runs for protocol in run.protocols.values()}
    first = fingerprints[0]
    differences = {fingerprint: protocols[first].difference(protocols[fingerprint]) for fingerprint in fingerprints[1:]}
    if not allow_mixed:
        holder = {column.fingerprint: run for column, run in zip(cells, runs, strict=True) if column}
        other = fingerprints[1]
        raise MixedProtocols(
            f"{metric} was measured by different protocols: {first} in {holder[first].path}, {other} in "
            f"{holder[other].path} ({differences[other]}); measure both alike, or mark the cells with --allow-mixed"
        )
    signs = {first: ""} | {fingerprint: "†" * (1 + index) for index, fingerprint in enumerate(fingerprints[1:])}
    for fingerprint, difference in differences.items():
        note = f"{signs[fingerprint]} {metric} by another protocol than the first row's ({difference}): not comparable."
        if note not in notes:
            notes.append(note)
    return [signs[column.fingerprint] if column else "" for column in cells]
