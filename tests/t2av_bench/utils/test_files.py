"""Trouble with files is found behind whatever was raised because of it."""

import errno

from t2av_bench.utils.files import disk_trouble


def raised(cause: BaseException | None) -> Exception:
    error = ValueError("a frame could not be written")
    error.__cause__ = cause
    return error


def test_a_full_disk_is_found_behind_other_exceptions():
    assert disk_trouble(raised(raised(OSError(errno.ENOSPC, "full")))) == errno.ENOSPC
    assert disk_trouble(raised(OSError(errno.ENOENT, "missing"))) is None


def test_a_circle_of_causes_has_an_end():
    own = raised(None)
    own.__cause__ = own
    assert disk_trouble(own) is None
    first = raised(None)
    first.__cause__ = raised(first)
    assert disk_trouble(first) is None
