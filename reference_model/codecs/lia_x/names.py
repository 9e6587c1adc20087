"""The release's state-dict names of LIA-X beside ours, table by table as the modules of :mod:`.operators`."""

from reference_model.utils.strict_loading import NameMap, Pairs, under

from .generator import BLOCKS, RESOLUTIONS

STYLED_CONV: Pairs = [("conv", "convolution"), ("activate", "activation")]
FLOW_RESIDUAL_BLOCK: Pairs = [
    ("gamma", "gamma"), ("norm", "norm"), *under("conv1", "conv1", STYLED_CONV), *under("conv2", "conv2", STYLED_CONV),
]  # fmt: skip
TO_FLOW: Pairs = [("bias", "bias"), ("up", "upsample"), ("conv", "convolution")]


def conv_layer(*, filtered: bool = False, activated: bool = True) -> Pairs:
    """A :class:`~.operators.ConvLayer`, numbered in the release: [filter,] convolution [, activation]."""
    parts = (["filter"] if filtered else []) + ["convolution"] + (["activation"] if activated else [])
    return [(str(i), part) for i, part in enumerate(parts)]


TO_RGB: Pairs = [("bias", "bias"), ("up", "upsample"), *under("conv", "convolution", conv_layer())]


def residual_block(*, down: bool = False, projected: bool = False) -> Pairs:
    """A :class:`.operators.ResidualBlock`."""
    pairs = under("conv1", "conv1", conv_layer()) + under("conv2", "conv2", conv_layer(filtered=down))
    if down or projected:
        pairs += under("skip", "skip", conv_layer(filtered=down, activated=False))
    return pairs


def lia_x_names() -> NameMap:
    """Release prefix beside our prefix; the same for every width."""
    pairs = under("enc.enc_2r.block1", "encoder.stem", conv_layer())
    for i, stage in enumerate([*(f"block{n}.0" for n in range(2, 8)), "block_512"]):
        pairs += under(f"enc.enc_2r.{stage}", f"encoder.stages.{i}", residual_block(down=True))
    pairs += [
        ("enc.enc_2r.block8", "encoder.to_reference"),
        ("enc.enc_r2t.0", "encoder.to_motion"),
        ("dec.direction", "decoder.direction"),
        ("dec.input.input", "decoder.constant"),
        *under("dec.conv1", "decoder.first", STYLED_CONV),
    ]
    for i in range(len(RESOLUTIONS)):
        conv, suffix = ("conv_512", "_512") if i == 0 else (f"conv{i + 1}", str(i + 1))
        level = under(f"{conv}_1", "up", STYLED_CONV)
        for j in range(BLOCKS):
            level += under(f"{conv}_2.{j}", f"motion_blocks.{j}", FLOW_RESIDUAL_BLOCK)
            level += under(f"{conv}_2_rgb.{j}", f"image_blocks.{j}", residual_block())
        if i > 0:
            level += under(f"{conv}_2_up", "image_up", conv_layer(filtered=True))
        level += under(f"rgb{suffix}", "to_rgb", TO_RGB) + under(f"flow{suffix}", "to_flow", TO_FLOW)
        pairs += under("dec", f"decoder.levels.{i}", level)
    return NameMap(pairs)
