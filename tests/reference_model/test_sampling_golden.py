"""The sampling loop against the release's three generation loops (golden 08), with the stored noise injected."""

import dataclasses

import pytest
import torch
from golden import cases, check_outputs
from random_models import StoredNoise, golden_model

from reference_model.codecs.motion_statistics import denormalise_motion, normalise_motion
from reference_model.inference.batched.sampling import generate
from reference_model.inference.recipes import RECIPES
from reference_model.inference.types import GenerationItem
from reference_model.modules.flow_matching import SamplerSettings


def recipe_of(case):
    """The recipe of the case's loop, with the case's own arguments."""
    arguments = case.config["args"]
    prefix = arguments.get("prefix_seconds", arguments.get("gt_prefix_seconds"))
    sampler = SamplerSettings(
        steps=arguments["cfm_steps"],
        temperature=arguments["cfm_temperature"],
        guidance=arguments["cfm_cfg"],
        zero_star=arguments.get("use_cfg_zero_star", True),
        sway=arguments.get("sway_sampling_coef", 1.0),
    )
    if "gt_prefix_seconds" in arguments:
        return dataclasses.replace(RECIPES["release_script"], sampler=sampler, prefix_seconds=prefix)
    name = "release_tts" if arguments["mode"] == "tts" else "release_t2av"
    patch_size = case.config["run"]["patch_size"]
    first_test = (
        arguments["min_gen_frames"] // patch_size if arguments["mode"] == "tts" else arguments["min_gen_patches"]
    )
    return dataclasses.replace(
        RECIPES[name],
        sampler=sampler,
        prefix_seconds=prefix,
        use_stop=arguments["use_stop"],
        stop_threshold=arguments["stop_threshold"],
        stop_votes=arguments["stop_k"],
        min_patches=first_test,
    )


def item_of(case, recipe):
    given, arguments, config = case.inputs, case.config["args"], case.config
    patch_size, delay = config["run"]["patch_size"], config["run"]["delay"]
    from_script = "gt_prefix_seconds" in arguments
    task = "t2av" if from_script else arguments["mode"]
    speech_frames = arguments["speech_len"] if from_script else arguments["mel_len"]
    speech, motion, first_motion, motion_frames = given["speech_latents"][0], None, given.get("first_motion"), 0
    available = speech_frames
    if from_script:
        motion_frames = len(given["motion_raw"]) // patch_size * patch_size
        motion = normalise_motion(given["motion_raw"][:motion_frames], given["motion_mean"], given["motion_std"])
        first_motion = motion[0].bfloat16().float()
        available = min(available, motion_frames)
    frames = recipe.prefix_frames(available, config["fps"], patch_size)
    patches = -(-frames // patch_size)
    if from_script:  # the script's prefix has `delay` more slots, filled with the reference's speech
        patches += delay
    spoken = frames + delay * patch_size if from_script else frames
    limit = recipe.patch_limit(speech_frames, motion_frames, patches, patch_size, delay)
    return GenerationItem(
        text_ids=given["text_ids"],
        task=task,
        max_patches=limit - (delay if task == "t2av" else 0),
        speaker_embedding=given["speaker_emb"][0],
        first_motion=None if task == "tts" else first_motion,
        speech=speech[:spoken] if spoken else None,
        motion=motion[:frames] if from_script and frames else None,
        noise=StoredNoise(given["noise_speech"].mT, given["noise_motion"].mT if "noise_motion" in given else None),
    )


@pytest.mark.parametrize("case", cases("08"))
def test_generation(case):
    model, recipe, given = golden_model(case), recipe_of(case), case.inputs
    item = item_of(case, recipe)
    (result,) = generate(model, [item], recipe, trace=True)
    trace, width = result.trace, model.config.backbone.hidden_size
    spoken = torch.cat([item.speech if item.speech is not None else torch.zeros(0, model.config.speech_dim)])
    spoken = torch.cat([spoken, *trace.drawn_speech])
    found = {
        "prefill_embeds": trace.prefill,
        "n_steps": torch.tensor(len(trace.drawn_speech)),
        "n_prefix_frames": torch.tensor(result.speech_prefix_frames),
        "step_tokens": torch.cat([torch.zeros(0, width), *(token[None] for token in trace.tokens)]),
        "hidden": torch.stack(trace.hidden),
        "stop_prob_all": torch.tensor(trace.stop_probability),
        "stop_prob_checked": torch.tensor(trace.checked),
        "speech_latents_full": spoken,
    }
    if item.task == "t2av":
        if not model.arrangement.delay:
            assert torch.equal(result.speech, spoken)
        found["motion_latents"] = generated = result.motion[result.motion_prefix_frames :]
    if "motion_raw" in given:
        raw, size = given["motion_raw"], model.config.patch_size
        raw = raw[: len(raw) // size * size]
        generated = denormalise_motion(generated, given["motion_mean"], given["motion_std"])
        found["pred_motion_raw"] = torch.cat((raw[: result.motion_prefix_frames], generated))
        found["gt_motion_raw_used"] = raw
    check_outputs(case, found)
    if "motion_norm_bf16" in given:
        motion = normalise_motion(given["motion_raw"], given["motion_mean"], given["motion_std"])
        assert torch.equal(motion.bfloat16().float(), given["motion_norm_bf16"])
    if "stop_summary" in case.meta:
        stopped = case.meta["stop_summary"]["stopped_by_stop_head"]
        assert result.stop_reason == ("predictor" if stopped else "limit")
