"""The one exception that media files raise."""

from t2av_bench.scores import Unscorable


class MediaError(Unscorable):
    """A media file does not deliver what was asked of it. The message is the reason that the user reads."""
