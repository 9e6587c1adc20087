"""Distributions of a Python package registry: where the configured index has them, and what is taken out of them.

Data files that travel in a wheel or a source distribution reach machines that see a registry and no model hub. They
are read as archives: nothing is installed, and no code of the distribution runs. By hand, because pip neither
continues a broken download nor is there in every environment.
"""

import ast
import http.client
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import unquote, urljoin, urlsplit

from t2av_bench.weights.connection import Refused, open_url
from t2av_bench.weights.download import DownloadError, printable

PYPI = "https://pypi.org/simple"
_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_LARGEST_PAGE = 1 << 25


def places() -> list[str]:
    """Folders of distributions and addresses of indexes, in the order in which they are asked.

    As pip and uv have them: ``PIP_FIND_LINKS``, ``PIP_INDEX_URL`` or ``UV_DEFAULT_INDEX``, ``PIP_EXTRA_INDEX_URL`` or
    ``UV_INDEX``, pip's configuration files, else PyPI alone.
    """
    pip = _pip_configuration()

    def setting(name: str, *of_uv: str) -> list[str]:
        variables = (f"PIP_{name.upper().replace('-', '_')}", *of_uv)
        value = next((value for each in variables if (value := os.environ.get(each))), pip.get(name, ""))
        return [re.sub(r"^[\w.-]+=(?=\w+://)", "", each) for each in value.split()]  # uv names indexes: name=url

    folders = [each for each in setting("find-links", "UV_FIND_LINKS") if Path(each).is_dir()]
    if {"1", "on", "true", "yes"} & {each.lower() for each in setting("no-index", "UV_NO_INDEX")}:
        return folders
    index = setting("index-url", "UV_DEFAULT_INDEX", "UV_INDEX_URL") or [PYPI]
    return [*folders, *index, *setting("extra-index-url", "UV_INDEX", "UV_EXTRA_INDEX_URL")]


def _pip_configuration() -> dict[str, str]:
    """pip's own settings from its files; those of ``pip install`` go before the global ones."""
    if importlib.util.find_spec("pip") is None:
        return {}
    command = [sys.executable, "-m", "pip", "config", "list"]
    said = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
    lines = re.findall(r"^(global|install)\.([\w-]+)=(.*)$", said, re.MULTILINE)
    return {name: ast.literal_eval(value) for _, name, value in sorted(lines)}  # "install" after "global"


def find(place: str, file: str) -> str:
    """The URL of a distribution at one of the ``places``. Raises DownloadError: why it is not there."""
    if "://" not in place:
        if not (path := Path(place).resolve() / file).is_file():
            raise DownloadError(f"has no {file}")
        return path.as_uri()
    project = _project(file)
    page = f"{place.rstrip('/')}/{project}/" + ("index.html" if place.startswith("file:") else "")
    try:
        with open_url(page, {"Accept": _ACCEPT, "User-Agent": "t2av-bench"}) as response:
            body = response.read(_LARGEST_PAGE)
            links = _links(body, response.headers.get_content_type(), response.geturl() or page)
    except urllib.error.HTTPError as error:
        error.close()
        reason = f"has no project {project}" if error.code == 404 else printable(f"HTTP {error.code} {error.reason}")
        raise DownloadError(reason) from None
    except (OSError, http.client.HTTPException, ValueError, Refused) as error:
        raise DownloadError(printable(str(getattr(error, "reason", error)))) from error
    if file not in links:
        there = ", ".join(list(links)[-5:]) or "no file"
        raise DownloadError(printable(f"has no {file} of {project}; the last there: {there}"))
    return links[file]


def _project(file: str) -> str:
    from packaging.utils import parse_sdist_filename, parse_wheel_filename

    return (parse_wheel_filename if file.endswith(".whl") else parse_sdist_filename)(file)[0]


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.targets += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _links(body: bytes, kind: str, page: str) -> dict[str, str]:
    """File name -> URL, of a project's page as JSON (PEP 691) or HTML (PEP 503). Raises ValueError."""
    text = body.decode("utf-8", "replace")
    if kind.endswith("json"):
        found = json.loads(text)
        files = found.get("files") if isinstance(found, dict) else None
        targets = [str(each.get("url", "")) for each in files or () if isinstance(each, dict)]
    else:
        anchors = _Anchors()
        anchors.feed(text)
        targets = anchors.targets
    urls = [urljoin(page, target).partition("#")[0] for target in targets]
    return {unquote(PurePosixPath(urlsplit(url).path).name): url for url in urls}


def join(archives: Sequence[Path], members: Sequence[str], target: Path) -> None:
    """Write members of the archives to ``target``, one after the other.

    Raises DownloadError where a member is not there, naming what is, or where an archive cannot be read.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as stack, open(target, "wb") as file:
            contents = [_open(path, stack) for path in archives]
            for member in members:
                opened = next((take for names, take in contents if member in names), None)
                if opened is None:
                    names = sorted(name for names, _ in contents for name in names)
                    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
                    raise DownloadError(f"there is no member {member}, only {', '.join(names[:20])}{more}")
                shutil.copyfileobj(opened(member), file, 1 << 20)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DownloadError(f"{', '.join(path.name for path in archives)} cannot be read: {error}") from error


def _open(path: Path, stack: ExitStack) -> tuple[list[str], Callable[[str], IO[bytes]]]:
    """Names of files in a wheel or source distribution, and what opens one."""
    if zipfile.is_zipfile(path):
        wheel = stack.enter_context(zipfile.ZipFile(path))
        return [name for name in wheel.namelist() if not name.endswith("/")], wheel.open
    source = stack.enter_context(tarfile.open(path))

    def take(name: str) -> Any:
        return source.extractfile(name)

    return [each.name for each in source if each.isfile()], take
