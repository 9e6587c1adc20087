"""Two numbers share a column only where their protocols have one fingerprint."""

from collections.abc import Sequence

from reports.tables.measured import Measured


class MixedProtocols(ValueError):
    """Runs whose numbers are not comparable; the message names what differs."""


def protocol_marks(cells: Sequence[Measured | str], allow_mixed: bool, notes: list[str]) -> list[str]:
    """A mark for every cell of a column that a run was measured for by another protocol than the first by its metric.

    What has no value mixes with any. Raises MixedProtocols unless ``allow_mixed``, which appends the differences to
    ``notes``.
    """
    marks = [""] * len(cells)
    by_metric: dict[str, list[tuple[int, Measured]]] = {}
    for index, cell in enumerate(cells):
        for single in cell.singles if isinstance(cell, Measured) else ():
            if single.summary.score.value is not None:
                by_metric.setdefault(single.column.metric, []).append((index, single))
    for metric, found in by_metric.items():
        first = found[0][1]
        signs = {first.column.fingerprint: ""}
        for index, single in found:
            fingerprint = single.column.fingerprint
            if fingerprint not in signs:
                difference = first.run.protocols[metric].difference(single.run.protocols[metric])
                if not allow_mixed:
                    raise MixedProtocols(
                        f"{metric} was measured by different protocols: {first.column.fingerprint} in "
                        f"{first.run.path}, {fingerprint} in {single.run.path} ({difference}); measure both alike, or "
                        "mark the cells with --allow-mixed"
                    )
                sign = signs[fingerprint] = "†" * len(signs)
                note = f"{sign} {metric} by another protocol than the first row's ({difference}): not comparable."
                if note not in notes:
                    notes.append(note)
            marks[index] = max(marks[index], signs[fingerprint], key=len)
    return marks
