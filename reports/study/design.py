"""Which participant compares which two systems on which item.

All (pair of systems, item) combinations stand in one balanced sequence, which is cut into lists of equal length; a
participant works through one list. Pairs follow each other as in a round-robin tournament (the circle method), so
that any stretch of the sequence shows all systems about equally often.
"""

from math import lcm

import numpy as np

Trial = tuple[int, int, int]  # item, one system, the other system; the order of the two says nothing


def round_robin(systems: int) -> list[tuple[int, int]]:
    """All pairs of systems, in rounds that show each system once (with an odd number, all but one)."""
    circle = list(range(systems + systems % 2))
    pairs = []
    for _ in range(len(circle) - 1):
        opposite = zip(circle[: len(circle) // 2], reversed(circle[len(circle) // 2 :]), strict=True)
        pairs += [pair for pair in opposite if max(pair) < systems]
        circle.insert(1, circle.pop())
    return pairs


def lists(systems: int, items: int, trials: int, random: np.random.RandomState) -> list[list[Trial]]:
    """Lists of ``trials`` different comparisons, so many that every combination is in at least one of them.

    Over all lists no combination occurs twice before each has occurred once (the last list starts again from the
    front). Within a list the numbers of comparisons of any two pairs differ by at most 1, those of any two systems or
    items by at most 2. Raises ValueError where ``trials`` exceeds the number of combinations.
    """
    pairs = round_robin(systems)
    total = len(pairs) * items
    if not 1 <= trials <= total:
        raise ValueError(
            f"{trials} trials for each participant asked for; {systems} systems on {items} items make 1 to {total}"
        )
    system, item = random.permutation(systems), random.permutation(items)
    cycle = lcm(len(pairs), items)  # after it the two rotations would meet in the same combinations again
    sequence: list[Trial] = []
    for position in range(total):
        first, second = pairs[position % len(pairs)]
        if random.randint(2):
            first, second = second, first
        shown = item[(position + position // cycle) % items]
        sequence.append((int(shown), int(system[first]), int(system[second])))
    starts = range(0, total, trials)
    return [[sequence[(start + step) % total] for step in range(trials)] for start in starts]
