"""Closer looks at clips in a browser: full height, mouths, repeated parts, speed, links, groups, keys, paper."""

import hashlib
import re
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import numpy as np
import pytest
from page_browser import Watched, control, frames_shown, open_clips, ready, rows
from page_factory import ITEMS, SYSTEMS, make_run

from reports.page.site import build_report
from t2av_bench.faces.mesh_points import LEFT_EYE_OUTER, LEFT_MOUTH_CORNER, RIGHT_EYE_OUTER, RIGHT_MOUTH_CORNER
from t2av_bench.results.features import FeatureStore
from t2av_bench.scores import Score

LABELS = (
    {"category": "calm", "tags": ["a", "b"]}, {"category": "angry"}, {"category": "calm", "tags": ["b"]}, {},
)  # fmt: skip
# Where the mouth of the tracked clip is in its first and last frame, in pixels of its 128 x 96.
MOUTH = ((40.0, 60.0), (88.0, 36.0))
EYES = 20.0


@pytest.fixture(scope="module")
def labelled(workspace, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report of two systems whose items have labels; the first system's first clip has a face track."""
    folder = tmp_path_factory.mktemp("labelled")
    runs = [make_run(folder / str(index), index, workspace.clips[index], labels=LABELS) for index in range(2)]
    points = np.zeros((60, 468, 3), np.float32)
    middle = np.linspace(*MOUTH, 60)
    points[:, RIGHT_MOUTH_CORNER, :2], points[:, LEFT_MOUTH_CORNER, :2] = middle - (9, 0), middle + (9, 0)
    points[:, LEFT_EYE_OUTER, 0] = EYES
    assert not points[:, RIGHT_EYE_OUTER].any()
    digest = hashlib.sha256(workspace.clips[0][0].read_bytes()).hexdigest()
    FeatureStore(runs[0] / "features").put(digest, "0" * 12, "landmarks", {
        "frames": np.arange(60), "points": points,
    })  # fmt: skip
    build_report(runs, folder / "page", plots=False)
    return (folder / "page").as_uri()


def tall(page) -> bool:
    return page.locator(".tall").count() == 1


def test_a_click_on_a_picture_shows_it_at_full_height(tab: Watched, url: str) -> None:
    page = tab.page
    open_clips(tab, url)
    ready(page)
    page.evaluate("scrollTo(0, 120)")
    small = page.locator("#row-0 .screen").nth(1).bounding_box()
    page.locator("#row-0 video").nth(1).click()
    large = page.locator("#row-0 .screen").nth(1).bounding_box()
    assert large["height"] > 2 * small["height"] and large["height"] > 600
    assert large["y"] >= 0 and large["y"] + large["height"] <= 900
    # A clip of 4:3 keeps its shape, and the player that was clicked is in the middle and heard.
    assert large["width"] / large["height"] == pytest.approx(128 / 96, rel=0.02)
    assert abs(large["x"] + large["width"] / 2 - 640) < 5
    assert page.evaluate("document.activeElement.dataset.system") == "0"
    heard = "[...document.querySelectorAll('#row-0 .clip')].filter((clip) => !clip.querySelector('video').muted)" \
            ".map((clip) => clip.dataset.system)"  # fmt: skip
    assert page.evaluate(heard) == ["0"]
    dialog = page.get_by_role("dialog", name=f"{ITEMS[0]}, full height")
    assert dialog.get_attribute("aria-modal") == "true"
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.system") == "1" and page.evaluate(heard) == ["1"]
    for _ in range(9):  # nothing outside can be reached
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || Boolean(document.activeElement.closest('.tall'))"
        )
    page.locator("#row-0 video").nth(2).click()
    page.wait_for_function("() => document.querySelector('#row-0 video').currentTime > 0.2")
    page.keyboard.press("k")
    page.keyboard.press("n")  # the next row, as tall
    page.wait_for_selector("#row-1.tall")
    page.keyboard.press("Escape")
    assert not tall(page) and page.evaluate("document.activeElement.closest('.item').id") == "row-1"
    assert page.locator("[inert]").count() == 0
    page.keyboard.press("f")
    assert tall(page)
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    assert not tall(page)


