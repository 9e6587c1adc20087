"""TensorFlow Lite networks by OpenCV's dnn: one picture in, arrays out."""

from collections.abc import Callable
from threading import Lock

import numpy as np

from t2av_bench import weights
from t2av_bench.utils.optional import require

Network = Callable[[np.ndarray], list[np.ndarray]]
"""(side, side, 3) float32 -> the network's outputs, that with the fewest numbers first."""


def read_network(id: str) -> Network:
    """The network of the weights with this id. NotApplicable where they, or OpenCV, are missing.

    Its outputs do not depend on OpenCV's number of threads, nor on what it saw before.
    """
    cv2 = require("cv2", "sync")
    network = cv2.dnn.readNetFromTFLite(str(weights.path(id)))
    network.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    network.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
    names = network.getUnconnectedOutLayersNames()
    # Two threads in one network get each other's outputs, without an error.
    lock = Lock()

    def run(picture: np.ndarray) -> list[np.ndarray]:
        with lock:
            network.setInput(np.ascontiguousarray(picture.transpose(2, 0, 1)[None]))
            return sorted(network.forward(names), key=np.size)

    return run
