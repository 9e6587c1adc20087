"""A clip: a media file that is decoded once and asked by many metrics.

Opening is lazy. Frames are RGB at a constant rate (see ``media.rate``), audio is mono float32 (see ``media.sound``);
both begin with the first picture (see ``media.timeline``).
A clip belongs to one thread; workers make their own.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from t2av_bench.errors import MediaError, NotApplicable, Unscorable
from t2av_bench.media.ahead import ahead
from t2av_bench.media.decode import DecodePass, decode_sound
from t2av_bench.media.limits import BATCH_BYTES, DEFAULT, FrameBudget, Limits
from t2av_bench.media.mono import MONO
from t2av_bench.media.probe import MediaInfo, check_file, probe, with_sound
from t2av_bench.media.resample import RESAMPLER, resample
from t2av_bench.media.sound import Sound
from t2av_bench.media.timeline import PICTURE_CLOCK, SOUND_CLOCK, Timeline, read_sound_timeline, read_timeline

Value = TypeVar("Value")

# What every protocol that looks at a clip's pictures or listens to its sound names as its parameters.
FRAME_RATE = 25
PICTURES = {"frame_rate": FRAME_RATE, "pictures": PICTURE_CLOCK}
SOUND = {"sound": SOUND_CLOCK, "mono": MONO, "resampler": RESAMPLER}


class Features(Protocol):
    """Where intermediates outlive the process, by content digest and protocol fingerprint."""

    def get(self, digest: str, fingerprint: str, suffix: str) -> dict[str, np.ndarray] | None: ...

    def put(self, digest: str, fingerprint: str, suffix: str, arrays: dict[str, np.ndarray]) -> Any: ...


class Clip:
    """One media file, or two: pictures in one, and their sound in another.

    path: the file; it need not exist until something is asked.
    sound_path: the file whose sound is heard in place of the first one's own; it begins with the first picture, unless
        it states a later start (see ``read_sound_timeline``). None: the sound is in the file itself.
    frame_rate: frames per second that ``frames`` delivers.
    frame_budget: bytes of decoded frames that are kept for the next pass, or what several clips share; a longer clip is
        decoded again per pass, so that memory stays flat.
    ahead: bytes of frames that a thread of the clip's own may decode before they are asked for; 0: no thread.
    limits: what is decoded at most; more is a reason.
    features: store behind ``stored``; ``None`` keeps those intermediates in memory only.

    Every method that reads the file raises MediaError with the reason; the same reason again on later calls, without
    reading again.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        sound_path: Path | str | None = None,
        frame_rate: int | Fraction = FRAME_RATE,
        frame_budget: int | FrameBudget = 1 << 29,
        ahead: int = 0,
        limits: Limits = DEFAULT,
        features: Features | None = None,
    ) -> None:
        if frame_rate <= 0:
            raise ValueError(f"frame_rate is frames per second and positive, got {frame_rate}")
        self.path = Path(path)
        self.sound_path = None if sound_path is None else Path(sound_path)
        self.frame_rate = Fraction(frame_rate)
        self.frame_budget = frame_budget if isinstance(frame_budget, FrameBudget) else FrameBudget(frame_budget)
        self.ahead = ahead
        self.limits = limits
        self._features = features
        self._memo: dict[Any, tuple[bool, Any]] = {}
        self._frames: list[np.ndarray] | None = None
        self._frame_count: int | None = None
        self._frame_times = np.empty(0)

    def __repr__(self) -> str:
        return f"Clip({str(self.path)!r}, frame_rate={self.frame_rate})"

    @property
    def digest(self) -> str:
        """sha256 of the file's bytes, 64 hexadecimal digits; of two files that of both digests."""
        return self.memo(("clip", "digest"), self._hash)

    @property
    def info(self) -> MediaInfo:
        """What the header says (streams, sizes, rates, codecs); decodes nothing."""
        return self.memo(("clip", "info"), lambda: with_sound(probe(self.path), self.sound_path))

    @property
    def timeline(self) -> Timeline:
        """The file's clocks, read from its packets; only the beginning is decoded."""
        return self.memo(("clip", "timeline"), lambda: read_timeline(self.path, self.limits))

    @property
    def frame_count(self) -> int:
        """Number of frames after conversion to ``frame_rate``. Decodes the clip on first use."""
        if self._frame_count is None:
            for _ in self.each_frame():
                pass
        assert self._frame_count is not None
        return self._frame_count

    @property
    def frame_times(self) -> np.ndarray:
        """(frame_count,) float64, ascending: seconds at which the source shows the picture that stands in each frame.

        The grid's own times are off by up to half a source frame. A picture that stands in several frames has the same
        time in all. Decodes the clip on first use.
        """
        count = self.frame_count  # decodes
        return self._frame_times[:count]

    @property
    def duration(self) -> float:
        """Seconds of video after conversion: ``frame_count / frame_rate``."""
        return float(self.frame_count / self.frame_rate)

    def frames(self, batch: int = 32) -> Iterator[np.ndarray]:
        """All frames in order as (n, H, W, 3) uint8 RGB arrays, 1 <= n <= batch. The arrays are the caller's own.

        Large frames come in smaller batches: at most 64 MiB, or one frame.
        """
        if batch < 1:
            raise ValueError(f"batch is at least 1, got {batch}")
        pending: list[np.ndarray] = []
        for frame in self.each_frame():
            pending.append(frame)
            if len(pending) == batch or (len(pending) + 1) * frame.nbytes > BATCH_BYTES:
                yield np.stack(pending)
                pending = []
        if pending:
            yield np.stack(pending)

    def frames_at(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """(k, H, W, 3) uint8 RGB: the frames at ``indices``, in that order, repeats allowed. IndexError outside."""
        wanted = [int(index) for index in indices]
        if not wanted:
            raise ValueError("frames_at needs at least one index")
        if min(wanted) < 0 or (self._frame_count is not None and max(wanted) >= self._frame_count):
            raise IndexError(f"frame {min(wanted) if min(wanted) < 0 else max(wanted)} of {self.path.name} asked for")
        needed, found = set(wanted), {}
        for index, frame in enumerate(self.each_frame()):
            if index in needed:
                found[index] = frame
        if max(wanted) not in found:
            raise IndexError(f"frame {max(wanted)} of {self.path.name} asked for, it has {self._frame_count}")
        return np.stack([found[index] for index in wanted])

    def audio(self, rate: int = 16000) -> np.ndarray:
        """(n,) float32 mono at ``rate`` Hz: down-mixed (see ``media.mono``), resampled by soxr HQ. Read-only."""
        return self.memo(("clip", "audio", rate), lambda: self._resampled(rate))

    def memo(self, key: tuple, compute: Callable[[], Value]) -> Value:
        """``compute()``, once per clip and key. A reason (Unscorable, NotApplicable) is remembered like a value."""
        if key not in self._memo:
            try:
                self._memo[key] = (True, compute())
            except (Unscorable, NotApplicable) as reason:
                self._memo[key] = (False, reason)
        known, result = self._memo[key]
        if not known:
            raise result.with_traceback(None)
        return result

    def stored(
        self, fingerprint: str, suffix: str, compute: Callable[[], dict[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """Like ``memo``, and kept by (digest, fingerprint, suffix) across runs where there is a feature store."""
        return self.memo(("clip", "stored", fingerprint, suffix), lambda: self._stored(fingerprint, suffix, compute))

    def is_stored(self, fingerprint: str, suffix: str) -> bool:
        """Whether ``stored`` would compute nothing."""
        if ("clip", "stored", fingerprint, suffix) in self._memo:
            return True
        return self._features is not None and self._features.get(self.digest, fingerprint, suffix) is not None

    def release(self) -> None:
        """Free frames, audio and all memoised intermediates. The clip stays usable: it would decode again."""
        self._memo.clear()
        self._forgotten(self._frames or [])
        self._frames = None

    def each_frame(self) -> Iterator[np.ndarray]:
        """All frames in order, (H, W, 3) uint8 RGB and read-only: for who looks at one at a time, without a copy."""
        if self._frames is not None:
            yield from self._frames
            return
        failure = self._memo.get(("clip", "failure"))
        if failure is not None:
            raise failure[1].with_traceback(None)
        heard_too = self.sound_path is None and ("clip", "sound") not in self._memo
        decoding = DecodePass(self.path, self.frame_rate, heard_too, self.timeline, self.limits)
        kept: list[np.ndarray] = []
        count, fits = 0, True
        try:
            for frame in ahead(decoding, self.ahead) if self.ahead else decoding:
                frame.flags.writeable = False
                if fits and not (kept and frame is kept[-1]):
                    fits = self.frame_budget.take(frame.nbytes)
                if fits:
                    kept.append(frame)
                elif kept:
                    kept = self._forgotten(kept)
                count += 1
                yield frame
            if fits and self._frames is None:  # another pass may have been faster
                self._frames, kept = kept, []
        except MediaError as error:
            self._memo[("clip", "failure")] = (False, error)
            raise
        finally:
            self._forgotten(kept)
        self._frame_count = count
        self._frame_times = np.array(decoding.times)
        if heard_too and decoding.sound is not None:
            self._memo.setdefault(("clip", "sound"), (isinstance(decoding.sound, Sound), decoding.sound))

    def _forgotten(self, frames: list[np.ndarray]) -> list[np.ndarray]:
        """None any more; a picture that stood in several of these frames was taken once."""
        self.frame_budget.left += sum(each.nbytes for each in {id(each): each for each in frames}.values())
        return []

    def _resampled(self, rate: int) -> np.ndarray:
        sound = self.memo(("clip", "sound"), self._sound)
        samples = resample(sound.samples, sound.rate, rate)
        samples.flags.writeable = False
        return samples

    def _sound(self) -> Sound:
        if self.sound_path is None:
            return decode_sound(self.path, self.timeline, self.limits)
        return decode_sound(self.sound_path, read_sound_timeline(self.sound_path, self.limits), self.limits)

    def _stored(
        self, fingerprint: str, suffix: str, compute: Callable[[], dict[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        if self._features is None:
            return compute()
        arrays = self._features.get(self.digest, fingerprint, suffix)
        if arrays is None:
            arrays = compute()
            self._features.put(self.digest, fingerprint, suffix, arrays)
        return arrays

    def _hash(self) -> str:
        seen = _sha256(self.path)
        if self.sound_path is None:
            return seen
        try:
            heard = _sha256(self.sound_path)
        except MediaError:
            heard = ""  # the pictures can be scored all the same
        return hashlib.sha256(f"{seen} {heard}".encode()).hexdigest()


def _sha256(path: Path) -> str:
    check_file(path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(f"{path} cannot be read: {error.strerror}") from error


__all__ = ["Clip", "Features", "MediaError", "MediaInfo"]
