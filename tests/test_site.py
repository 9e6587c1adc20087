"""The documentation site: whole, from the repository's pages alone, and nothing in it comes from elsewhere."""

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from t2av_bench.cli import document

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "docs").rglob("*.ipynb"))


@pytest.fixture(scope="module")
def build():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("build_script", ROOT / "website" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", document.PAGES)
def test_the_reference_is_what_the_code_says(name):
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == document.PAGES[name](), (
        f"docs/{name} is stale: python -m t2av_bench.cli.document docs/"
    )


def test_the_page_of_commands_has_every_option_of_evaluate():
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    section = page.split("\n## evaluate\n")[1].split("\n## ")[0]
    shown = subprocess.run(
        [sys.executable, "-m", "t2av_bench.cli.main", "evaluate", "--help"],
        capture_output=True, text=True, env=os.environ | {"COLUMNS": "200", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    options = set(re.findall(r"--[a-z][a-z-]+", shown.stdout)) - {"--help"}
    assert len(options) > 20
    assert {option for option in options if f"`{option}" not in section} == set()


def _inside(nav: list | str) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [page for entry in nav for value in entry.values() for page in _inside(value)]


def test_every_page_stands_once_in_the_navigation(build):
    settings = tomllib.loads((ROOT / "website" / "zensical.toml").read_text(encoding="utf-8"))
    listed = _inside(settings["project"]["nav"])
    assert sorted(listed) == sorted(place for place in build.pages().values() if place.endswith(".md"))


def test_links_that_leave_the_pages_lead_to_copies(build, tmp_path):
    build.stage(tmp_path / "staged")
    staged = tmp_path / "staged" / "docs"
    attest = (staged / "attest.md").read_text(encoding="utf-8")
    assert "](files/t2av_bench/attestation/references/mochabench.toml)" in attest
    assert (staged / "files/t2av_bench/attestation/references/mochabench.toml").is_file()
    assert "](reports/embedded.md)" in (staged / "findings.md").read_text(encoding="utf-8")
    assert "](../benchmarks.md)" in (staged / "reports/specifications.md").read_text(encoding="utf-8")


def test_code_and_addresses_stay_as_they_are(build):
    page = "[a](https://example.org) [b](evaluate.md#items)\n\n```console\n$ echo [c](nowhere.md)\n```\n"
    assert build.relinked(page, "docs/index.md", build.pages(), {}) == page


def test_a_link_to_nothing_is_refused(build):
    with pytest.raises(ValueError, match=r"docs/index.md links to nowhere.md, and there is no such file"):
        build.relinked("[a](nowhere.md)", "docs/index.md", build.pages(), {})


@pytest.mark.parametrize("text", [
    '<script src="https://cdn.example/a.js"></script>',
    "<link rel=stylesheet href=//fonts.example/css>",
    '<link rel="preconnect" href="https://fonts.example">',
    "<img alt='a' src='http://example.org/a.png'>",
    "<style>@font-face { src: url(https://fonts.example/a.woff2) }</style>",
    '<style>@import "https://fonts.example/css";</style>',
])  # fmt: skip
def test_what_a_page_would_load_from_elsewhere_is_seen(build, tmp_path, text):
    (tmp_path / "page.html").write_text(f'<a href="https://example.org">a link</a><img src="a.png">{text}')
    assert [file for file, _ in build.external(tmp_path)] == ["page.html"]


def test_a_link_is_nothing_that_is_loaded(build, tmp_path):
    (tmp_path / "page.html").write_text('<a href="https://example.org">a</a><img src="a.png"><link href="a.css">')
    assert list(build.external(tmp_path)) == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_what_belongs_to_a_list_item_is_indented_by_four_spaces(page):
    """GitHub is content with two or three; Python-Markdown, which makes the site, ends the list there."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    assert re.findall(r"\n\n {1,3}\S.*", text) == []
    assert re.findall(r"\n\n {4}.*(?:\n {4}.*)*\n(?:\d+\.|-) .*", text) == []  # a new item wants an empty line


@pytest.fixture(scope="module")
def site(build, tmp_path_factory) -> Path:
    """The site as ``make docs`` builds it, which fails at a link or an anchor that leads nowhere."""
    pytest.importorskip("zensical", reason="Zensical is missing: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    build.stage(folder)
    built = _zensical(folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "site"


def _zensical(folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"], cwd=folder, capture_output=True, text=True
    )


@pytest.mark.slow
def test_the_site_is_built_and_loads_nothing_from_elsewhere(build, site):
    assert len(list(site.rglob("*.html"))) > 40
    assert list(build.external(site)) == []


@pytest.mark.slow
def test_an_anchor_that_leads_nowhere_fails_the_build(site, tmp_path):
    shutil.copytree(site.parent, tmp_path / "copy", ignore=shutil.ignore_patterns("site", ".cache"))
    page = tmp_path / "copy" / "docs" / "start.md"
    page.write_text(page.read_text(encoding="utf-8") + "\n[nothing](evaluate.md#no-such-heading)\n", encoding="utf-8")
    built = _zensical(tmp_path / "copy")
    assert built.returncode != 0
    assert "1 issue" in built.stdout + built.stderr


@pytest.mark.slow
def test_a_browser_asks_no_other_place_and_scrolls_no_page_sideways(site):
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is missing: pip install playwright")
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip("no Chromium: apt-get install chromium, or set CHROMIUM to its path")
    asked, wide = [], []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 360, "height": 740})
        page.on("request", lambda request: asked.append(request.url))
        for file in sorted(site.rglob("*.html")):
            page.goto(file.as_uri())
            if page.evaluate("document.documentElement.scrollWidth") > 360:
                wide.append(file.name)
        browser.close()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert wide == []


# A kernel has no file of its own, and shows what a cell ends with: so does this.
_KERNEL = """
import ast, json, sys
names = {"__name__": "__main__"}
for source in json.load(sys.stdin):
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), names)
    shown = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names) if last else None
    html = getattr(shown, "_repr_html_", None)
    print("---", (html() if html else repr(shown)) if shown is not None else "")
"""


def cells(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path):
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written["nbformat"] == 4
    assert all(ast.parse(source) for source in cells(path))
    assert [cell.get("outputs") for cell in written["cells"] if cell.get("outputs")] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", _KERNEL], input=json.dumps(cells(path)), cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")}, timeout=1200,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    shown = ran.stdout.split("---")[1:]
    assert len(shown) == len(cells(path))
    assert any("<table" in each for each in shown)
    assert "sync_c_gridface" in ran.stdout and "weights fetch" in ran.stdout
