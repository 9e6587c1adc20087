"""The process that holds espeak-ng. Run as a script with the standard library alone; see ``utils.espeak``.

The library keeps state from one utterance to the next (noise and phase), so the same text would come out differently
depending on what was said before. This process initialises the library once, never speaks itself, and forks a child
for each utterance: every child starts from the same state. The library also seeds its noise from the clock when it is
initialised, so each child sets the seed again. It has one thread and loads nothing else, which is what
makes forking safe however many threads the caller has.

Arguments: path of the shared library, path of its data folder.
Standard input: one request a line, a JSON object: what is to be said (text, voice, rate, pitch, pitch_range) or
transcribed (texts, voice); an empty line ends.
Standard output: for each request an 8-byte length (little endian) and a JSON header, then ``header["bytes"]`` bytes of
16-bit samples. The header has ``phonemes`` [[IPA symbol, sample], ...], ``transcripts`` [IPA, ...] or ``error``.
"""

import ctypes
import json
import os
import struct
import sys
from typing import Any

SYNCHRONOUS = 2
PHONEME_EVENTS_IN_IPA = 1 | 2
DO_NOT_EXIT = 0x8000
TEXT_IS_UTF8 = 1
PHONEME_EVENT = 7
RANDOM_SEED = 1
IPA_WITH_UNDERSCORES = 2 | ord("_") << 8
RATE, VOLUME, PITCH, PITCH_RANGE = 1, 2, 3, 4


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("symbol", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


def speak(library: Any, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Say one request with an initialised library: header and samples."""
    audio = bytearray()
    phonemes: list[tuple[str, int]] = []

    def collect(samples: int | None, count: int, events: Any) -> int:
        if samples and count > 0:
            audio.extend(ctypes.string_at(samples, 2 * count))
        index = 0
        while events[index].type != 0:
            if events[index].type == PHONEME_EVENT:
                # Eight bytes without a guaranteed end: ctypes would read up to the first zero byte, as is right here,
                # and a symbol of exactly eight bytes is complete too.
                phonemes.append((events[index].id.symbol.decode("utf-8", "replace"), events[index].sample))
            index += 1
        return 0

    library.espeak_ng_SetRandSeed(ctypes.c_long(RANDOM_SEED))
    callback = _Callback(collect)
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(request["voice"].encode()) != 0:
        return {"error": f"espeak-ng has no voice {request['voice']!r}"}, b""
    settings = ((RATE, "rate"), (PITCH, "pitch"), (PITCH_RANGE, "pitch_range"))
    for parameter, name in settings:
        library.espeak_SetParameter(parameter, request[name], 0)
    library.espeak_SetParameter(VOLUME, 100, 0)
    text = request["text"].encode()
    status = library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 1, 0, TEXT_IS_UTF8, None, None)
    if status != 0:
        return {"error": f"espeak-ng could not say {request['text']!r} (status {status})"}, b""
    return {"phonemes": phonemes}, bytes(audio)


def transcribe(library: Any, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """The pronunciation of each text, in IPA: phonemes apart by underscores, words by spaces, clauses by new lines."""
    if library.espeak_SetVoiceByName(request["voice"].encode()) != 0:
        return {"error": f"espeak-ng has no voice {request['voice']!r}"}, b""
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    transcripts = []
    for text in request["texts"]:
        rest, clauses = ctypes.c_char_p(text.encode()), []
        while rest.value is not None:  # the library moves the pointer behind what it has read, at last to nothing
            clause = library.espeak_TextToPhonemes(ctypes.byref(rest), TEXT_IS_UTF8, IPA_WITH_UNDERSCORES)
            clauses.append((clause or b"").decode("utf-8", "replace"))
        transcripts.append("\n".join(clauses))
    return {"transcripts": transcripts}, b""


def _answer(header: dict[str, Any], audio: bytes = b"") -> None:
    encoded = json.dumps(header | {"bytes": len(audio)}).encode()
    sys.stdout.buffer.write(struct.pack("<Q", len(encoded)) + encoded + audio)
    sys.stdout.buffer.flush()


def main(library_path: str, data_path: str) -> None:
    library = ctypes.CDLL(library_path)
    options = PHONEME_EVENTS_IN_IPA | DO_NOT_EXIT
    sample_rate = library.espeak_Initialize(SYNCHRONOUS, 0, data_path.encode(), options)
    _answer({"sample_rate": sample_rate})
    for line in sys.stdin.buffer:
        if not line.strip():
            return
        child = os.fork()
        if child == 0:
            code = 1
            try:
                request = json.loads(line)
                _answer(*(transcribe if "texts" in request else speak)(library, request))
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if status != 0:
            _answer({"error": f"espeak-ng ended without an answer (wait status {status})"})


if __name__ == "__main__":
    main(*sys.argv[1:])
