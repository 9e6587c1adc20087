"""Stands in for the package: the one generator that everything draws from."""

import random

_GENERATOR = random.Random()
manual_seed = _GENERATOR.seed


def randint(low, high):
    return _GENERATOR.randrange(low, high)
