"""rich's console and text column, for texts that users and files bring in: shown as they are, and never obeyed."""

from typing import Any

import rich.console
import rich.progress
from rich.text import Text

from t2av_bench.utils.terminal_text import printable


class Console(rich.console.Console):
    """Prints strings with their control characters written out."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(printable(each) if isinstance(each, str) else each for each in objects), **options)


class TextColumn(rich.progress.TextColumn):
    """A column of text without markup: ``[/]`` in a clip's id is no closing tag."""

    def __init__(self, text_format: str) -> None:
        super().__init__(text_format, markup=False)

    def render(self, task: rich.progress.Task) -> Text:
        return Text(printable(super().render(task).plain, one_line=True))
