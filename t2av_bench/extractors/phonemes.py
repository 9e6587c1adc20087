"""English text as StyleTTS2 reads it: espeak-ng's phonemes in IPA with stress and punctuation, as symbol numbers.

The text front end of StyleTTS2 (Li et al. 2023, arXiv 2306.07691) and of what builds on it: the package phonemizer
(3.3) around espeak-ng, voice en-us, stress and punctuation kept, language switches marked.
"""

import re

from t2av_bench.errors import NotApplicable
from t2av_bench.utils.espeak import Espeak, SpeechError

VOICE = "en-us"
PARAMETERS = {"phonemes": f"espeak-ng {VOICE}, stress, punctuation", "symbols": "StyleTTS2, unknown ones dropped"}
# Number = place. The apostrophe stands twice among the last ones: the later place is its number.
SYMBOLS = (
    "$" + ';:,.!?¡¿—…"«»“” ' + "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    "ɑɐɒæɓʙβɔɕçɗɖðʤəɘɚɛɜɝɞɟʄɡɠɢʛɦɧħɥʜɨɪʝɭɬɫɮʟɱɯɰŋɳɲɴøɵɸθœɶʘɹɺɾɻʀʁɽʂʃʈʧʉʊʋⱱʌɣɤʍχʎʏʑʐʒʔʡʕʢǀǁǂǃˈˌːˑʼʴʰʱʲʷˠˤ˞↓↑→↗↘'̩'ᵻ"
)
_NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS)}
_MARK = r";:,.!?¡¿—…\"«»“”(){}\[\]"
_MARKS = re.compile(rf"(\s*[{_MARK}][{_MARK}\s]*)")


def phonemes(text: str) -> str:
    """``Hello, world`` -> ``həlˈoʊ, wˈɜːld `` (words end with a space, the last one too).

    Raises NotApplicable where espeak-ng cannot be asked, with what to do about it.
    """
    parts = _MARKS.split(" ".join(text.splitlines()).strip())
    try:
        with Espeak() as espeak:  # a process for each text: nothing that was read before can change how it is read
            spoken = espeak.ask({"texts": parts[::2], "voice": VOICE})[0]["transcripts"]
    except SpeechError as error:
        raise NotApplicable(f"the text cannot be turned into phonemes: {error}") from error
    parts[::2] = [" ".join(each.replace("_", "").split()) for each in spoken]
    return "".join(parts).rstrip(" ") + " "


def symbol_numbers(spoken: str) -> list[int]:
    """The numbers of the symbols; what the table does not have is dropped."""
    return [_NUMBERS[symbol] for symbol in spoken if symbol in _NUMBERS]
