"""The measured part of ``docs/error_budget.md``: ``python -m reports.tables.budget_page docs/error_budget.md``."""

import sys
from pathlib import Path

from reports.tables.gaps import published
from t2av_bench.results.budget import packaged
from t2av_bench.utils.files import write_text

_BETWEEN = "<!-- {0}: python -m reports.tables.budget_page docs/error_budget.md -->\n{1}<!-- end of {0} -->"


def renewed(text: str) -> str:
    """The page with the tables of the packaged budget. Raises ValueError where it has no place for them."""
    found = packaged()
    for name, made in (("sizes", found.to_markdown(200)), ("gaps", published(found).to_markdown())):
        body = made.partition("\n\n")[2]  # the page has headings of its own
        begin, end = _BETWEEN.format(name, "\0").split("\0")
        before, opened, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (opened and closed):
            raise ValueError(f"the page has no place for {name}: expected {_BETWEEN.format(name, '')!r}")
        text = f"{before}{begin}\n{body}\n{end}{after}"
    return text


if __name__ == "__main__":
    page = Path(sys.argv[1])
    write_text(page, renewed(page.read_text(encoding="utf-8")))
