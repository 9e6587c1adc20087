"""The item that ``systems check`` makes clips of: a drawn face and two seconds of a synthetic voice."""

from dataclasses import replace
from pathlib import Path

from t2av_bench.systems.external.check import SECONDS, Inputs
from t2av_bench.utils.optional import require_all

_TEXT = "The small boat went over the calm blue sea."
_VOICE_TEXT = "She opened the old green door, and a warm light fell upon the stones of the yard."
_RATE = 16_000
_FPS = 25
_PICTURE = 512
_PERSON = 7


def short_item(folder: Path, identity: Path | None = None, voice: Path | None = None) -> Inputs:
    """Draw and speak it into a folder. identity, voice: files of the user's, in place of the synthetic ones.

    NotApplicable where the packages that draw and speak are missing. Face detectors
    that were trained on photographs may refuse a drawn face.
    """
    require_all("demo", "PIL", "torch", "espeakng_loader")
    import numpy as np
    from PIL import Image
    from scipy.io import wavfile

    from t2av_bench.gridface.portrait.portrait import Portrait
    from t2av_bench.gridface.speech.synthesizer import Synthesizer
    from t2av_bench.gridface.speech.visemes import motion
    from t2av_bench.media.encode import write_mp4

    with Synthesizer() as speaker:
        said = speaker.say(_TEXT, rate=190)
        reference = speaker.say(_VOICE_TEXT, rate=150)
    track = motion(said.phonemes, round(SECONDS * _FPS), _PERSON)
    frames = Portrait(_PERSON, _PICTURE).render(track)
    sound = _resampled(said.samples)[: round(SECONDS * _RATE)]
    sound = np.pad(sound, (0, round(SECONDS * _RATE) - len(sound)))
    found = Inputs(
        text=_TEXT, language="en", identity=folder / "face.png", faceless=folder / "no_face.png",
        voice=folder / "voice.wav", voice_text=_VOICE_TEXT, driving_audio=folder / "speech.wav",
        driving_video=folder / "face.mp4",
    )  # fmt: skip
    Image.fromarray(frames[0]).save(found.identity)
    slope = np.linspace(60, 190, _PICTURE, dtype=np.uint8)
    Image.fromarray(np.repeat(np.repeat(slope[:, None, None], _PICTURE, 1), 3, 2)).save(found.faceless)
    wavfile.write(found.voice, _RATE, _resampled(reference.samples).astype("<i2"))
    wavfile.write(found.driving_audio, _RATE, sound.astype("<i2"))
    write_mp4(found.driving_video, frames, frame_rate=_FPS)
    # What is said in a voice of the user's is not known.
    found = replace(found, voice=voice, voice_text="") if voice else found
    return replace(found, identity=identity) if identity else found


def _resampled(samples):  # type: ignore[no-untyped-def]  # numpy is imported where it is used
    import soxr

    from t2av_bench.gridface.speech.synthesizer import SAMPLE_RATE

    return soxr.resample(samples, SAMPLE_RATE, _RATE)
