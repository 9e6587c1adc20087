"""One item while it is generated inside a batch: its plan, its noise, its patches, its votes to stop."""

from dataclasses import dataclass, field

from torch import Tensor

from ...model import TalkerT2AV
from ..recipes import Recipe
from ..types import GenerationItem, GenerationTrace, Noise
from .plan import Plan, Source, make_plan


@dataclass
class SequenceState:
    """``step`` counts generated slots; ``patches`` holds given and drawn patches ``(P, C)`` of each modality.

    ``first_test`` is the first step at which the item may end. A ``finished`` sequence may stay in the batch, where it
    draws nothing and changes nothing.
    """

    index: int
    plan: Plan
    noise: Noise
    trace: GenerationTrace | None
    asks_stop: bool
    first_test: int
    patches: dict[str, list[Tensor]] = field(default_factory=dict)
    step: int = 0
    votes: int = 0
    finished: bool = False

    @property
    def slot(self) -> int:
        """The slot that comes next, counted from the first after the text."""
        return self.plan.first_slot + self.step

    def source(self, modality: str) -> tuple[Source, int]:
        """Where the present slot gets its patch of ``modality``, and that patch's index."""
        return ("absent", -1) if self.finished else self.plan.source(modality, self.slot)

    def votes_to_stop(self, probability: float, recipe: Recipe) -> bool:
        """Count this slot's vote; whether the item ends before the slot is drawn (section 3.2)."""
        if not self.asks_stop or self.step < self.first_test:
            return False
        if self.trace:
            self.trace.checked.append(probability)
        threshold = recipe.stop_threshold
        vote = probability > threshold or (recipe.stop_inclusive and probability == threshold)
        self.votes = self.votes + 1 if vote else 0
        return self.votes >= recipe.stop_votes


def first_state(index: int, item: GenerationItem, model: TalkerT2AV, recipe: Recipe, trace: bool) -> SequenceState:
    """Plan an item. Raises ValueError that names it when an input is missing or of a wrong shape."""
    delay = model.arrangement.delay
    try:
        plan = make_plan(item, model.config, recipe, delay)
    except ValueError as error:
        raise ValueError(f"item {index}: {error}") from None
    joint = item.task == "t2av"
    # The release may end before motion has begun.
    waits = joint and recipe.missing_motion == "encoded_zeros"
    return SequenceState(
        index,
        plan,
        item.own_noise(),
        GenerationTrace() if trace else None,
        asks_stop=recipe.use_stop and (joint or item.task == "tts"),
        first_test=max(recipe.min_patches, delay + 1 if waits else 0),
        patches={name: list(plan.given[name]) for name in ("speech", "motion")},
    )
