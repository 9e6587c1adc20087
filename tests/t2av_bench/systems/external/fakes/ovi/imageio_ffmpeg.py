"""Stands in for the program's package: the same generator, with fewer keywords, that encodes by PyAV."""

import av
import numpy


def write_frames(path, size, pix_fmt_in="rgb24", pix_fmt_out="yuv420p", fps=16, quality=5, bitrate=None, codec=None,
                 macro_block_size=16, output_params=None):  # fmt: skip
    with av.open(path, "w") as file:
        stream = file.add_stream(codec, rate=fps, options=dict(zip(["crf"], output_params[1:], strict=True)))
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt_out
        try:
            while True:
                pixels = yield
                frame = numpy.frombuffer(pixels, numpy.uint8).reshape(size[1], size[0], 3)
                file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, pix_fmt_in)))
        except GeneratorExit:
            file.mux(stream.encode())
