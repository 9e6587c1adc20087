"""Our model from the configuration and weights of a golden case, or small and random; and stored noise for it."""

import torch

from reference_model.checkpoints import load_state
from reference_model.config import BackboneConfig, ModelConfig, TransformerConfig
from reference_model.model import TalkerT2AV


class StoredNoise:
    """Noise prepared beforehand: ``speech (N, P, 32)`` and ``motion (M, P, 40)``, used row by row."""

    def __init__(self, speech, motion):
        self._rows = {"speech": iter(speech), "motion": iter(() if motion is None else motion)}

    def draw(self, modality, shape):
        return next(self._rows[modality])


def golden_config(case) -> ModelConfig:
    """The configuration of golden cases 07 and 08 in our words."""
    config, weights = case.config, case.weights
    run = config.get("run", {})
    delay = run.get("delay", 0)
    embedding, head = (weights.get(f"llm.{name}.weight") for name in ("model.embed_tokens", "lm_head"))
    llm = dict(config["llm"])
    for key, default in (("rope_theta", 1e6), ("rms_norm_eps", 1e-6)):
        llm[key] = float(config.get(key, llm.get(key, default)))
    return ModelConfig(
        backbone=BackboneConfig(**llm, tie_word_embeddings=head is None or torch.equal(head, embedding)),
        patch_encoder=TransformerConfig(config["patch_encoder"]["n_layer"], config["patch_encoder"]["n_head"]),
        head=TransformerConfig(config["head"]["n_layer"], config["head"]["n_head"]),
        speech_dim=config["speech_dim"],
        motion_dim=config["motion_dim"],
        speaker_dim=config["speaker_dim"],
        patch_size=run.get("patch_size", config.get("patch_size", 4)),
        context_patches=run["context_patches"],
        fps=config.get("fps", 25),
        arrangement=f"delay({delay})" if delay else "add",
    )


def golden_model(case) -> TalkerT2AV:
    return load_state(case.weights, golden_config(case), dtype=torch.float32, source=case.name)


def random_model(config: ModelConfig, seed: int = 0) -> TalkerT2AV:
    """Random weights large enough that every input matters: stop, motion padding and conditions included."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = TalkerT2AV(config)
        with torch.no_grad():
            model.motion_padding.normal_(std=0.5)
            for parameter in model.backbone.parameters():
                if parameter.ndim == 2:
                    parameter.normal_(std=1.0 / parameter.shape[1] ** 0.5)
            model.backbone.get_input_embeddings().weight.normal_()
            for parameter in model.stop_predictor.parameters():
                parameter.normal_(std=0.3)
    return model.eval()
