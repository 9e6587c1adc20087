"""The embedded benchmark's lip-sync network: mouths and sound of 0.2 s into one space of 128 dimensions."""

from torch import Tensor, nn
from torch.nn.functional import normalize

EMBEDDING = 128
WINDOW = 5
MOUTH_HEIGHT, MOUTH_WIDTH = 44, 52
AUDIO_ROWS, MEL_BANDS = 20, 40


class SyncNetwork(nn.Module):
    """Two convolutional branches. 0.66 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.mouth = nn.Sequential(
            _block(WINDOW, 32, 2), _block(32, 48, 2), _block(48, 64, 2), _block(64, 96, 2),
            nn.Flatten(), nn.Linear(96 * 3 * 4, 256), nn.ReLU(), nn.Linear(256, EMBEDDING),
        )  # fmt: skip
        self.audio = nn.Sequential(
            _block(1, 24, (1, 2)), _block(24, 32, 2), _block(32, 48, 2), _block(48, 64, 2),
            nn.Flatten(), nn.Linear(64 * 3 * 3, 256), nn.ReLU(), nn.Linear(256, EMBEDDING),
        )  # fmt: skip

    def embed_mouths(self, windows: Tensor) -> Tensor:
        """(n, 5, 44, 52) grey mouths in [-1, 1], five frames at 25 fps -> (n, 128) of unit length."""
        return normalize(self.mouth(windows), dim=-1)

    def embed_audio(self, windows: Tensor) -> Tensor:
        """(n, 20, 40) scaled log-mel rows, 10 ms each -> (n, 128) of unit length."""
        return normalize(self.audio(windows[:, None]), dim=-1)


def _block(inputs: int, outputs: int, stride: int | tuple[int, int]) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )
