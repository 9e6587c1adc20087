"""LIA-X against the release's stored numbers, its key manifest, and its own promises."""

import pytest
import torch
import torch.nn.functional as F
from golden import Case, cases, check_outputs

from reference_model.codecs import MotionCodec
from reference_model.codecs.lia_x import Generator, LIAXCodec, LIAXConfig, lia_x_names, load_lia_x, operators
from reference_model.codecs.lia_x.generator import Decoder
from reference_model.codecs.motion_statistics import MotionStatistics
from reference_model.codecs.pixels import frames_to_uint8, uint8_to_frames
from reference_model.utils.strict_loading import CheckpointError

SMALL = LIAXConfig(widths=(32, 32, 32, 32), style_dim=16, motion_dim=10)


def statistics(dimensions: int) -> MotionStatistics:
    return MotionStatistics(torch.linspace(-1, 1, dimensions), torch.linspace(0.5, 2, dimensions))


# --- the whole generator ---------------------------------------------------------------------------------------------


def strided(case: Case, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Of the full tensors that are stored, the rows and columns that are stored."""
    found = {}
    for name in tensors.keys() & case.outputs.keys():
        step = tensors[name].shape[-1] // case.outputs[name].shape[-1]
        found[name] = tensors[name][..., ::step, ::step]
    return found


@pytest.mark.parametrize("case", cases("10b"))
@torch.no_grad()
def test_golden_generator(case):
    """The encoder, every level of the decoder and the release renderer's image; then two other frames in one batch."""
    codec = load_lia_x(case.weights, statistics(case.config["motion_dim"]))
    image = case.inputs["image_u8_128"].float()[None]
    image = F.interpolate(image, size=(case.config["image_size"],) * 2, mode="bilinear", align_corners=False)
    image = image / 127.5 - 1
    generator, motion, source = codec.generator, case.inputs["motion"], codec.source(image)
    direction, own = generator.decoder.direction, codec.encode_motion(image[:, None])[:, 0]
    found = {"z_s2r": source.reference, "motion_code": own, "direction": direction(motion)}
    full = {}
    for i, level in enumerate(source.features):
        full[f"feat{i}_sub"] = level
        found |= {f"feat{i}_mean": level.mean(dim=(0, 2, 3)), f"feat{i}_std": level.std(dim=(0, 2, 3))}
    for i, level in enumerate(generator.decoder.levels):
        suffix = "_512" if i == 0 else str(i + 1)
        names = [f"flow{suffix}.{part}_sub" for part in ("warp", "h", "raw")]
        level.to_flow.register_forward_hook(
            lambda module, inputs, outputs, names=names: full.update(zip(names, outputs, strict=True))
        )
        name = f"rgb{suffix}_sub"
        level.to_rgb.register_forward_hook(lambda module, inputs, output, name=name: full.update({name: output}))
    picture = source.render(codec.normalize(motion)[None, :1])[0]
    full["image_sub4"], found["image_crop"] = picture, picture[..., 200:328, 200:328]
    found |= {"image_mean": picture.mean(dim=(0, 2, 3)), "image_std": picture.std(dim=(0, 2, 3))}
    found["image_u8_sub4"] = frames_to_uint8(picture)[0, ::4, ::4]
    found |= strided(case, full)
    styles = {"image_absolute_sub8": generator.style(source.reference, motion[1:2])}
    if "alpha_start" in case.inputs:  # the source's own motion, plus the driving one's since its start
        moved = direction(motion[1:2]) - direction(case.inputs["alpha_start"])
        styles["image_relative_sub8"] = generator.style(source.reference, own) + moved
    frames = generator.decoder(source.features, torch.cat(list(styles.values()))).split(1)
    found |= strided(case, dict(zip(styles, frames, strict=True)))
    check_outputs(case, found)


@torch.no_grad()
def test_a_batch_of_frames_equals_one_at_a_time():
    """The three lowest levels, 32 x 32, with gammas that make every block count; in double precision, because
    random weights warp chaotically and blow up the last bits of float32."""
    torch.manual_seed(0)
    decoder = Decoder(SMALL).double()
    decoder.levels = decoder.levels[:3]
    for level in decoder.levels:
        for block in level.motion_blocks:
            block.gamma.normal_()
    features = [torch.randn(1, 32, size, size).double() for size in (8, 16, 32)]
    style = torch.randn(6, SMALL.style_dim).double()
    together = decoder(features, style)
    apart = torch.cat([decoder(features, style[i : i + 1]) for i in range(6)])
    assert together.std() > 0.1 and (together[0] - together[1]).abs().max() > 0.1
    torch.testing.assert_close(together, apart, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("case", cases("12c"))
def test_manifest_at_full_size(case):
    shapes = {row["key"]: tuple(row["shape"]) for row in case.meta["keys"]}
    config = LIAXConfig.from_release_state({name: torch.empty(shape, device="meta") for name, shape in shapes.items()})
    with torch.device("meta"):
        ours = Generator(config).state_dict()
    released = lia_x_names().state_to_release(ours)
    assert {name: tuple(tensor.shape) for name, tensor in released.items()} == shapes
    assert {str(tensor.dtype) for tensor in released.values()} == {"torch." + r["dtype"] for r in case.meta["keys"]}


# --- the codec -------------------------------------------------------------------------------------------------------


class SmallEncoder(torch.nn.Module):
    """Stands in where only the codec's own bookkeeping is tested: pools the image, so the codes are known."""

    def __init__(self, config: LIAXConfig):
        super().__init__()
        self.to_motion = operators.EqualisedLinear(config.style_dim, config.motion_dim)

    def forward(self, image: torch.Tensor):
        return F.adaptive_avg_pool2d(image, 4).flatten(1)[:, : SMALL.style_dim], []

    def motion_code(self, reference: torch.Tensor) -> torch.Tensor:
        return self.to_motion(reference)


@pytest.fixture
def small() -> LIAXCodec:
    torch.manual_seed(0)
    with torch.device("meta"):
        generator = Generator(SMALL)
    generator.encoder = SmallEncoder(SMALL)
    generator.decoder = torch.nn.Module()
    generator.decoder.direction = operators.Direction(SMALL.style_dim, SMALL.motion_dim)
    generator.decoder.forward = lambda features, style: style[:, :3, None, None].expand(-1, -1, 2, 2)
    return LIAXCodec(generator.requires_grad_(False), statistics(10), frames_per_batch=3)


def test_implements_the_codec_protocol(small):
    assert isinstance(small, MotionCodec)
    assert (small.latent_dim, small.image_size, small.frame_rate) == (10, 512, 25)


def test_encoding_in_batches_equals_one_at_a_time(small):
    frames = torch.rand(2, 5, 3, 512, 512) * 2 - 1
    codes = small.encode_motion(frames)
    assert codes.shape == (2, 5, 10)
    for b in range(2):
        for t in range(5):
            torch.testing.assert_close(codes[b, t], small.encode_motion(frames[b : b + 1, t : t + 1])[0, 0])
    torch.testing.assert_close(small.denormalize(small.encode(frames)), codes, atol=1e-5, rtol=1e-5)


def test_rendering_keeps_items_and_frames_apart(small):
    sources, latents = torch.rand(2, 3, 512, 512) * 2 - 1, torch.randn(2, 7, 10)
    frames = small.source(sources).render(latents)
    assert frames.shape == (2, 7, 3, 2, 2)
    for b in range(2):
        source = small.source(sources[b : b + 1])
        style = source.reference + small.generator.decoder.direction(small.denormalize(latents[b]))
        torch.testing.assert_close(frames[b, :, :, 0, 0], style[:, :3])


def test_wrong_images_and_latents_are_explained(small):
    image = torch.zeros(1, 3, 512, 512)
    with pytest.raises(ValueError, match="crop a square around the face"):
        small.encode_motion(torch.zeros(1, 1, 3, 256, 256))
    with pytest.raises(ValueError, match=r"image / 127.5 - 1"):
        small.source(image + 255)
    with pytest.raises(ValueError, match=r"must be \(1, T, 10\)"):
        small.source(image).render(torch.zeros(1, 4, 40))
    with pytest.raises(ValueError, match="40 dimensions, the generator 10"):
        LIAXCodec(small.generator, statistics(40))
    with pytest.raises(ValueError, match="multiples of 32"):
        LIAXConfig(widths=(64, 48, 32, 32))


def test_wrong_checkpoints_are_explained():
    state = lia_x_names().state_to_release(Generator(SMALL).state_dict())
    renamed = dict(state)
    renamed["dec.flow3.bais"] = renamed.pop("dec.flow3.bias")
    with pytest.raises(CheckpointError) as error:
        load_lia_x(renamed, statistics(10))
    assert "missing dec.flow3.bias [1, 3, 1, 1]; nearest: dec.flow3.bais" in str(error.value)
    with pytest.raises(CheckpointError, match=r"misshapen dec.rgb2.bias: the model has \[1, 3, 1, 1\], the file \[3\]"):
        load_lia_x(state | {"dec.rgb2.bias": torch.zeros(3)}, statistics(10))
    with pytest.raises(CheckpointError, match="not a LIA-X state dict: without dec.direction.weight"):
        load_lia_x({"weight": torch.zeros(3)}, statistics(10))


# --- statistics and pixels -------------------------------------------------------------------------------------------


def test_statistics_are_checked():
    with pytest.raises(ValueError, match="no std below zero"):
        MotionStatistics(torch.zeros(2), torch.tensor([1.0, -1]))
    with pytest.raises(ValueError, match="vectors of one length"):
        MotionStatistics(torch.zeros(2), torch.ones(3))


def test_pixels():
    frames = torch.tensor([-2.0, -1, 0, 1, 3]).reshape(5, 1, 1, 1).expand(5, 3, 1, 1)
    assert frames_to_uint8(frames)[:, 0, 0, 0].tolist() == [0, 0, 127, 255, 255]
    pixels = torch.arange(256, dtype=torch.uint8).reshape(16, 16, 1).expand(16, 16, 3)
    back = uint8_to_frames(pixels)
    assert back.shape == (3, 16, 16) and back.min() == -1 and back.max() == 1
    assert (frames_to_uint8(back).int() - pixels.int()).abs().max() <= 1
