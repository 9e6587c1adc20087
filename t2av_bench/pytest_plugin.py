"""A pytest fixture that asserts that a run is no worse than a baseline.

    def test_new_checkpoint(assert_no_regression):
        assert_no_regression("baselines/main.json", "runs/candidate", margins={"sync_c": 0.2})

Installed with t2av-bench; costs nothing in suites that do not use it.
"""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from t2av_bench.comparison.gate import Gate


@pytest.fixture(scope="session")
def assert_no_regression(request: pytest.FixtureRequest) -> Callable[..., "Gate"]:
    """A function (baseline, candidate, …) that fails the test on a regression and returns the gate's answer.

    baseline: run folder or baseline file; candidate: run folder. margins: a TOML file, or a mapping such as
    ``{"sync_c": 0.1, "fid": "2%"}`` over the defaults. quantities, waived, alpha, lost_allowed: as of
    ``t2av_bench.comparison.gate.regress``. undecided: ``fail`` makes an open question fail the test, ``pass`` does not.
    Relative paths start at pytest's root folder. What cannot be compared, and a gate that judged nothing, fail the test
    too, with every reason.
    """
    root = request.config.rootpath

    def check(
        baseline: str | PathLike[str],
        candidate: str | PathLike[str],
        *,
        margins: str | PathLike[str] | Mapping[str, Any] | None = None,
        quantities: Sequence[str] | None = None,
        alpha: float = 0.05,
        lost_allowed: int = 0,
        waived: Sequence[str] = (),
        undecided: Literal["pass", "fail"] = "fail",
    ) -> "Gate":
        __tracebackhide__ = True
        from t2av_bench.comparison.comparable import NotComparable
        from t2av_bench.comparison.gate import regress
        from t2av_bench.comparison.margins import margins_between
        from t2av_bench.results import read
        from t2av_bench.results.budget import packaged

        before, after = read(root / Path(baseline)), read(root / Path(candidate))
        chosen = margins if margins is None or isinstance(margins, Mapping) else root / margins
        try:
            gate = regress(
                before, after, margins=margins_between(chosen, before, after, packaged()), quantities=quantities,
                waived=waived, alpha=alpha, lost_allowed=lost_allowed, undecided=undecided,
            )  # fmt: skip
        except NotComparable as error:
            pytest.fail(error.to_markdown(), pytrace=False)
        if gate.status:
            pytest.fail(gate.to_markdown(), pytrace=False)
        return gate

    return check
