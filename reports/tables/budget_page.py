"""The measured part of ``docs/error_budget.md``: ``python -m reports.tables.budget_page docs/error_budget.md``."""

import sys
from pathlib import Path

from reports.tables.gaps import published
from t2av_bench.results.budget import packaged
from t2av_bench.utils.files import write_text
from t2av_bench.utils.text import filled


def renewed(page: str) -> str:
    """The page with the tables of the packaged budget. Raises ValueError where it has no place for them."""
    found = packaged()
    made = {"sizes": found.to_markdown(200), "gaps": published(found).to_markdown()}
    bodies = {name: "\n" + text.partition("\n\n")[2] for name, text in made.items()}  # the page has its own headings
    return filled(page, bodies)


if __name__ == "__main__":
    page = Path(sys.argv[1])
    write_text(page, renewed(page.read_text(encoding="utf-8")))
