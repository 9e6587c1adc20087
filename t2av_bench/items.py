"""Items, and pairing files with them.

An item is one thing to generate and judge. A manifest is JSON Lines, one item a line; paths in it are relative to the
manifest's folder and may not leave it.
"""

from pydantic import BaseModel, ConfigDict


class Item(BaseModel):
    """One thing to generate and judge.

    id: unique within a run; names the clip in tables and files.
    text: what should be spoken, in the language's own script.
    language: ISO 639-1 code (``en``, ``zh``), needed wherever ``text`` is.
    generated, reference: media files; in a manifest relative to its folder.
    reference_voice: audio of the speaker to compare with (speaker similarity); the reference clip's audio otherwise.
    identity_image: the portrait that drove generation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str
    text: str | None = None
    language: str | None = None
    generated: str | None = None
    reference: str | None = None
    reference_voice: str | None = None
    identity_image: str | None = None