def test_mouths_follow_the_face_track(tab: Watched, labelled: str) -> None:
    page = tab.page
    open_clips(tab, labelled)
    ready(page)
    page.locator("#row-0 h2").focus()
    page.keyboard.press("m")
    screen = page.locator("#row-0 .clip[data-system='0'] .screen")
    for key, (x, y) in (("j", MOUTH[0]), ("k", MOUTH[1])):
        if key == "k":
            page.locator("#row-0 input[type=range]").evaluate(
                "(slider) => { slider.value = slider.max; slider.dispatchEvent(new Event('input')); }"
            )
        around, video = screen.bounding_box(), screen.locator("video").bounding_box()
        side = 1.3 * EYES / 128 * video["width"]
        assert side == pytest.approx(around["width"], rel=0.01)
        assert around["height"] == pytest.approx(around["width"], abs=1)
        # A frame lasts 0.04 s, in which the mouth moves 1/60 of its way.
        assert video["x"] + x / 128 * video["width"] == pytest.approx(around["x"] + around["width"] / 2, abs=8)
        assert video["y"] + y / 96 * video["height"] == pytest.approx(around["y"] + around["height"] / 2, abs=8)
    other = page.locator("#row-0 .clip[data-system='1'] .screen")
    assert other.evaluate("node => getComputedStyle(node, '::after').content") == '"no face track"'
    page.get_by_role("button", name="Mouth").first.click()
    assert "mouth" not in screen.get_attribute("class")
    # Where a row has no track at all, the button says why instead.
    page.keyboard.press("n")
    untracked = page.locator("#row-1").get_by_role("button", name="Mouth")
    untracked.click(force=True)
    assert untracked.get_attribute("aria-disabled") == "true"
    assert "kept no face track" in page.locator("#said").inner_text()


def test_play_begins_where_the_last_step_led_however_fast_the_keys_are(tab: Watched, url: str) -> None:
    """The first step is still being sought when the last one and Play are asked for."""
    page = tab.page
    open_clips(tab, url)
    ready(page)
    page.locator("#row-0 h2").focus()
    seen = page.evaluate("""async () => {
      const video = document.querySelector("#row-0 video"), times = [];
      for (const key of [..."..........", "k"])
        document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
      for (let i = 0; i < 300 && times.length < 10; i++) {
        if (!video.paused) times.push(video.currentTime);
        await new Promise(requestAnimationFrame);
      }
      return times;
    }""")
    page.keyboard.press("k")
    assert seen and min(seen) >= 0.4 - 1e-3, seen


