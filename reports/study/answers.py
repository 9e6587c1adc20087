"""Reading a study's key and the answers that participants sent back: strictly, every refusal with its reason."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from t2av_bench.errors import ItemError

_TIME = TypeAdapter(AwareDatetime)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class KeyTrial(_Strict):
    """What a trial showed. systems and media correspond; of a check, the first medium is the intact clip."""

    check: bool
    item: str
    systems: tuple[str, str]
    media: tuple[str, str]


class Key(_Strict):
    """``key.json``: what lies behind the opaque names of a study. lists: trial ids of each list."""

    format: Literal["t2av-bench study key"]
    version: Literal[1]
    t2av_bench: str
    study: str
    secret: str
    title: str
    question: str
    ties: bool
    systems: list[str]
    items: list[str]
    lists: list[list[str]]
    trials: dict[str, KeyTrial]


class Answer(_Strict):
    """One trial as it was shown (A, then B) and answered."""

    trial: str
    shown: tuple[str, str]
    choice: Literal["A", "B", "tie", "unplayable"]
    seconds: float = Field(ge=0)


class Answers(_Strict):
    """One participant's file. ``finished`` decides which of two files of one participant counts."""

    format: Literal["t2av-bench study answers"]
    version: Literal[1]
    study: str
    participant: str = Field(min_length=1, max_length=64)
    list: int = Field(ge=0)
    started: str
    finished: str
    answers: tuple[Answer, ...]

    @property
    def time(self) -> datetime:
        return _TIME.validate_python(self.finished)


def read_key(path: Path) -> Key:
    """Read ``key.json``. Raises ItemError where it is none."""
    try:
        return Key.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ItemError(f"{path} is not the key of a study: {_short(error)}; 'study make' writes it") from error


def read_answers(path: Path, key: Key) -> Answers:
    """Read one participant's file. Raises ItemError where it is broken, or of another study than the key's."""
    try:
        found = Answers.model_validate_json(path.read_bytes())
        found.time  # noqa: B018 - raises where it is no time
    except (OSError, ValidationError) as error:
        raise ItemError(f"not a file of answers: {_short(error)}") from error
    if found.study != key.study:
        raise ItemError(f"answers of another study ({found.study}, the key is of {key.study})")
    if found.list >= len(key.lists):
        raise ItemError(f"list {found.list} does not exist; the study has 0 to {len(key.lists) - 1}")
    answered = [answer.trial for answer in found.answers]
    if sorted(answered) != sorted(key.lists[found.list]):
        asked = set(key.lists[found.list])
        raise ItemError(
            f"the trials are not those of list {found.list}: {len(asked - set(answered))} missing, "
            f"{len(set(answered) - asked)} of other lists, {len(answered) - len(set(answered))} twice"
        )
    for answer in found.answers:
        if sorted(answer.shown) != sorted(key.trials[answer.trial].media):
            raise ItemError(f"trial {answer.trial} shows clips that it does not consist of")
        if answer.choice == "tie" and not key.ties:
            raise ItemError(f"trial {answer.trial} is answered with a tie, which this study does not offer")
    return found


def find_key(answers: Path) -> Path:
    """The ``key.json`` beside or above a file or folder of answers, or here. Raises ItemError."""
    folder = (answers if answers.is_dir() else answers.parent).resolve()
    for place in (folder, folder.parent, Path()):
        if (place / "key.json").is_file():
            return place / "key.json"
    raise ItemError("there is no key.json here, nor beside or above the answers: name it with --key")


def answer_files(paths: Iterable[Path]) -> list[Path]:
    """The files as they are given; folders stand for the ``.json`` files in them, except ``key.json``."""
    files: list[Path] = []
    for path in paths:
        files += [file for file in sorted(path.glob("*.json")) if file.name != "key.json"] if path.is_dir() else [path]
    return list(dict.fromkeys(files))


def collect(paths: Iterable[Path], key: Key) -> tuple[list[Answers], dict[str, str], list[str]]:
    """All usable answers by participant, files refused with their reasons, and participants who sent more than one.

    paths: see ``answer_files``. Of two files of one participant the later counts.
    """
    refused: dict[str, str] = {}
    latest: dict[str, Answers] = {}
    repeated: set[str] = set()
    for file in answer_files(paths):
        try:
            answers = read_answers(file, key)
        except ItemError as error:
            refused[str(file)] = str(error)
            continue
        held = latest.get(answers.participant)
        if held is not None and held != answers:
            repeated.add(answers.participant)
        # The text settles equal times, so that the order of the files never decides.
        if held is None or (answers.time, answers.model_dump_json()) > (held.time, held.model_dump_json()):
            latest[answers.participant] = answers
    return [latest[name] for name in sorted(latest)], refused, sorted(repeated)


def choice_of(answer: Answer, trial: KeyTrial) -> int | Literal["tie"] | None:
    """Which of the trial's two media was chosen (0 or 1), ``tie``, or None where it could not be played."""
    if answer.choice == "unplayable":
        return None
    if answer.choice == "tie":
        return "tie"
    return trial.media.index(answer.shown["AB".index(answer.choice)])


def _short(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where}: {first['msg']}" if where else str(first["msg"])
    return getattr(error, "strerror", None) or str(error)
