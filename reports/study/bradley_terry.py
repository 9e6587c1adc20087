"""Bradley-Terry scores of systems from comparisons (Bradley & Terry 1952).

The probability that system i is preferred to system j is 1 / (1 + exp(sⱼ − sᵢ)): scores are natural log odds, with
zero mean. A tie counts as half a win for either side. ``wins[i, j]`` is how often i was preferred to j.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

_STEPS = 200


def fit(wins: np.ndarray) -> np.ndarray:
    """Maximum-likelihood scores (..., S) of win matrices (..., S, S), by Newton's method.

    Every matrix must have finite scores (``determined``); RuntimeError where one does not converge.
    """
    wins = np.asarray(wins, dtype=np.float64)
    size = wins.shape[-1]
    games = wins + wins.swapaxes(-1, -2)
    scores = np.zeros(wins.shape[:-1])
    for _ in range(_STEPS):
        chance = expit(scores[..., :, None] - scores[..., None, :])
        gradient = (wins - games * chance).sum(-1)
        curvature = games * chance * (1 - chance)
        # The Laplacian's null space is the common shift, which the constant term takes up and the gradient never has.
        laplacian = np.eye(size) * curvature.sum(-1)[..., None] - curvature + 1 / size
        step = np.linalg.solve(laplacian, gradient[..., None])[..., 0]
        # Far from the optimum a full step overshoots; one of at most 1 keeps the likelihood rising in practice.
        step /= np.maximum(1, np.abs(step).max(-1, keepdims=True))
        scores = scores + step
        if np.abs(step).max(initial=0) < 1e-10:
            return scores - scores.mean(-1, keepdims=True)
    raise RuntimeError(f"the Bradley-Terry scores did not converge in {_STEPS} steps")


def determined(wins: np.ndarray) -> np.ndarray:
    """(...) bool: whether the scores are finite and unique: every system beat every other over some chain of wins.

    The condition of Ford 1957: there is no way to split the systems in two without each part having beaten the other.
    """
    return np.asarray(_reach(wins).all((-1, -2)))


def obstacle(wins: np.ndarray, names: Sequence[str]) -> str | None:
    """Why there are no finite scores, by the systems' names; None where there are."""
    met = _reach(wins + wins.T)
    if not met.all():
        parts = list(dict.fromkeys(tuple(np.flatnonzero(row).tolist()) for row in met))
        groups = "; ".join(", ".join(names[index] for index in part) for part in parts)
        return f"the comparisons fall into groups that never met ({groups}): collect answers that connect them"
    reach = _reach(wins)
    if reach.all():
        return None
    # Whoever reached the top reached everyone above it, which only members of the unbeaten group are.
    top = next(index for index in range(len(names)) if not (reach[:, index] & ~reach[index]).any())
    group = np.flatnonzero(reach[top] & reach[:, top]).tolist()
    rest = [name for index, name in enumerate(names) if index not in group]
    winners = ", ".join(names[index] for index in group)
    return (
        f"{winners} never lost or tied against {', '.join(rest)}, which makes the difference infinite: collect more "
        "answers (the pairwise win rates hold all the same)"
    )


def _reach(wins: np.ndarray) -> np.ndarray:
    """(..., S, S) bool: whether i is above j over a chain of wins; every system is above itself."""
    size = wins.shape[-1]
    reach = (wins > 0) | np.eye(size, dtype=bool)
    for _ in range(max(1, int(size - 1).bit_length())):
        reach = (reach.astype(np.float32) @ reach.astype(np.float32)) > 0
    return reach
