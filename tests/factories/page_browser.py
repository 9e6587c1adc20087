"""Pages in headless Chromium: the browser, a tab that is watched, and what tests ask of the clip browser."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import pytest

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-default-apps", "--disable-sync", "--no-first-run", "--mute-audio", "--disable-dev-shm-usage",
]  # fmt: skip
# The number that media_factory.moving_pattern drew on the picture that a player shows.
FRAME_NUMBERS = """() => [...document.querySelectorAll("#row-%d video")].map((video) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(video, 0, 0);
  let number = 0;
  const cell = Math.floor(canvas.width / 12), bar = Math.floor(canvas.height / 4);
  for (let bit = 0; bit < 12; bit++) {
    const [red] = context.getImageData(bit * cell + Math.floor(cell / 2), Math.floor(bar / 2), 1, 1).data;
    if (red > 128) number += 1 << bit;
  }
  return number;
})"""


@contextmanager
def chromium() -> Iterator[Any]:
    """Chromium while it is needed; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is missing: pip install playwright")
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip("no Chromium: apt-get install chromium, or set CHROMIUM to its path")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


class Watched:
    """A tab that remembers what went wrong in it and where it asked for things."""

    def __init__(self, browser, **options) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: self.errors.append("a dialog") or dialog.dismiss())
        self.page.on("request", lambda request: self.requests.append(request.url))


def rows(page) -> list[str]:
    return page.locator(".item h2").all_inner_texts()


def control(page, name: str):
    return page.locator(f"#clip-controls [name={name}]")


def open_clips(tab: Watched, url: str, **state: str) -> None:
    tab.page.goto(f"{url}/clips.html#{urlencode(state)}")
    tab.page.wait_for_selector(".item .clip")


def ready(page, row: int = 0) -> None:
    page.wait_for_function(f"""() => {{
      const all = [...document.querySelectorAll("#row-{row} video")];
      return all.length && all.every((video) => video.readyState >= 2 && !video.seeking);
    }}""")


def frames_shown(page, row: int = 0) -> list[int]:
    return page.evaluate(FRAME_NUMBERS % row)


def one_frame_shown(page, row: int = 0) -> None:
    """Wait until all players show the same frame: a canvas may get a picture's predecessor just after a seek."""
    page.wait_for_function(f"() => new Set(({FRAME_NUMBERS % row})()).size === 1")
