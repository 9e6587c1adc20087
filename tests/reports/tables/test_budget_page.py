"""The page has what the packaged budget says."""

from pathlib import Path

import pytest

from reports.tables.budget_page import renewed

PAGE = Path(__file__).parents[3] / "docs" / "error_budget.md"


def test_the_page_is_that_of_the_packaged_budget():
    text = PAGE.read_text(encoding="utf-8")
    assert renewed(text) == text, "stale: python -m reports.tables.budget_page docs/error_budget.md"
    for kept in ("| `sync_c` | `sync/joonson` |", "| `paper:1` | English Sync-C | 200 |", "not resolved at 200"):
        assert kept in text


def test_tables_are_put_into_their_places_and_nowhere_else():
    text = PAGE.read_text(encoding="utf-8")
    body = text.partition("## Sizes")[0]
    assert renewed(text.replace("| `sync_c` |", "| `old` |")) == text and renewed(text).startswith(body)
    with pytest.raises(ValueError, match="no place for sizes"):
        renewed("# Nothing")
