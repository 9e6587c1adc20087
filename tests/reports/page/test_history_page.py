"""The page of a history: in a browser, on paper, and as files."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from page_browser import Watched
from run_factory import SYNC_C, UTMOS, make_run

import t2av_bench as tb
from reports.page.server import Site
from t2av_bench.errors import ItemError
from t2av_bench.scores import Score

NASTY = '<img src=x onerror="alert(1)"> & "step" {}'
CLIPS = 24


def runs(folder: Path, count: int) -> list[Path]:
    """Checkpoints that lose 0.2 of Sync-C each; the third asks for other texts, and the last lacks a clip."""
    random = np.random.default_rng(0)
    base = random.normal(6, 1, CLIPS)
    made = []
    for number in range(count):
        scores = list(base - 0.2 * number + 0.02 * random.standard_normal(CLIPS))
        if number == count - 1 > 0:
            scores[0] = Score.failed("no face <b>found</b>")
        texts = ["another"] * CLIPS if number == 2 else None
        mos = base + 0.02 * random.standard_normal(CLIPS)
        made.append(make_run(folder / f"run {number}", {SYNC_C: scores, UTMOS: mos}, name=NASTY.format(number),
                             texts=texts))  # fmt: skip
    return made


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    return tb.history(runs(folder, 5)).to_page(folder / "page")


def test_the_page_is_sound_in_a_browser(page, tab: Watched) -> None:
    tab.page.goto(page.as_uri())
    tab.page.wait_for_load_state("networkidle")
    assert {request.split(":")[0] for request in tab.requests} <= {"file", "data"}
    assert tab.page.locator("figure img").count() == 2
    for index in range(2):
        tab.page.locator("figure img").nth(index).scroll_into_view_if_needed()
    tab.page.wait_for_function(
        "() => [...document.images].every((image) => image.complete && image.naturalWidth > 100)"
    )
    assert tab.page.locator("h1").inner_text() == f"{NASTY.format(0)} to {NASTY.format(4)}"
    rows = tab.page.locator(".onscreen tbody tr")
    assert rows.count() == 5
    cell = rows.nth(4).locator("td").nth(5)
    assert cell.inner_text() == "worse, 1 lost"
    cell.locator("span").focus()
    tip = tab.page.locator("#tip").inner_text()
    assert tip.startswith("worse (1 clip lost): ") and "margin ±0.25" in tip and "95 % interval" in tip
    sign = "getComputedStyle(document.querySelector('td .worse'), '::before').content"
    assert "▼" in tab.page.evaluate(sign), "red alone tells nobody"
    heads = tab.page.locator(".onscreen thead tr").nth(1).locator("th").all_inner_texts()
    assert heads == ["vs previous", "vs first", *["value", "vs previous", "vs first"] * 2]


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_window(page, browser, width: int, scheme: str) -> None:
    tab = Watched(browser, viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab.page.goto(page.as_uri())
    tab.page.wait_for_load_state("networkidle")
    assert tab.page.evaluate("document.documentElement.scrollWidth") == width
    shown = tab.page.evaluate("document.images[0].currentSrc")
    tab.context.close()
    assert shown.endswith(f"-{scheme}.svg") and tab.errors == []


def test_on_paper_the_whole_table_is_there(page, tab: Watched) -> None:
    tab.page.goto(page.as_uri())
    tab.page.emulate_media(media="print")
    tab.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.page.set_viewport_size({"width": 1040, "height": 700})  # A4, landscape
    shown = tab.page.locator("table:visible")
    assert shown.count() == 2, "two groups of columns a table, where a screen scrolls"
    widths = [shown.nth(index).bounding_box()["width"] for index in range(2)]
    assert max(widths) <= 1040
    heads = [
        each
        for index in range(2)
        for each in shown.nth(index).locator("thead tr").first.locator("th").all_inner_texts()
    ]
    assert heads == ["Checkpoint", "Clips", "Gate", "Sync-C ↑", "Checkpoint", "Clips", "UTMOS ↑"]


def test_what_names_say_is_never_obeyed_and_commands_can_be_typed(page) -> None:
    text = page.read_text()
    assert "<img src=x" not in text and "<b>found" not in text
    (commands,) = re.findall(r'<pre class="commands"[^>]*>(.*?)</pre>', text, re.S)
    lines = commands.splitlines()
    assert lines[0].startswith("t2av-bench history ") and lines[0].count("run ") == 5
    # The fourth is judged against the second, as nothing compares with the third.
    compared = [line for line in lines if line.startswith("t2av-bench compare")]
    assert [re.findall(r"run (\d)", line) for line in compared] == [["1", "3"], ["3", "4"]]


def test_a_page_replaces_an_older_one_and_nothing_else(page, tmp_path) -> None:
    out = tmp_path / "page"
    made = runs(tmp_path / "more", 1)
    tb.history(made).to_page(out)
    before = {path.name for path in (out / "plots").iterdir()}
    assert before == {f"quantity-{n}-{theme}.svg" for n in (0, 1) for theme in ("light", "dark")}
    tb.history(made, quantities="sync_c").to_page(out)
    assert {path.name for path in (out / "plots").iterdir()} == {"quantity-0-light.svg", "quantity-0-dark.svg"}
    listed = set(json.loads((out / "report.json").read_text())["files"])
    assert listed == {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} - {"report.json"}
    assert Site.open(out), "'serve' shows it"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(ItemError, match="holds files, but no report"):
        tb.history(made).to_page(tmp_path / "mine")


def test_equal_histories_are_equal_files(tmp_path) -> None:
    made = runs(tmp_path / "runs", 3)
    for name in ("one", "two"):
        tb.history(made).to_page(tmp_path / name)
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "one", tmp_path / "two")
    )
    assert one == two and len(one) > 6
