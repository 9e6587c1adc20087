"""A command with the release's options and habits: no seed, a bounded length, a float wav beside the film."""

import argparse
import json
import os
import random
import struct
import wave

import av
import numpy

_HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--text", type=str, default="")
    parser.add_argument("--ref-audio", type=str, default=os.path.join(_HERE, "samples", "reference_audio.wav"))
    parser.add_argument("--ref-motion", type=str, default=os.path.join(_HERE, "samples", "reference_motion.pt"))
    parser.add_argument("--ref-video", type=str, default=os.path.join(_HERE, "samples", "reference_video.mp4"))
    parser.add_argument("--output", type=str, default="output.mp4")
    parser.add_argument(
        "--checkpoint-dir", type=str, default=os.environ.get("CHECKPOINT_DIR", "/dev/shm/talker-t2av-ckpt")
    )
    parser.add_argument("--llm-name", type=str, default="Qwen/Qwen3-0.6B")
    parser.add_argument("--cfm-steps", type=int, default=10)
    parser.add_argument("--cfm-temperature", type=float, default=0.3)
    parser.add_argument("--cfm-cfg", type=float, default=2.0)
    parser.add_argument("--gt-prefix-seconds", type=float, default=0.5)
    parser.add_argument("--fps", type=int, default=25)
    args = parser.parse_args()
    with av.open(args.ref_video) as file:
        width, height = file.streams.video[0].width, file.streams.video[0].height
        frames = sum(1 for _ in file.decode(video=0))
    names = ("CHECKPOINT_DIR", "WHISPERVAE_CKPT", "LIAX_CKPT", "WAVLM_CKPT")
    variables = {name: os.environ.get(name) for name in names}
    given = dict(vars(args), reference=[width, height, frames], variables=variables)
    print("GIVEN", json.dumps(given, sort_keys=True))
    if args.text == "leaves nothing":
        print("nothing to do")
        return
    if args.text == "fails":
        raise RuntimeError("shape mismatch")
    with wave.open(args.ref_audio) as file:
        voice = file.getnframes() * 25 // file.getframerate()
    # Four frames a patch: what the text wants, nine at least, and no more than the reference and fifteen.
    patches = min(max(9, len(args.text)), -(-voice // 4) + 15)
    samples = [random.uniform(-0.5, 0.5) for _ in range(patches * 4 * 960)]
    data = struct.pack(f"<{len(samples)}f", *samples)
    with open(args.output[: -len(".mp4")] + ".wav", "wb") as file:
        file.write(b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt ")
        file.write(
            struct.pack("<IHHIIHH", 16, 3, 1, 24000, 96000, 4, 32) + b"data" + struct.pack("<I", len(data)) + data
        )
    with av.open(args.output, "w") as file:
        stream = file.add_stream("mpeg4", rate=args.fps)
        stream.width = stream.height = 64
        for _ in range(patches * 4):
            grey = numpy.full((64, 64, 3), random.randrange(256), numpy.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(grey, "rgb24")))
        file.mux(stream.encode())


if __name__ == "__main__":
    main()
