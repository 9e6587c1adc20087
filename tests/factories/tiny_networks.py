"""Networks with the parts and calls of published ones, small and random, as files."""

import inspect
import warnings
from pathlib import Path


def save_ltx2(place: Path) -> None:
    """A pipeline of LTX-2, 0.2 million parameters: every part is the real one, only small."""
    import torch

    from t2av_bench.utils.optional import make_torchvision_importable

    make_torchvision_importable()
    from diffusers import (
        AutoencoderKLLTX2Audio,
        AutoencoderKLLTX2Video,
        FlowMatchEulerDiscreteScheduler,
        LTX2ImageToVideoPipeline,
        LTX2VideoTransformer3DModel,
    )
    from diffusers.pipelines.ltx2 import LTX2TextConnectors
    from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, PreTrainedTokenizerFast

    signs = ["<pad>", "<eos>", "<bos>", "<unk>", *map(chr, range(32, 127))]
    tokens = Tokenizer(models.WordLevel({sign: number for number, sign in enumerate(signs)}, unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    text = {
        "vocab_size": 128, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "sliding_window": 32,
        "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2,
    }  # fmt: skip
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 28, "patch_size": 14}  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parts = {
            "scheduler": FlowMatchEulerDiscreteScheduler(),
            "tokenizer": PreTrainedTokenizerFast(
                tokenizer_object=tokens, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>",
                padding_side="left",
            ),
            "text_encoder": Gemma3ForConditionalGeneration(Gemma3Config(
                text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=120,
                boi_token_index=121, eoi_token_index=122,
            )),
            "transformer": LTX2VideoTransformer3DModel(
                in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8, cross_attention_dim=16,
                audio_in_channels=4, audio_out_channels=4, audio_num_attention_heads=2, audio_attention_head_dim=4,
                audio_cross_attention_dim=8, num_layers=30, caption_channels=32, rope_double_precision=False,
                rope_type="split",
            ),
            "connectors": LTX2TextConnectors(
                caption_channels=32, text_proj_in_factor=3, video_connector_num_attention_heads=4,
                video_connector_attention_head_dim=8, video_connector_num_layers=1,
                video_connector_num_learnable_registers=None, audio_connector_num_attention_heads=4,
                audio_connector_attention_head_dim=8, audio_connector_num_layers=1,
                audio_connector_num_learnable_registers=None, connector_rope_base_seq_len=32, rope_theta=10000.0,
                rope_double_precision=False, causal_temporal_positioning=False, rope_type="split",
            ),
            "vae": AutoencoderKLLTX2Video(
                latent_channels=4, block_out_channels=(8,), decoder_block_out_channels=(8,), layers_per_block=(1,),
                decoder_layers_per_block=(1, 1), spatio_temporal_scaling=(True,),
                decoder_spatio_temporal_scaling=(True,), decoder_inject_noise=(False, False),
                downsample_type=("spatial",), upsample_residual=(False,), upsample_factor=(1,),
                timestep_conditioning=False, patch_size=1, patch_size_t=1, encoder_causal=True, decoder_causal=False,
            ),
            "audio_vae": AutoencoderKLLTX2Audio(
                base_channels=4, output_channels=2, ch_mult=(1,), num_res_blocks=1, attn_resolutions=None,
                in_channels=2, resolution=32, latent_channels=2, norm_type="pixel", causality_axis="height",
                dropout=0.0, mid_block_add_attention=False, sample_rate=16000, mel_hop_length=160, is_causal=True,
                mel_bins=8,
            ),
            "vocoder": LTX2Vocoder(
                in_channels=16, hidden_channels=32, out_channels=2, upsample_kernel_sizes=[20, 32],
                upsample_factors=[10, 16], resnet_kernel_sizes=[3], resnet_dilations=[[1, 3, 5]],
                leaky_relu_negative_slope=0.1, output_sampling_rate=16000,
            ),
        }  # fmt: skip
    optional = [name for name in inspect.signature(LTX2ImageToVideoPipeline.__init__).parameters
                if name not in parts and name != "self"]  # fmt: skip
    LTX2ImageToVideoPipeline(**parts, **dict.fromkeys(optional)).save_pretrained(place)


def save_i3d(path: Path) -> None:
    """A random network with the call of ``i3d_torchscript.pt``: space-time filters, refuses any other use."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv3d(3, 12, (3, 7, 7), stride=(1, 4, 4))
            self.second = nn.Conv3d(12, 20, (3, 5, 5), stride=(2, 2, 2))

        def forward(
            self, video: torch.Tensor, rescale: bool = True, resize: bool = True, return_features: bool = True
        ) -> torch.Tensor:
            assert rescale and resize and return_features
            assert video.shape[1] == 3 and video.shape[2] == 16 and video.shape[3] == video.shape[4]
            assert video.dtype == torch.float32
            features = torch.relu(self.second(torch.relu(self.first(video / 127.5 - 1))))
            return features.mean(dim=[2, 3, 4])

    torch.manual_seed(0)
    network = Network().eval()
    with torch.no_grad():
        network.first.weight *= 4
        network.first.weight[:6] -= network.first.weight[:6].mean(dim=(1, 2, 3, 4), keepdim=True)
        network.second.weight *= 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(network).save(str(path))
