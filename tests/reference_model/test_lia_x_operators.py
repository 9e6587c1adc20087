"""LIA-X's building blocks against the release's stored numbers and against plain definitions."""

import pytest
import torch
import torch.nn.functional as F
from golden import Case, cases, check

from reference_model.codecs.lia_x import names, operators, resampling
from reference_model.utils.strict_loading import NameMap, load_strictly


def build(name: str, weights: dict[str, torch.Tensor]) -> tuple[torch.nn.Module, list[tuple[str, str]]]:
    """Our module for an operation of the golden set, at the sizes of its weights, and its name pairs."""
    same = [(key, key) for key in weights]

    def shape(key: str) -> torch.Size:
        return weights[key].shape

    def modulated(key: str = "") -> tuple[int, int, int, int]:
        _, outputs, inputs, kernel, _ = shape(f"{key}weight")
        return inputs, outputs, kernel, shape(f"{key}modulation.weight")[1]

    def conv(resample: str | None = None, activated: bool = True) -> tuple[torch.nn.Module, list[tuple[str, str]]]:
        outputs, inputs, kernel, _ = next(tensor.shape for key, tensor in weights.items() if key.endswith("weight"))
        layer = operators.ConvLayer(inputs, outputs, kernel, resample=resample, activated=activated)
        return layer, names.conv_layer(filtered=resample is not None, activated=activated)

    def followed_by(built, function):
        """What the release has and its model does not use: an operation that it does use, and the rest of it."""
        built[0].register_forward_hook(lambda module, inputs, output: function(output))
        return built

    def residual(down: bool) -> tuple[torch.nn.Module, list[tuple[str, str]]]:
        outputs, inputs, _, _ = shape("conv1.0.weight")
        pairs = names.residual_block(down=down, projected=inputs != outputs)
        return operators.ResidualBlock(inputs, outputs, down=down), pairs

    def styled(up: bool = False):
        inputs, outputs, _, style_dim = modulated("conv.")
        return operators.StyledConv(inputs, outputs, style_dim, up=up), names.STYLED_CONV

    def modulated_conv(**options):
        inputs, outputs, kernel, style_dim = modulated()
        pairs = [("weight", "weight"), ("modulation", "modulation"), *([("blur", "blur")] if "up" in options else [])]
        return operators.ModulatedConv2d(inputs, outputs, kernel, style_dim, **options), pairs

    def modulated_down():
        """The blur, then every other pixel of the convolution, without the pixels that saw its padding."""
        module, pairs = modulated_conv()
        module.before = resampling.blur_before_stride(module.kernel)
        module.register_forward_pre_hook(lambda _, inputs: (module.before(inputs[0]), inputs[1]))
        inside = slice(module.kernel // 2, -(module.kernel // 2), 2)
        return followed_by((module, [*pairs, ("blur", "before")]), lambda y: y[..., inside, inside])

    def flow():
        inputs, _, _, style_dim = modulated("conv.")
        return operators.ToFlow(inputs, style_dim), names.TO_FLOW

    def rgb():
        return operators.ToRGB(shape("conv.0.weight")[1]), names.TO_RGB

    def linear():
        outputs, inputs = shape("weight")
        return operators.EqualisedLinear(inputs, outputs), same

    def equal_conv():
        outputs, inputs, kernel, _ = shape("weight")
        return operators.EqualisedConv2d(inputs, outputs, kernel, padding=kernel // 2, bias="bias" in weights), same

    def constant():
        module = torch.nn.Module()
        module.constant = torch.nn.Parameter(torch.empty(shape("input")))
        module.forward = lambda style: module.constant.expand(len(style), -1, -1, -1)
        return module, [("input", "constant")]

    builders = {
        "equal_conv3": equal_conv,
        "equal_linear": linear,
        "equal_linear_act": lambda: followed_by(linear(), lambda y: F.leaky_relu(y, 0.2) * 2**0.5),
        "blur_down": lambda: (resampling.blur_before_stride(3), same),
        "blur_down_k1": lambda: (resampling.blur_before_stride(1), same),
        "blur_up": lambda: (resampling.blur_after_upsampling(), same),
        "upsample": lambda: (resampling.upsample(), same),
        "downsample": lambda: followed_by((resampling.Filter((1, 1)), same), lambda y: y[..., ::2, ::2]),
        "fused_lrelu": lambda: (operators.FusedLeakyReLU(len(weights["bias"])), same),
        "convlayer": conv,
        "convlayer_1x1": conv,
        "convlayer_down": lambda: conv("down"),
        "convlayer_down_skip": lambda: conv("down", activated=False),
        "convlayer_up": lambda: conv("up"),
        "convlayer_nobias_act": lambda: followed_by(conv(activated=False), lambda y: F.leaky_relu(y, 0.2)),
        "modconv": modulated_conv,
        "modconv_up": lambda: modulated_conv(up=True),
        "modconv_down": modulated_down,
        "modconv_1x1_nodemod": lambda: modulated_conv(demodulate=False),
        "styled_conv": styled,
        "styled_conv_up": lambda: styled(up=True),
        "to_rgb": rgb,
        "to_rgb_skip": rgb,
        "to_flow": flow,
        "to_flow_skip": flow,
        "direction": lambda: (operators.Direction(*shape("weight")), same),
        "constant_input": constant,
        "enc_resblock": lambda: residual(True),
        "dec_resblock": lambda: residual(False),
        "dec_resblock_proj": lambda: residual(False),
        "flow_resblock": lambda: (
            operators.FlowResidualBlock(len(weights["norm.bias"]), shape("conv1.conv.modulation.weight")[1]),
            names.FLOW_RESIDUAL_BLOCK,
        ),
    }
    assert name in builders, f"the golden set has an operation {name!r} that this test does not know"
    return builders[name]()


def operations() -> list:
    found = []
    for parameter in cases("10a"):
        case = parameter.values[0]
        if case is None:
            found.append(pytest.param(None, None, marks=parameter.marks, id=parameter.id))
        else:
            found += [pytest.param(case, name, id=f"{case}-{name}") for name in case.config["ops"]]
    return found


@pytest.mark.parametrize(("case", "name"), operations())
@torch.no_grad()
def test_golden_operation(case: Case, name: str):
    weights = {key[len(name) + 1 :]: tensor for key, tensor in case.weights.items() if key.startswith(f"{name}.")}
    module, pairs = build(name, weights)
    load_strictly(module, weights, names=NameMap(pairs))
    given = [case.inputs[argument] for argument in case.config["ops"][name]["args"]]
    arguments = [argument.clone() for argument in given]
    result = module(*arguments)
    found = dict(zip(("feat_warp", "h", "flow"), result, strict=True)) if isinstance(result, tuple) else {"y": result}
    if name == "direction":
        found["Q"] = module.axes()
    stored = [key.removeprefix(f"{name}.") for key in case.outputs if key.startswith(f"{name}.")]
    assert stored and found.keys() >= set(stored)
    for part in stored:
        check(case, f"{name}.{part}", found[part])
    if name != "fused_lrelu":
        assert all(torch.equal(a, b) for a, b in zip(arguments, given, strict=True)), "an input was overwritten"


@pytest.mark.parametrize("case", cases("10a"))
def test_every_stored_output_belongs_to_an_operation(case: Case):
    assert {name.split(".")[0] for name in case.outputs} <= case.config["ops"].keys()


@torch.no_grad()
def test_modulation_equals_weights_per_sample():
    """The definition: scale the weights by the style, normalise them, convolve each sample with its own."""
    torch.manual_seed(0)
    layer = operators.ModulatedConv2d(6, 5, 3, 8)
    x, style = torch.randn(3, 6, 9, 7), torch.randn(3, 8)
    expected = []
    for i in range(3):
        weight = layer.weight[0] * layer.scale * layer.modulation(style[i : i + 1])[0, :, None, None]
        weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected.append(F.conv2d(x[i : i + 1], weight, padding=1))
    torch.testing.assert_close(layer(x, style), torch.cat(expected), atol=1e-5, rtol=1e-5)


def test_a_changed_weight_is_noticed():
    """What is derived from a weight is kept between calls, but not beyond the weight's own life."""
    torch.manual_seed(0)
    direction = operators.Direction(12, 4).requires_grad_(False)
    before = direction.axes()
    assert direction.axes() is before
    with torch.no_grad():
        direction.weight[0, 0] += 1
    torch.testing.assert_close(direction.axes(), torch.linalg.qr(direction.weight + 1e-8).Q)
    direction.load_state_dict({"weight": torch.randn(12, 4)}, assign=True)
    torch.testing.assert_close(direction.axes(), torch.linalg.qr(direction.weight + 1e-8).Q)
