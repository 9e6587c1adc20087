"""The release's state-dict names of LIA-X beside ours."""

from reference_model.utils.strict_loading import NameMap

from .generator import BLOCKS, RESOLUTIONS


def conv_layer(release: str, ours: str, *, filtered: bool = False, activated: bool = True) -> list[tuple[str, str]]:
    """A :class:`~.operators.ConvLayer`, numbered in the release: [filter,] convolution [, activation]."""
    parts = (["filter"] if filtered else []) + ["convolution"] + (["activation"] if activated else [])
    return [(f"{release}.{i}", f"{ours}.{part}") for i, part in enumerate(parts)]


def residual_block(release: str, ours: str, *, down: bool = False, projected: bool = False) -> list[tuple[str, str]]:
    """A :class:`.operators.ResidualBlock`."""
    pairs = conv_layer(f"{release}.conv1", f"{ours}.conv1")
    pairs += conv_layer(f"{release}.conv2", f"{ours}.conv2", filtered=down)
    if down or projected:
        pairs += conv_layer(f"{release}.skip", f"{ours}.skip", filtered=down, activated=False)
    return pairs


def styled_conv(release: str, ours: str) -> list[tuple[str, str]]:
    """A :class:`.operators.StyledConv`."""
    return [(f"{release}.conv", f"{ours}.convolution"), (f"{release}.activate", f"{ours}.activation")]


def flow_residual_block(release: str, ours: str) -> list[tuple[str, str]]:
    """A :class:`.operators.FlowResidualBlock`."""
    pairs = [(f"{release}.{name}", f"{ours}.{name}") for name in ("gamma", "norm")]
    return pairs + [pair for conv in ("conv1", "conv2") for pair in styled_conv(f"{release}.{conv}", f"{ours}.{conv}")]


def to_rgb(release: str, ours: str) -> list[tuple[str, str]]:
    """A :class:`.operators.ToRGB`."""
    pairs = [(f"{release}.bias", f"{ours}.bias"), (f"{release}.up", f"{ours}.upsample")]
    return pairs + conv_layer(f"{release}.conv", f"{ours}.convolution")


def to_flow(release: str, ours: str) -> list[tuple[str, str]]:
    """A :class:`.operators.ToFlow`."""
    return [
        (f"{release}.bias", f"{ours}.bias"),
        (f"{release}.up", f"{ours}.upsample"),
        (f"{release}.conv", f"{ours}.convolution"),
    ]


def lia_x_names() -> NameMap:
    """Release prefix beside our prefix; the same for every width."""
    stages = [f"block{n}.0" for n in range(2, 8)] + ["block_512"]
    pairs = conv_layer("enc.enc_2r.block1", "encoder.stem")
    for i, stage in enumerate(stages):
        pairs += residual_block(f"enc.enc_2r.{stage}", f"encoder.stages.{i}", down=True)
    pairs += [
        ("enc.enc_2r.block8", "encoder.to_reference"),
        ("enc.enc_r2t.0", "encoder.to_motion"),
        ("dec.direction", "decoder.direction"),
        ("dec.input.input", "decoder.constant"),
    ]
    pairs += styled_conv("dec.conv1", "decoder.first")
    for i in range(len(RESOLUTIONS)):
        ours = f"decoder.levels.{i}"
        conv, suffix = ("conv_512", "_512") if i == 0 else (f"conv{i + 1}", str(i + 1))
        pairs += styled_conv(f"dec.{conv}_1", f"{ours}.up")
        for j in range(BLOCKS):
            pairs += flow_residual_block(f"dec.{conv}_2.{j}", f"{ours}.motion_blocks.{j}")
            pairs += residual_block(f"dec.{conv}_2_rgb.{j}", f"{ours}.image_blocks.{j}")
        if i > 0:
            pairs += conv_layer(f"dec.{conv}_2_up", f"{ours}.image_up", filtered=True)
        pairs += to_rgb(f"dec.rgb{suffix}", f"{ours}.to_rgb")
        pairs += to_flow(f"dec.flow{suffix}", f"{ours}.to_flow")
    return NameMap(pairs)
