"""The reference's journal for losses of other names."""

import time

from reference_model.training.journal import Journal


class LossJournal(Journal):
    """``metrics.jsonl`` as the reference writes it, and progress that shows whatever losses there are."""

    def train(self, step: int, means: dict[str, float], rate: float, epochs: dict[str, float]) -> None:
        now = time.monotonic()
        clock = {
            "frames_per_second": round(self.tokens / max(now - self.last_line, 1e-9), 1),
            "padding": round(1 - self.tokens / max(self.places, 1), 4),
            "epoch": {name: round(epoch, 4) for name, epoch in epochs.items()},
            "seconds": round(now - self.started, 2),
        }
        self._line({"kind": "train", "step": step, **means, "learning_rate": rate, **clock})
        self.last_line, self.tokens, self.places = now, 0, 0
        left = (now - self.started) / max(step - self.first_step, 1) * (self.end_step - step)
        self.say(f"step {step}/{self.end_step}  {shown(means)}  rate {rate:.1e}  {left:.0f} s left", passing=True)

    def validation(self, step: int, losses: dict[str, float]) -> None:
        self._line({"kind": "validation", "step": step, **losses})
        self.say(f"step {step}  validation: {shown(losses)}")


def shown(losses: dict[str, float]) -> str:
    """``loss 0.8312 (speech 0.4121, motion 0.4012)``."""
    parts = [f"{name.removesuffix('_loss')} {value:.4f}" for name, value in losses.items() if name.endswith("_loss")]
    return f"loss {losses['loss']:.4f} ({', '.join(parts)})"
