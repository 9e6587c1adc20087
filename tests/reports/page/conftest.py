"""Runs with clips for the page, made once."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from page_browser import Watched, chromium


@dataclass(frozen=True)
class Workspace:
    """folder: of everything. runs: one a system. clips: by system, then item; references: by item."""

    folder: Path
    runs: list[Path]
    clips: list[list[Path]]
    references: list[Path]


def make_workspace(folder: Path) -> Workspace:
    """Three systems on four items, each with clips and references."""
    from page_factory import ITEMS, SYSTEMS, make_run, write_clips

    made = write_clips(folder / "media" / "a & b", ITEMS)
    references = write_clips(folder / "media" / "reference", ["r0", "r1", "r2", "r3"])
    # The systems' clips have one content: what differs is where they lie and how they scored.
    clips = [made]
    for index in range(1, len(SYSTEMS)):
        place = folder / "media" / f"system {index}"
        place.mkdir()
        clips.append([place / path.name for path in made])
        for source, target in zip(made, clips[-1], strict=True):
            target.write_bytes(source.read_bytes())
    runs = [
        make_run(folder / "runs" / f"run{index}", index, clips[index], references=references)
        for index in range(len(SYSTEMS))
    ]
    return Workspace(folder, runs, clips, references)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Not to be changed by tests."""
    return make_workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="session")
def linked_report(workspace: Workspace) -> Path:
    """The report of the workspace, linking to its clips. Not to be changed by tests."""
    from reports.page.site import build_report

    out = workspace.folder / "report"
    build_report(workspace.runs, out, real="alpha")
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """Of a module: two Playwrights cannot live in one thread, and other folders have their own."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def url(linked_report: Path) -> Iterator[str]:
    from page_factory import served

    with served(linked_report) as server:
        yield server.url.rsplit("/", 1)[0]


@pytest.fixture
def tab(browser) -> Iterator[Watched]:
    watched = Watched(browser, viewport={"width": 1280, "height": 900})
    yield watched
    watched.context.close()
    assert watched.errors == []
