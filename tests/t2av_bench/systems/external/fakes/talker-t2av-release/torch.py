"""In place of torch, whose import takes seconds of each clip: nothing is drawn from it here."""


def manual_seed(seed):
    assert isinstance(seed, int)
