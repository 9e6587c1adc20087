"""Flow-matching sampler, loss, stop predictor and stop labels against the official release (golden 04 to 06)."""

import pytest
import torch
from golden import cases, check_outputs

from reference_model import names
from reference_model.modules.diffusion_head import DiffusionHead
from reference_model.modules.flow_matching import (
    LossDraws,
    LossSettings,
    PatchSampler,
    SamplerSettings,
    dropped,
    euler,
    flow_matching_loss,
    guided,
    noised,
    sampler_times,
    time_grid,
)
from reference_model.modules.stop_predictor import IGNORED, StopPredictor, positive_weight, stop_labels, stop_loss
from reference_model.utils.strict_loading import NameMap, load_strictly


def head_of(case):
    config = case.config
    assert not config.get("mean_mode"), "the release trains and samples without it"
    head = DiffusionHead(
        config["in_channels"],
        config["global_cond_channels"],
        config["hidden_size"],
        config["n_layer"],
        config["n_head"],
    )
    pairs = names.under("estimator", "head", names.diffusion_head(config["n_layer"]))
    holder = torch.nn.ModuleDict({"head": head})
    load_strictly(holder, case.weights, names=NameMap(pairs), source=case.name)
    return head


@pytest.mark.parametrize("case", cases("04"))
@torch.no_grad()
def test_sampler(case):
    head, given, found = head_of(case), case.inputs, {}
    arguments = given["z"].mT, given["mu"], given["cond"].mT, given["global_cond"]
    for combo in case.config["combos"]:
        settings = SamplerSettings(
            steps=combo["n_timesteps"],
            temperature=combo["temperature"],
            guidance=combo["cfg_value"],
            zero_star=combo["use_cfg_zero_star"],
            sway=combo["sway_sampling_coef"],
        )
        outputs = {
            "t_span": time_grid(settings.steps, settings.sway),
            "x": PatchSampler(head, settings)(*arguments).mT,
            "traj_t": sampler_times(settings)[0][settings.still_steps :],
            **trajectory(head, settings, *arguments),
        }
        found |= {f"{name}.{combo['key']}": tensor for name, tensor in outputs.items()}
    check_outputs(case, found)


def trajectory(head, settings, noise, hidden, context, condition):
    """The samples and the velocities of both guidance branches, with the head called in the plainest way."""
    samples, velocities, (times, _) = [noise[:0]], [noise[:0]], sampler_times(settings)

    def velocity(x, step):
        time = times[step].expand(len(x))
        branches = [head(x, h, time, context, condition) for h in (hidden, torch.zeros_like(hidden))]
        samples.append(x)
        velocities.append(torch.cat(branches))
        return guided(*branches, settings.guidance, settings.zero_star)

    euler(velocity, noise, settings)
    stacked = [torch.stack(steps[1:] or steps) for steps in (samples, velocities)]
    return {"traj_x": stacked[0].mT, "traj_v": stacked[1].mT}


@pytest.mark.parametrize("case", cases("05"))
def test_loss(case):
    head, config, given = head_of(case), case.config, case.inputs
    assert config.get("t_scheduler", "log-norm") == "log-norm" and not config.get("noise_cond_scale")
    settings = LossSettings(
        hidden_dropout=config["training_cfg_rate"], context_dropout=config["training_cond_drop_rate"]
    )
    draws = LossDraws(given["u_cfg"], given["u_cond"], given["s_t"], given["z"].mT)
    hidden, context, condition = (given[name].clone().requires_grad_() for name in ("mu", "cond", "global_cond"))
    noisy, time = noised(given["x1"].mT, draws, settings)
    hidden_used, context_used = dropped(hidden, context.mT, draws, settings)
    mask = given["tgt_mask"][:, 0] if "tgt_mask" in given else None
    loss = flow_matching_loss(head, given["x1"].mT, hidden, context.mT, condition, draws, settings, mask)
    loss.backward()
    pairs = names.under("estimator", "head", names.diffusion_head(config["n_layer"]))
    parameters = NameMap(pairs).state_to_release(dict(torch.nn.ModuleDict({"head": head}).named_parameters()))
    check_outputs(
        case,
        {
            "y_t": noisy.mT,
            "t_used": time,
            "dt_used": torch.zeros_like(time),  # what the head takes where no step size is given
            "mu_used": hidden_used,
            "cond_used": context_used.mT,
            "u_pred": head(noisy, hidden_used, time, context_used, condition).mT,
            "loss": loss,
            "grad_mu": hidden.grad,
            "grad_cond": context.grad,
            "grad_global_cond": condition.grad,
            **{f"grad_w.{name}": parameter.grad for name, parameter in parameters.items()},
        },
    )


@pytest.mark.parametrize("case", cases("06a"))
def test_stop_predictor(case):
    predictor = StopPredictor(case.config["dim"])
    load_strictly(predictor, case.weights, names=NameMap(names.STOP_PREDICTOR), source=case.name)
    logits = predictor(case.inputs["h"])
    check_outputs(case, {"logits": logits, "prob": logits.sigmoid()})


@pytest.mark.parametrize("case", cases("06b"))
def test_stop_labels(case):
    found = {}
    for combo in case.config["combos"]:
        index, given = combo["index"], case.draws(f"{combo['index']}.")
        labels = stop_labels(
            given["start"],
            given["length"],
            combo["T"],
            patch_size=combo["patch_size"],
            fps=combo["fps"],
            ignore_seconds=combo["ignore_seconds"],
        )
        weight, labelled = positive_weight(labels), labels != IGNORED
        found[f"{index}.labels"] = labels
        found[f"{index}.pos_weight"] = weight
        found[f"{index}.loss"] = stop_loss(given["logits"][labelled], labels[labelled], weight * 0.3)
    check_outputs(case, found)