def test_a_part_is_repeated_at_the_chosen_speed(tab: Watched, url: str) -> None:
    page = tab.page
    open_clips(tab, url)
    ready(page)
    page.locator("#row-0 h2").focus()
    for key in (*"." * 10, "[", *"." * 9, "]"):  # frames 10 to 19
        page.keyboard.press(key)
    assert page.locator("#row-0 .clock").inner_text().endswith("0.40 to 0.80 s again")
    for _ in range(2):
        page.keyboard.press("+")
    assert page.locator("#row-0 .tools select").input_value() == "2"
    page.keyboard.press("k")
    page.wait_for_function("() => document.querySelector('#row-0 video').playbackRate === 2")
    seen = page.evaluate("""async () => {
      const video = document.querySelector("#row-0 video"), times = [];
      for (let i = 0; i < 150; i++) { times.push(video.currentTime); await new Promise(requestAnimationFrame); }
      return times;
    }""")
    page.keyboard.press("k")
    turns = sum(after < before - 0.1 for before, after in zip(seen, seen[1:], strict=False))
    # A busy machine may notice the end late, so the largest is not asked for.
    assert turns >= 2 and min(seen) >= 0.4 - 1e-3 and np.median(seen) < 0.9, seen
    page.keyboard.press("o")
    assert "again" not in page.locator("#row-0 .clock").inner_text()
    for _ in range(9):
        page.keyboard.press("-")
    assert page.locator("#row-0 .tools select").input_value() == "0.25"
    # Dragging over a waveform chooses a part; a click goes to its place, and other rows have the same speed.
    box = page.locator("#row-0 .wave").first.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 9)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 9, steps=4)
    page.mouse.up()
    first, last = map(
        float, re.search(r"([\d.]+) to ([\d.]+) s again", page.locator("#row-0 .clock").inner_text()).groups()
    )
    assert (first, last) == (pytest.approx(0.6, abs=0.05), pytest.approx(1.2, abs=0.05))
    band = page.locator("#row-0 .band").first.bounding_box()
    assert band["width"] / box["width"] == pytest.approx(0.25, abs=0.03)
    page.keyboard.press("n")
    page.wait_for_selector("#row-1 .tools select")
    assert page.locator("#row-1 .tools select").input_value() == "0.25"


def test_a_link_opens_the_item_with_the_same_systems_and_frame(tab: Watched, url: str) -> None:
    page = tab.page
    open_clips(tab, url, by="wer", order="worst", q="e")
    page.get_by_role("group", name="Systems").get_by_label(SYSTEMS[1], exact=True).uncheck()
    assert parse_qs(page.evaluate("location.hash.slice(1)"))["with"] == ["0,2,reference"]
    row = rows(page).index(ITEMS[3])
    page.locator(".item h2").nth(row).focus()
    page.wait_for_selector("#row-3 video")
    ready(page, 3)
    for key in "l....":
        page.keyboard.press(key)
    page.keyboard.press("c")
    address = page.evaluate("location.href")
    assert page.locator("#row-3 .link").get_attribute("href") == address[address.index("#") :]
    assert "link" in page.locator("#said").inner_text()
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector("#row-3 video")
    ready(page, 3)
    assert frames_shown(page, 3) == [29] * 3
    assert page.locator("#row-3 figcaption b").all_inner_texts() == ["reference", SYSTEMS[0], SYSTEMS[2]]
    assert control(page, "by").input_value() == "wer"
    assert page.evaluate("document.activeElement.closest('.item').id") == "row-3"
    page.goto("about:blank")
    page.goto(f"{url}/clips.html#{urlencode({'item': 'gone', 'with': 'x', 'at': 'NaN'})}")
    page.wait_for_selector(".item .clip")
    assert page.locator("#status").inner_text() == "4 items; “gone” is not among them"
    assert page.locator("#row-0 figcaption b").count() == 4


def test_groups_filter_both_pages(tab: Watched, labelled: str) -> None:
    page = tab.page
    open_clips(tab, labelled)
    group = control(page, "group")
    assert group.locator("option").all_inner_texts() == [
        "all groups", "calm (2)", "angry (1)", "not stated (1)", "a (1)", "b (2)", "not stated (2)",
    ]  # fmt: skip
    assert group.locator("optgroup").evaluate_all("nodes => nodes.map((node) => node.label)") == ["category", "tags"]
    group.select_option("tags:b")
    assert rows(page) == [ITEMS[0], ITEMS[2]]
    page.reload()
    page.wait_for_selector(".item")
    assert rows(page) == [ITEMS[0], ITEMS[2]] and page.get_by_role("status").first.inner_text() == "2 of 4 items"
    page.goto(f"{labelled}/index.html")
    page.wait_for_selector("#scores table")
    page.locator("#scores-controls [name=group]").select_option("category:")
    assert page.locator("#scores tbody th").all_inner_texts() == [ITEMS[3]]


