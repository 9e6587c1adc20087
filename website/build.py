"""The documentation site, as ``make docs`` builds it: ``python website/build.py`` writes ``docs-site/site``.

Pages are those of ``docs/`` and a few of other folders. They are copied to ``docs-site``; links that leave them lead to
copies of the files in the site, so that it is whole wherever it is put. The build is strict: a link or an anchor that
leads nowhere fails it, and so does anything that a page would load from elsewhere. Exit status: 0 built; 1 not.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
STAGED = ROOT / "docs-site"
OTHERS = {
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "RELEASING.md": "releasing.md",
    "SECURITY.md": "security.md",
    "reports/embedded/README.md": "reports/embedded.md",
    "reports/published/README.md": "reports/published.md",
    "reports/specifications/README.md": "reports/specifications.md",
}
"""Pages that lie elsewhere: file of the repository -> file of the site."""
FILES = "files"
"""Folder of the site for files that pages link to and that are no part of ``docs/``."""
_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
_FENCE = re.compile(r"(^```.*?^```$)", re.M | re.S)


def pages() -> dict[str, str]:
    """File of the repository -> its place in the site, for all of ``docs/`` and ``OTHERS``."""
    docs = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*")) if path.is_file()]
    return {path: re.sub(r"\.ipynb$", ".md", path.removeprefix("docs/")) for path in docs} | OTHERS


def notebook_page(text: str) -> str:
    """A notebook as a page: its texts, and its code as it stands; outputs are the reader's own."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    return "\n\n".join(f"```python\n{source}\n```" if kind == "code" else source for kind, source in cells) + "\n"


def relinked(text: str, source: str, places: dict[str, str], wanted: dict[str, str]) -> str:
    """The page with its links for the place that it has in the site. wanted: gains the files that are linked besides.

    Raises ValueError for a link to what is not in the repository.
    """

    def moved(match: re.Match[str]) -> str:
        target = match[2]
        if re.match(r"[a-z]+:", target):
            return match[0]
        file = os.path.normpath(f"{PurePosixPath(source).parent}/{target}")
        if file not in places and not (ROOT / file).is_file():
            raise ValueError(f"{source} links to {target}, and there is no such file")
        place = places.get(file) or wanted.setdefault(file, f"{FILES}/{file}")
        return match[1] + os.path.relpath(place, PurePosixPath(places[source]).parent) + match[3]

    parts = _FENCE.split(text)  # code keeps what looks like a link
    return "".join(part if number % 2 else _LINK.sub(moved, part) for number, part in enumerate(parts))


def stage(folder: Path) -> None:
    """Write all that the site is made of into ``folder``, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    places, wanted = pages(), {}
    for source, place in places.items():
        file = folder / "docs" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".md":
            text = (ROOT / source).read_text(encoding="utf-8")
            if source.endswith(".ipynb"):
                text = notebook_page(text)
                shutil.copy(ROOT / source, file.parent)
            file.write_text(relinked(text, source, places, wanted), encoding="utf-8")
        else:
            shutil.copy(ROOT / source, file)
    for source, place in wanted.items():
        (folder / "docs" / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / source, folder / "docs" / place)
    shutil.copy(ROOT / "website" / "zensical.toml", folder)
    shutil.copy(ROOT / "website" / "extra.css", folder / "docs")


_LOADED = re.compile(
    r"""<(?:script|img|iframe|video|audio|source|embed|object)\b[^>]*?\b(?:src|data)\s*=\s*["']?([^"'\s>]+)"""
    r"""|<link\b[^>]*?\bhref\s*=\s*["']?([^"'\s>]+)"""
    r"""|url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""",
    re.I,
)


def external(site: Path) -> Iterator[tuple[str, str]]:
    """(file, address) of everything that a page or a stylesheet loads from another place by itself."""
    for file in sorted(site.rglob("*")):
        if file.suffix in (".html", ".css", ".svg"):
            for found in _LOADED.findall(file.read_text(encoding="utf-8")):
                address = next(filter(None, found), "")
                if re.match(r"(?:[a-z][a-z0-9+.-]*:)?//", address, re.I):
                    yield file.relative_to(site).as_posix(), address


def main() -> None:
    stage(STAGED)
    built = subprocess.run([sys.executable, "-m", "zensical", "build", "--strict", "--clean"], cwd=STAGED)
    if built.returncode:
        sys.exit(1)
    if found := list(external(STAGED / "site")):
        sys.exit("\n".join(f"{file} loads {address}" for file, address in found))
    print(f"built {STAGED / 'site' / 'index.html'}")


if __name__ == "__main__":
    main()
