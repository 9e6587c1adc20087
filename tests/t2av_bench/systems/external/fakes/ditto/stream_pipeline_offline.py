"""Same class and habits as Ditto's at the commit of its specification; draws from all generators of the process."""

import json
import os
import pickle
import queue
import random
import threading

import av
import numpy
import torch


class StreamSDK:
    def __init__(self, cfg_pkl, data_root):
        with open(cfg_pkl, "rb") as file:
            self.default_kwargs = pickle.load(file)["default_kwargs"]
        os.listdir(data_root)
        print("LOADED", data_root)

    def register(self, source_path):
        return None if "noface" in source_path else ("crop", "matrix")

    def setup(self, source_path, output_path, **kwargs):
        print("GIVEN", json.dumps({**self.default_kwargs, **kwargs}))
        crop, matrix = self.register(source_path)
        self.fails = "fails" in source_path
        self.tmp_output_path = output_path + ".tmp.mp4"
        self.worker_exception, self.frames = None, queue.Queue()
        self.thread = threading.Thread(target=self.writer_worker)
        self.thread.start()

    def setup_Nd(self, N_d, fade_in=-1, fade_out=-1, ctrl_info=None):
        for _ in range(N_d):
            self.frames.put(True)

    def writer_worker(self):
        try:
            self._write()
        except Exception as error:
            self.worker_exception = error

    def _write(self):
        colour = random.randrange(40, 220), numpy.random.randint(40, 220), torch.randint(40, 220)
        with av.open(self.tmp_output_path, "w") as file:
            stream = file.add_stream("libx264", rate=25)
            stream.width = stream.height = 64
            picture = numpy.zeros((64, 64, 3), numpy.uint8) + numpy.array(colour, numpy.uint8)
            while self.frames.get():
                if self.fails:
                    raise RuntimeError("CUDA error: an illegal memory access was encountered")
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
            file.mux(stream.encode())

    def close(self):
        self.frames.put(None)
        self.thread.join()
        if self.worker_exception is not None:
            raise self.worker_exception
