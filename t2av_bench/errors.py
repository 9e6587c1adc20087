"""The exceptions that a user can meet: their message is the reason that is read. And what is missing, with the cure."""

from dataclasses import dataclass


class Unscorable(Exception):
    """The clip does not deliver what the metric measures (no face, no audio stream, too short).

    The message is the reason that the user reads; the clip stays in the denominator.
    """


class NotApplicable(Exception):
    """The metric cannot be asked here: no reference, no text, missing weights or a missing package.

    The message says what to do about it (for weights: the command that fetches them).
    """


class MediaError(Unscorable):
    """A media file does not deliver what was asked of it. The message is the reason that the user reads."""


class ItemError(ValueError):
    """A manifest or a folder that cannot be used at all; the message says what to type next."""


@dataclass(frozen=True, slots=True)
class Lack:
    """What is not on this machine, in words. commands: those that bring it, in order. licences: what they accept."""

    what: str
    commands: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ": ".join(filter(None, [self.what, " && ".join(self.commands)]))
