"""Training forward, its losses and its gradients against the official release (golden 07)."""

import pytest
import torch
from build import golden_config, golden_model
from golden import cases, check

from reference_model import names
from reference_model.modules.flow_matching import LossDraws
from reference_model.training.forward import LossRecipe, TrainingBatch, training_forward


def batch_of(case) -> TrainingBatch:
    given = case.inputs
    return TrainingBatch(
        input_ids=given["input_ids"],
        attention_mask=given["attention_mask"].bool(),
        span=given["speech_span"],
        task=given["task_tag"],
        speech_latents=given["speech_latents"],
        speech_lengths=given["mel_len"],
        motion_latents=given["motion"],
        motion_lengths=given["motion_len"],
        speaker_embedding=given["speaker_emb"],
    )


def draws_of(case, modality: str) -> LossDraws:
    draws = case.draws(f"draw.{modality}.")
    return LossDraws(draws["u_cfg"], draws["u_cond"], draws["s_t"], draws["z"].mT)


@pytest.mark.parametrize("case", cases("07"))
def test_training_forward(case):
    model, run = golden_model(case), case.config["run"]
    recipe = LossRecipe(motion_weight=float(run["motion_cfm_weight"]), repeats=run["cfm_k_repeat"])
    output = training_forward(
        model, batch_of(case), recipe, {name: draws_of(case, name) for name in ("speech", "motion")}
    )
    check(case, "inputs_embeds", output.embeddings)
    check(case, "hidden", output.hidden)
    check(case, "logits_lm", model.backbone.lm_head(output.hidden))
    check(case, "stop_labels", output.stop_labels)
    check(case, "stop_logits", output.stop_logits)
    check(case, "stop_pos_weight_used", output.stop_weight)
    for modality, rows in (("speech", output.speech_rows), ("motion", output.motion_rows)):
        check(case, f"{modality}.x1", rows.target.mT)
        check(case, f"{modality}.mu", rows.hidden)
        check(case, f"{modality}.cond", rows.context.mT)
        check(case, f"{modality}.global_cond", rows.condition)
    check(case, "loss_speech_cfm", output.speech_loss)
    check(case, "loss_motion_cfm", output.motion_loss)
    check(case, "loss_stop", output.stop_loss)
    check(case, "loss_total", output.loss)

    output.loss.backward()
    parameters = names.model(golden_config(case)).state_to_release(dict(model.named_parameters()))
    for name in case.outputs:
        if name.startswith("grad."):
            gradient = parameters[name.removeprefix("grad.")].grad
            assert gradient is not None, f"{name}: no gradient reached it"
            check(case, name, gradient)
    for name, norm in case.meta.get("grad_norms", {}).items():
        gradient = parameters[name].grad
        assert gradient is not None, f"{name}: no gradient reached it"
        torch.testing.assert_close(gradient.norm(), torch.tensor(float(norm)), rtol=1e-4, atol=1e-5)
