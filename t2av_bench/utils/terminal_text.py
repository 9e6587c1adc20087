"""Names, texts and reasons that users and files bring in, on their way to a terminal or a spreadsheet.

A file name may hold an escape sequence that clears the screen or renames its window, a manifest's text a formula that a
spreadsheet runs. Both are shown instead: ``printable`` for whatever is written to a terminal, ``spreadsheet_field`` for
CSV. What is stored and compared keeps its characters.
"""

import re

# Controls of both halves, DEL, line and paragraph ends, the signs that turn the direction of what follows them, and
# halves of characters, which no terminal can be sent.
_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_IN_LINES = re.compile(f"[{_CONTROLS}]")
_IN_ONE_LINE = re.compile(f"[{_CONTROLS}\t\n]")
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def printable(text: str, *, one_line: bool = False) -> str:
    r"""The text with control characters written out (``\u001b``), so that a terminal shows them and obeys none.

    Tabs and line ends stay where they are layout, and are written out too where ``one_line`` is asked for. The form is
    JSON's: a JSON document stays the same document.
    """
    return (_IN_ONE_LINE if one_line else _IN_LINES).sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def spreadsheet_field(value: object) -> str:
    """A field of a CSV file that no spreadsheet takes for a formula: an apostrophe stands before such a text.

    Numbers stay numbers, negative ones too. Control characters are written out as by ``printable``.
    """
    text = str(value)
    guarded = f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
    return printable(guarded, one_line=True)


def echo(message: object = "", *, err: bool = False, nl: bool = True) -> None:
    """``typer.echo`` of printable text."""
    import typer  # a quarter of a worker's start, and a worker echoes nothing

    typer.echo(printable(str(message)), err=err, nl=nl)
