"""The embedded benchmark's lip-sync network: mouths and sound of 0.2 s into one space of 128 dimensions."""

from torch import Tensor, nn
from torch.nn.functional import normalize

from t2av_bench.gridface.models.feature_networks import block

EMBEDDING = 128
WINDOW = 5


class SyncNetwork(nn.Module):
    """Two convolutional branches. 0.66 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.mouth = nn.Sequential(
            block(WINDOW, 32, 2), block(32, 48, 2), block(48, 64, 2), block(64, 96, 2),
            nn.Flatten(), nn.Linear(96 * 3 * 4, 256), nn.ReLU(), nn.Linear(256, EMBEDDING),
        )  # fmt: skip
        self.audio = nn.Sequential(
            block(1, 24, (1, 2)), block(24, 32, 2), block(32, 48, 2), block(48, 64, 2),
            nn.Flatten(), nn.Linear(64 * 3 * 3, 256), nn.ReLU(), nn.Linear(256, EMBEDDING),
        )  # fmt: skip

    def embed_mouths(self, windows: Tensor) -> Tensor:
        """(n, 5, 44, 52) grey mouths in [-1, 1], five frames at 25 fps -> (n, 128) of unit length."""
        return normalize(self.mouth(windows), dim=-1)

    def embed_audio(self, windows: Tensor) -> Tensor:
        """(n, 20, 40) scaled log-mel rows, 10 ms each -> (n, 128) of unit length."""
        return normalize(self.audio(windows[:, None]), dim=-1)
