"""Flow-matching sampler, loss, stop predictor and stop labels against the official release (golden 04 to 06)."""

import pytest
import torch
from golden import cases, check

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
    time_grid,
)
from reference_model.modules.stop_predictor import StopPredictor, positive_weight, stop_labels, stop_loss
from reference_model.utils.strict_loading import NameMap, load_strictly


def head_of(case):
    config = case.config
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
def test_sampler(case):
    head, given = head_of(case), case.inputs
    arguments = given["mu"], given["cond"].mT, given["global_cond"]
    for combo in case.config["combos"]:
        key = combo["key"]
        settings = SamplerSettings(
            steps=combo["n_timesteps"],
            temperature=combo["temperature"],
            guidance=combo["cfg_value"],
            zero_star=combo["use_cfg_zero_star"],
            sway=combo["sway_sampling_coef"],
        )
        check(case, f"t_span.{key}", time_grid(settings.steps, settings.sway))
        with torch.no_grad():
            sampler = PatchSampler(head, settings)
            check(case, f"x.{key}", sampler(given["z"].mT, *arguments).mT)
            trajectory, velocities = trace(head, settings, given["z"].mT, *arguments)
        check(case, f"traj_x.{key}", torch.stack(trajectory).mT)
        check(case, f"traj_v.{key}", torch.stack(velocities).mT)
        check(case, f"traj_t.{key}", times_of(settings))


def trace(head, settings, noise, hidden, context, condition):
    """States and raw velocities of both branches, with the head called in the plainest way."""
    trajectory, velocities, times = [], [], times_of(settings)

    def velocity(x, step):
        time = times[step - settings.still_steps].expand(len(x))
        branches = [head(x, h, time, context, condition) for h in (hidden, torch.zeros_like(hidden))]
        trajectory.append(x)
        velocities.append(torch.cat(branches))
        return guided(*branches, settings.guidance, settings.zero_star)

    euler(velocity, noise, settings)
    return trajectory, velocities


def times_of(settings):
    from reference_model.modules.flow_matching import sampler_times

    return sampler_times(settings)[0][settings.still_steps :]


@pytest.mark.parametrize("case", cases("05"))
def test_loss(case):
    head, given = head_of(case), case.inputs
    settings = LossSettings(
        hidden_dropout=case.config["training_cfg_rate"], context_dropout=case.config["training_cond_drop_rate"]
    )
    draws = LossDraws(given["u_cfg"], given["u_cond"], given["s_t"], given["z"].mT)
    hidden, context, condition = (given[name].clone().requires_grad_() for name in ("mu", "cond", "global_cond"))
    noisy, time = noised(given["x1"].mT, draws, settings)
    hidden_used, context_used = dropped(hidden, context.mT, draws, settings)
    check(case, "y_t", noisy.mT)
    check(case, "t_used", time)
    check(case, "mu_used", hidden_used)
    check(case, "cond_used", context_used.mT)
    check(case, "u_pred", head(noisy, hidden_used, time, context_used, condition).mT)
    mask = given["tgt_mask"][:, 0] if "tgt_mask" in given else None
    loss = flow_matching_loss(head, given["x1"].mT, hidden, context.mT, condition, draws, settings, mask)
    check(case, "loss", loss)
    loss.backward()
    for name, tensor in (("mu", hidden), ("cond", context), ("global_cond", condition)):
        check(case, f"grad_{name}", tensor.grad)
    translation = NameMap(names.under("estimator", "head", names.diffusion_head(case.config["n_layer"])))
    parameters = translation.state_to_release(dict(torch.nn.ModuleDict({"head": head}).named_parameters()))
    for name in case.outputs:
        if name.startswith("grad_w."):
            check(case, name, parameters[name.removeprefix("grad_w.")].grad)


@pytest.mark.parametrize("case", cases("06a"))
def test_stop_predictor(case):
    predictor = StopPredictor(case.config["dim"])
    load_strictly(predictor, case.weights, names=NameMap(names.STOP_PREDICTOR))
    logits = predictor(case.inputs["h"])
    check(case, "logits", logits)
    check(case, "prob", logits.sigmoid())


@pytest.mark.parametrize("case", cases("06b"))
def test_stop_labels(case):
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
        weight = positive_weight(labels)
        check(case, f"{index}.labels", labels)
        check(case, f"{index}.pos_weight", weight)
        check(case, f"{index}.loss", stop_loss(given["logits"], labels, weight * 0.3))
