"""Same options, names and habits as the script at the commit of its specification; ends with 0 whatever happens."""

import argparse
import json
import os
import time
import wave

import av
import numpy

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--config", type=str, default="./configs/prompts/animation.yaml")
parser.add_argument("-W", type=int, default=512)
parser.add_argument("-H", type=int, default=512)
parser.add_argument("-L", type=int, default=1200)
parser.add_argument("--seed", type=int, default=420)
parser.add_argument("--cfg", type=float, default=2.5)
parser.add_argument("--steps", type=int, default=30)
parser.add_argument("--fps", type=int, default=24)
parser.add_argument("--context_frames", type=int, default=12)
parser.add_argument("--context_overlap", type=int, default=3)
parser.add_argument("--facecrop_dilation_ratio", type=float, default=0.5)
parser.add_argument("--device", type=str, default="cuda")
args = parser.parse_args()
print("noise on the standard output", flush=True)
config, cases = open(args.config).read().split("test_cases:\n")
assert "fp16" in config
given = [json.loads(line.strip().lstrip("- ").rstrip(":")) for line in cases.splitlines() if line.strip()]
for image, audio in zip(given[::2], given[1::2], strict=True):
    if "bad" in os.path.realpath(image):
        print("Traceback")
        continue
    if "stuck" in os.path.realpath(image):
        time.sleep(1000)
    if "torn" in os.path.realpath(image):
        os.abort()
    names = [os.path.splitext(os.path.basename(path))[0] for path in (image, audio)]
    now = time.strftime("%H%M")
    folder = f"output/{time.strftime('%Y%m%d')}/{now}--seed_{args.seed}-{args.W}x{args.H}"
    os.makedirs(folder, exist_ok=True)
    with wave.open(audio) as sound:
        frames = -(-args.fps * sound.getnframes() // sound.getframerate())
    with av.open(f"{folder}/{'_'.join(names)}_{args.H}x{args.W}_{int(args.cfg)}_{now}_withaudio.mp4", "w") as file:
        stream = file.add_stream("mpeg4", rate=args.fps)
        stream.width, stream.height = args.W, args.H
        for _ in range(frames):
            picture = numpy.zeros((stream.height, stream.width, 3), numpy.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
