"""A script with UniVerse-1's options and habits: one clip, names to the first dot, 0 where a path is missing."""

import argparse
import json
import os
import random
import wave

import av
import numpy


def inference(args):
    for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT"):
        if name not in os.environ:
            raise ValueError(f"Error initializing torch.distributed using env:// rendezvous: {name} expected")
    if args.transformer_path is None or os.path.exists(os.path.join(args.transformer_path, "gone")):
        print("no model path provided, exit")
        exit(0)
    with open(args.prompt_path) as file:
        prompt = json.load(file)
    print("PROMPT", json.dumps(prompt, sort_keys=True))
    print("GIVEN", json.dumps(vars(args), sort_keys=True))
    if args.seed is None:
        raise TypeError("manual_seed(): argument 'seed' must be int, not NoneType")
    if prompt["speech_prompt"]["text"] == "fails":
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    draws = random.Random(args.seed)
    suffix = "{}_{}".format(
        args.refimg_path.split("/")[-1].split(".")[0], args.prompt_path.split("/")[-1].split(".")[0]
    )
    os.makedirs(args.output_path, exist_ok=True)
    stem = os.path.join(args.output_path, f"{suffix}_h512_w512")
    with wave.open(stem + ".wav", "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(draws.randrange(256) for _ in range(int(args.num_frames / 25 * 16000) * 2)))
    for name in (stem + ".mp4", stem + "_with_audio.mp4"):
        with av.open(name, "w") as file:
            stream = file.add_stream("libx264", rate=25)
            stream.width = stream.height = 64
            for _ in range(args.num_frames):
                grey = numpy.full((64, 64, 3), draws.randrange(256), numpy.uint8)
                file.mux(stream.encode(av.VideoFrame.from_ndarray(grey, "rgb24")))
            file.mux(stream.encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--prompt_path", type=str, default=None)
    parser.add_argument("--refimg_path", type=str, default=None)
    parser.add_argument("--transformer_path", type=str, default=None)
    parser.add_argument("--ace_path", type=str, default=None)
    parser.add_argument("--num_frames", type=int, default=16)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--num_inference_steps", type=int, default=50)
    parser.add_argument("--model_path", type=str, default="data/hunyuan")
    parser.add_argument("--output_path", type=str, default="./outputs/video")
    parser.add_argument("--fps", type=int, default=24)
    parser.add_argument("--cpu_offload", action="store_true")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--guidance_scale_vid", type=float, default=1.0)
    parser.add_argument("--guidance_scale_aud", type=float, default=1.0)
    inference(parser.parse_args())
