"""Precision: what bfloat16 rounds, and what it is refused on."""

import warnings

import numpy as np
import pytest

from t2av_bench.errors import NotApplicable
from t2av_bench.utils import inference
from t2av_bench.utils.inference import check_dtype, full_precision, known_dtype, precision

torch = pytest.importorskip("torch")

needs_bfloat16 = pytest.mark.skipif(not inference._has_bfloat16("cpu"), reason="this processor has no bfloat16")


def network_and_pictures():
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 8, 5, bias=False).requires_grad_(False)
    return network, torch.randint(0, 256, (2, 3, 20, 20)).float()


def test_float32_is_full_precision_bit_for_bit():
    network, pictures = network_and_pictures()
    with full_precision():
        expected = network(pictures)
    with precision("float32", "cpu"):
        assert torch.equal(network(pictures), expected)


@needs_bfloat16
def test_bfloat16_rounds_weights_and_the_result_to_8_bits_and_sums_in_float32():
    """Whole numbers to 255 are exact in bfloat16, so the pictures lose nothing."""
    network, pictures = network_and_pictures()
    rounded = network.weight.bfloat16().double()
    exact = torch.nn.functional.conv2d(pictures.double(), rounded)
    with precision("bfloat16", "cpu"):
        found = network(pictures)
    assert found.dtype == torch.bfloat16
    # Half a unit in the last of 8 bits, and what 75 sums in float32 may add where they cancel.
    np.testing.assert_allclose(found.double().numpy(), exact.numpy(), rtol=2**-8, atol=1e-3)
    with precision("float32", "cpu"):
        assert not torch.equal(network(pictures), found.float())


@needs_bfloat16
def test_scripted_networks_are_rounded_too():
    network, pictures = network_and_pictures()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(network)
    for _ in range(3):  # the interpreter profiles, then compiles
        with precision("bfloat16", "cpu"):
            assert torch.equal(scripted(pictures), network(pictures))
        with precision("float32", "cpu"):
            assert torch.equal(scripted(pictures), network(pictures))


def test_a_device_without_bfloat16_says_so_and_float32_is_never_refused(monkeypatch):
    monkeypatch.setattr(inference, "_has_bfloat16", lambda device: False)
    for device, named in (("cpu", "this processor"), ("cuda:1", "cuda:1"), ("mps", "mps")):
        with pytest.raises(NotApplicable, match=f"dtype=bfloat16: {named} has no instructions .* leave dtype out"):
            check_dtype("bfloat16", device)
        with pytest.raises(NotApplicable), precision("bfloat16", device):
            raise AssertionError("reached")
        check_dtype("float32", device)


def test_processors_are_told_apart_by_what_they_can_do(monkeypatch):
    answers = {"avx512_f": False, "avx512_bf16": True}, {"amx_bf16": True}, {"bf16": True}, {"avx512_f": True}, {}
    found = []
    for answer in answers:
        inference._has_bfloat16.cache_clear()
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda answer=answer: answer, raising=False)
        found.append(inference._has_bfloat16("cpu"))
    inference._has_bfloat16.cache_clear()
    assert found == [True, True, True, False, False]


def test_other_dtypes_are_none():
    assert known_dtype("bfloat16") == "bfloat16"
    with pytest.raises(ValueError, match="dtype is 'float32' or 'bfloat16', got 'float16'"):
        known_dtype("float16")


def test_a_torch_that_cannot_tell_is_not_taken_for_a_processor_that_has_none(monkeypatch):
    monkeypatch.setattr(inference, "_has_bfloat16", lambda device: False)
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    with pytest.raises(NotApplicable, match=r"torch .* cannot tell whether this processor has .* or torch 2\.13$"):
        check_dtype("bfloat16", "cpu")
