"""Configurations and arrangements: strict reading, helpful errors."""

import dataclasses

import pytest

from reference_model.arrangement import Arrangement
from reference_model.config import SIZES, ConfigError, ModelConfig


@pytest.mark.parametrize("name", SIZES)
def test_named_sizes_survive_a_round_trip(name):
    config = ModelConfig.named(name)
    assert ModelConfig.from_dict(config.to_dict()) == config


def test_absent_settings_keep_the_release_s_value():
    assert ModelConfig.from_dict({}) == ModelConfig.named("release")
    changed = ModelConfig.from_dict({"backbone": {"num_hidden_layers": 3}})
    assert dataclasses.replace(changed, backbone=ModelConfig().backbone) == ModelConfig()
    assert changed.backbone.num_hidden_layers == 3


@pytest.mark.parametrize(
    "values, complaint",
    [
        ({"patchsize": 4}, "unknown key 'patchsize'; did you mean patch_size"),
        ({"head": {"layer": 4}}, "unknown key 'head.layer'; did you mean layers"),
        ({"patch_size": "4"}, "'patch_size': Input should be a valid integer, got '4'"),
        ({"patch_size": 0}, "'patch_size': Input should be greater than 0, got 0"),
        ({"head": 3}, "'head': Input should be an object, got 3"),
        ({"head": {"heads": 7}}, "head.heads = 7 must divide the width 1024"),
        ({"backbone": {"num_key_value_heads": 3}}, "must be a multiple of num_key_value_heads"),
        ({"arrangement": "delay(-1)"}, "unknown token arrangement 'delay\\(-1\\)'; expected one of add"),
    ],
)
def test_wrong_settings_say_what_to_write(values, complaint):
    with pytest.raises(ValueError, match=complaint):
        ModelConfig.from_dict(values)


def test_an_unknown_size_lists_the_known_ones():
    with pytest.raises(ConfigError, match="no size is called 'tny'; did you mean tiny"):
        ModelConfig.named("tny")


def sequence(text, patches=3):
    """Spell out which patches each token holds, from the arrangement's own arithmetic."""
    layout = Arrangement.parse(text)
    tokens: dict[int, list[str]] = {}
    for modality, letter in (("speech", "a"), ("motion", "v")):
        for patch in range(patches):
            tokens.setdefault(layout.token(modality, patch), []).append(f"{letter}{patch}")
    assert max(tokens) < layout.slots(patches, patches) * layout.tokens_per_slot
    return ["+".join(tokens.get(i, ["-"])) for i in range(max(tokens) + 1)]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("add", "a0+v0 a1+v1 a2+v2"),
        ("delay(0)", "a0+v0 a1+v1 a2+v2"),
        ("delay(1)", "a0 a1+v0 a2+v1 v2"),
        ("delay(3)", "a0 a1 a2 v0 v1 v2"),
        ("interleaved_av", "a0 v0 a1 v1 a2 v2"),
        ("interleaved_va", "v0 a0 v1 a1 v2 a2"),
    ],
)
def test_arrangements_are_those_of_table_4(text, expected):
    assert sequence(text) == expected.split()


def test_tts_needs_no_slots_for_motion():
    assert Arrangement.parse("delay(3)").slots(5, 0) == 5