def test_the_page_explains_its_keys(tab: Watched, url: str) -> None:
    page = tab.page
    open_clips(tab, url)
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    shown = dialog.locator("kbd").all_inner_texts()
    assert (
        sorted(shown) == sorted([*"k,.jl−+[]omf←→npc/?"])
        and dialog.locator("dt").count() == dialog.locator("dd").count()
    )
    documented = Path(__file__).parents[3].joinpath("docs", "report.md").read_text(encoding="utf-8")
    assert [key for key in shown if f"`{key}`" not in documented] == []
    page.keyboard.press("f")
    assert not tall(page), "keys do nothing behind the list"
    page.keyboard.press("?")
    assert not dialog.is_visible()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "q"


def test_tables_of_many_items_come_in_pages_that_are_sorted_as_one(tab: Watched, workspace, tmp_path: Path) -> None:
    def scores(system: int, item: int) -> dict[str, Score]:
        value = Score.failed("no face") if item == 7 else Score.ok(float((item * 7) % 250))
        return {"sync_c": value, "sync_offset": Score.ok(0.0), "wer": Score.ok(0.0, 1.0)}

    ids = [f"item {index:03d}" for index in range(250)]
    build_report([make_run(tmp_path / "run", 0, [None] * 250, items=ids, scores=scores)], tmp_path / "out", plots=False)
    page = tab.page
    page.goto((tmp_path / "out" / "index.html").as_uri())
    page.wait_for_selector("#scores table")
    names = lambda: page.locator("#scores tbody th").all_inner_texts()  # noqa: E731
    assert names() == ids[:100]
    assert page.locator("#scores-status").inner_text() == "250 items, 1 to 100 shown"
    head = page.locator("#scores thead th").nth(1)
    head.get_by_role("button").click()
    best = sorted((i for i in range(250) if i != 7), key=lambda item: -((item * 7) % 250))
    assert names() == [ids[item] for item in best[:100]] and head.get_attribute("aria-sort") == "descending"
    assert page.evaluate("document.activeElement.closest('th').cellIndex") == 1
    page.get_by_role("button", name="Items, page 3").click()
    assert names() == [ids[item] for item in [*best[200:], 7]]


def test_paper_shows_all_that_a_screen_scrolls(tab: Watched, url: str) -> None:
    page = tab.page
    open_clips(tab, url)
    page.wait_for_function("() => [0, 1, 2, 3].every((item) => t2av.loaded(item))")
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".item .score").count() == 12
    assert not page.locator("#clip-controls").is_visible() and not page.locator(".transport").first.is_visible()
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--paper')") == "#fdfdfb"
    strip = page.locator("#row-0 .strip")
    assert strip.evaluate("node => node.scrollWidth <= node.clientWidth + 1")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    page.goto(f"{url}/index.html")
    page.emulate_media(media="print")
    assert page.locator("#scores").evaluate("node => node.scrollHeight <= node.clientHeight + 1")


STYLE = Path(__file__).parents[3] / "reports" / "page" / "assets" / "report.css"
TEXTS = [
    *((text, ground) for text in ("ink", "soft", "accent", "good", "bad") for ground in ("paper", "raised")),
    ("bad", "bad-wash"), ("accent", "accent-wash"), ("ink", "sunk"), ("paper", "accent"), ("paper", "ink"),
]  # fmt: skip


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_texts_and_edges_have_the_contrast_of_wcag_aa(scheme: int) -> None:
    colours = dict(
        re.findall(r"--([\w-]+): (#\w{6});", re.findall(r":root \{(.*?)\}", STYLE.read_text(), re.DOTALL)[scheme])
    )

    def luminance(name: str) -> float:
        parts = [int(colours[name][at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        low, high = sorted((luminance(one), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    assert {pair: contrast(*pair) for pair in TEXTS if contrast(*pair) < 4.5} == {}
    edges = [(edge, ground) for edge in ("edge", "wave", "accent") for ground in ("paper", "raised")]
    assert {pair: contrast(*pair) for pair in edges if contrast(*pair) < 3} == {}
