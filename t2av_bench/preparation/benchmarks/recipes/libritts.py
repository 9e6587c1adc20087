"""LibriTTS test-clean (SLR60), for codecs and text to speech: 24 kHz recordings with normalised texts."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from t2av_bench.errors import ItemError
from t2av_bench.preparation.benchmarks.recipe import Facts, Recipe, SourceClip, foreign_name, safe

SAMPLE_RATE = 24_000
_SOURCE = "libritts"


class LibriTTSTestClean(Recipe):
    """Every utterance is an item, as the corpus has it; its recording is linked, not encoded again."""

    id = "libritts-test-clean"
    sources = {_SOURCE: "the folder test-clean of LibriTTS, or LibriTTS itself"}

    def index(self, folders: Mapping[str, Path]) -> Iterable[SourceClip]:
        """test-clean/SPEAKER/CHAPTER/ID.wav and ID.normalized.txt. ItemError for LibriTTS-R, another corpus."""
        folder = folders[_SOURCE]
        if any("librittsr" in part.lower().replace("-", "").replace("_", "") for part in folder.resolve().parts):
            raise ItemError(f"{folder} is LibriTTS-R by its name: those recordings are restored, and codecs are "
                            "compared on those of LibriTTS (SLR60)")  # fmt: skip
        root = folder / "test-clean" if (folder / "test-clean").is_dir() else folder
        prefix = root.relative_to(folder)
        ids = {
            (prefix / path.relative_to(root)).with_suffix("").as_posix().removesuffix(".normalized")
            for pattern in ("*/*/*.wav", "*/*/*.normalized.txt") for path in root.glob(pattern)
        }  # fmt: skip
        return (_clip(folder, path) for path in ids)

    def refuse(self, clip: SourceClip, facts: Mapping[str, Facts]) -> str | None:
        sound = facts["path"]
        if sound.audio_rate != SAMPLE_RATE:
            return f"its sample rate is {sound.audio_rate} Hz, that of the corpus {SAMPLE_RATE}: it was encoded again"
        return None if sound.channels == 1 else f"it has {sound.channels} channels, expected 1"


def _clip(folder: Path, path: str) -> SourceClip:
    speaker, chapter, name = path.split("/")[-3:]
    if reason := foreign_name(path):
        return SourceClip(id=safe(name), source=_SOURCE, reason=reason)
    text = None
    try:
        text = " ".join((folder / f"{path}.normalized.txt").read_text(encoding="utf-8-sig").split())
        reason = None if text else "its .normalized.txt is empty"
    except FileNotFoundError:
        reason = "its .normalized.txt is not there"
    except (OSError, UnicodeDecodeError):
        reason = "its .normalized.txt cannot be read"
    return SourceClip(
        id=safe(name), source=_SOURCE, path=f"{path}.wav", text=text, language="en", speaker=speaker,
        video=f"{speaker}_{chapter}", reason=reason,
    )  # fmt: skip
