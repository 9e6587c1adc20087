"""Jobs whose files are not where they are carried out: files go by their contents, what is written comes back.

A machine keeps every content once, by its sha256, and shows a worker each file below a folder of its own: at
``FOLDER/abs`` followed by the path here, or ``FOLDER/rel/`` and a relative one. So a path there tells the path here,
also in the middle of a reason.
"""

import io
import os
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from t2av_bench.utils.files import file_sha256, link, replacing

_CHUNK = 8 * 2**20
_Tells = Callable[[str | PurePath], tuple[str, str | None] | None]


class _Pickler(pickle.Pickler):
    """told: of a string or path, None where it stays, else its text and digest."""

    def __init__(self, file: io.BytesIO, told: _Tells) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._told = told

    def persistent_id(self, obj: Any) -> Any:
        found = self._told(obj) if isinstance(obj, str | PurePath) else None
        if found is None:
            return None
        text, digest = found  # as bytes: a string would be asked for again
        return isinstance(obj, PurePath), text.encode("utf-8", "surrogatepass"), digest and digest.encode()


class _Unpickler(pickle.Unpickler):
    """found: text and digest -> text."""

    def __init__(self, data: bytes, found: Callable[[str, str | None], str]) -> None:
        super().__init__(io.BytesIO(data))
        self._found = found

    def persistent_load(self, pid: Any) -> Any:
        is_path, text, digest = pid
        found = self._found(text.decode("utf-8", "surrogatepass"), digest and digest.decode())
        return Path(found) if is_path else found


def _packed(value: Any, told: _Tells) -> bytes:
    file = io.BytesIO()
    _Pickler(file, told).dump(value)
    return file.getvalue()


class Sender:
    """This end. roots: folders that workers write into; their files come back."""

    def __init__(self, roots: Iterable[Path]) -> None:
        self.roots = [name for root in roots for name in dict.fromkeys((root, root.absolute()))]
        self._digests: dict[tuple[str, int, int], str] = {}

    def pack(self, value: Any) -> tuple[bytes, dict[str, str]]:
        """A value as bytes, and the files that it names: digest -> path. Strings count where they begin with ``/``."""
        files: dict[str, str] = {}

        def told(given: str | PurePath) -> tuple[str, str | None] | None:
            path = str(given)
            if isinstance(given, str) and not path.startswith("/"):
                return None
            digest = self._digest(path)
            if digest is None and not (isinstance(given, PurePath) and self._is_below(path)):
                return None
            if digest is not None:
                files[digest] = path
            return path, digest

        return _packed(value, told), files

    def unpack(self, data: bytes) -> Any:
        return _Unpickler(data, lambda text, _: text).load()

    def keep(self, files: Mapping[str, bytes]) -> None:
        """What a worker wrote. Raises OSError."""
        for path, content in files.items():
            with replacing(path) as temporary:
                temporary.write_bytes(content)

    def chunks(self, path: str) -> Iterable[bytes]:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    def _is_below(self, path: str) -> bool:
        return any(Path(path).absolute().is_relative_to(root.absolute()) for root in self.roots)

    def _digest(self, path: str) -> str | None:
        """None: it is no file."""
        try:
            if not os.path.isfile(path):
                return None
            key = path, *_state(path)
            if key not in self._digests:
                self._digests[key] = file_sha256(path)
            return self._digests[key]
        except (OSError, ValueError):
            return None


class Mirror:
    """The other end. contents: folder of the contents that came; folder: of one worker; roots: as the sender's."""

    def __init__(self, contents: Path, folder: Path, roots: Sequence[Path]) -> None:
        self._contents, self._folder = contents, folder
        self._roots = [self._there(str(root)) for root in roots]
        self._known: dict[str, tuple[int, int]] = {}
        contents.mkdir(parents=True, exist_ok=True)

    def lacks(self, digests: Iterable[str]) -> list[str]:
        return [digest for digest in digests if not (self._contents / digest).is_file()]

    def take(self, digest: str, chunk: bytes | None) -> None:
        """The next part of a content; None: it is complete. Raises ValueError where it is another by now."""
        part = self._contents / f"{digest}.{os.getpid()}.part"
        if chunk is not None:
            with part.open("ab") as file:
                file.write(chunk)
            return
        part.touch()
        if file_sha256(part) != digest:
            part.unlink()
            raise ValueError("a file changed while it was sent: repeat the command")
        part.replace(self._contents / digest)

    def unpack(self, data: bytes) -> Any:
        def found(path: str, digest: str | None) -> str:
            place = self._there(path)
            if digest is not None and not (place.is_file() and file_sha256(place) == digest):
                place.unlink(missing_ok=True)
                link(self._contents / digest, place)
                self._known[str(place)] = _state(place)
            place.parent.mkdir(parents=True, exist_ok=True)
            return str(place)

        return _Unpickler(data, found).load()

    def pack(self, value: Any) -> bytes:
        """With the paths of the sender."""
        folder = str(self._folder)

        def told(given: str | PurePath) -> tuple[str, str | None] | None:
            text = str(given)
            return (self._here(text), None) if folder in text else None

        return _packed(value, told)

    def written(self) -> dict[str, bytes]:
        """Files that came below the roots, or changed, since the last call: path of the sender -> content."""
        found = {}
        for root in self._roots:
            for folder, names, files in os.walk(root):
                names[:] = [name for name in names if not name.startswith(".")]
                for name in files:
                    path = os.path.join(folder, name)
                    state = _state(path)
                    if not name.startswith(".") and self._known.get(path) != state:
                        self._known[path] = state
                        found[self._here(path)] = Path(path).read_bytes()
        return found

    def _there(self, path: str) -> Path:
        if not os.path.isabs(path) and ".." not in PurePath(path).parts:
            return self._folder / "rel" / path
        return Path(f"{self._folder}/abs{os.path.abspath(path)}")

    def _here(self, text: str) -> str:
        return text.replace(f"{self._folder}/abs", "").replace(f"{self._folder}/rel/", "")


def _state(path: str | Path) -> tuple[int, int]:
    there = os.stat(path)
    return there.st_size, there.st_mtime_ns
