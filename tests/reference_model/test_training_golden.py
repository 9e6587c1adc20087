"""Training forward, its losses and its gradients against the official release (golden 07)."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from golden import cases, check_outputs
from random_models import golden_config, golden_model

from reference_model import names
from reference_model.modules.backbone import hidden_states
from reference_model.modules.flow_matching import LossDraws, LossSettings, flow_matching_loss
from reference_model.modules.stop_predictor import IGNORED
from reference_model.training.collate import collate
from reference_model.training.config import AidsConfig
from reference_model.training.forward import LossRecipe, flow_rows, sequence_embeddings
from reference_model.training.layout import Layout, totals
from reference_model.training.objective import Objective
from reference_model.training.samples import Sample


def micro_batch(case, config, recipe):
    """The case's batch through our own collating, with the case's tokens and random numbers in place of ours."""
    given, samples, layouts = case.inputs, [], []
    lengths = zip(given["mel_len"].tolist(), given["motion_len"].tolist(), strict=True)
    for row, (speech, motion) in enumerate(lengths):
        tokens, ids = int(given["attention_mask"][row].sum()), given["input_ids"][row]
        start, end = given["speech_span"][row].tolist()
        if start < 0:  # no placeholder at all
            start = end = tokens
        samples.append(
            Sample(
                ids[:start],
                given["speech_latents"][row, :speech],
                given["speaker_emb"][row],
                given["motion"][row, :motion] if motion else None,
                ids[end:tokens],
            )
        )
        layouts.append(Layout.of(tokens, start, end, {"speech": speech, "motion": motion}, config))
    whole = totals(layouts, config, recipe.stop_positive_factor)
    part = collate(samples, layouts, range(len(samples)), whole, config, AidsConfig(), recipe.repeats)
    for name, rows in part.modalities.items():
        draws = case.draws(f"draw.{name}.")
        rows.draws = LossDraws(draws["u_cfg"], draws["u_cond"], draws["s_t"], draws["z"].mT)
    return dataclasses.replace(part, input_ids=given["input_ids"], task=given["task_tag"])


@pytest.mark.parametrize("case", cases("07"))
def test_training_forward(case):
    model, config, run = golden_model(case), golden_config(case), case.config["run"]
    recipe = LossRecipe(motion_weight=float(run["motion_cfm_weight"]), repeats=run["cfm_k_repeat"], flow=LossSettings())
    part = micro_batch(case, config, recipe)
    mask = F.pad(case.inputs["attention_mask"].bool(), (1, 0), value=True)
    labels = torch.full(mask.shape, IGNORED)
    labels.view(-1)[part.labelled] = part.labels

    embeddings = sequence_embeddings(model, part)
    hidden = hidden_states(model.backbone, embeddings) * mask[..., None]
    losses = Objective(model, recipe, AidsConfig())(part)
    losses.loss.backward()
    found = {
        "inputs_embeds": embeddings,
        "hidden": hidden,
        "logits_lm": model.backbone.lm_head(hidden),
        "stop_labels": labels,
        "stop_logits": model.stop_predictor(hidden) * mask,
        "stop_pos_weight_used": part.stop_weight,
        "loss_stop": losses.stop,
        "loss_total": losses.loss,
    }
    for name, rows in part.modalities.items():
        row = flow_rows(rows, hidden)
        found |= {
            f"{name}.x1": row.target.mT,
            f"{name}.mu": row.hidden,
            f"{name}.cond": row.context.mT,
            f"{name}.global_cond": row.condition,
            # Without rows the release states the loss of its dummy, and adds none of it to the total.
            f"loss_{name}_cfm": flow_matching_loss(
                model.head(name), row.target, row.hidden, row.context, row.condition, rows.draws, recipe.flow
            ),
        }
    parameters = names.model(config).state_to_release(dict(model.named_parameters()))
    gradients = {name: parameter.grad for name, parameter in parameters.items()}
    check_outputs(case, found | {f"grad.{name}": gradient for name, gradient in gradients.items()})
    for name, norm in case.meta.get("grad_norms", {}).items():
        torch.testing.assert_close(gradients[name].norm(), torch.tensor(float(norm)), rtol=1e-4, atol=1e-5)
