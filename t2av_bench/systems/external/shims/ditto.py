"""Ditto: a portrait speaks; its noise comes from the generators of the whole process, which it does not seed."""

import hashlib
import io
import os
import pickle
import traceback

from _worker import Refused

# What arrays are made of; their bytes are encoded text in the old protocols.
ARRAYS = {"numpy": ("_frombuffer", "_reconstruct", "dtype", "ndarray", "scalar"), "_codecs": ("encode",)}


class Data(pickle.Unpickler):
    """A pickle may call whatever it names: this one lets it name arrays alone."""

    def find_class(self, module, name):
        if name not in ARRAYS.get(module.split(".")[0], ()):
            raise ValueError(f"it calls {module}.{name}")
        return super().find_class(module, name)


def trusted(path, digest):
    """ValueError where the pickle is another one than that of the digest, or without one holds more than data."""
    with open(path, "rb") as file:
        content = file.read()
    found = hashlib.sha256(content).hexdigest()
    if digest and digest != found:
        raise ValueError(f"{path} has the SHA-256 {found}, cfg_sha256 is {digest}")
    try:
        if not digest:
            Data(io.BytesIO(content)).load()
    except Exception as error:
        raise ValueError(f"{path} is not read ({error}): if you trust it, give cfg_sha256={found}") from error


def load(settings):
    options = settings["options"]
    place = [os.path.join(settings["weights"], options[name]) for name in ("cfg_pkl", "data_root")]
    for each in place:
        if not os.path.exists(each):
            raise FileNotFoundError(f"there is no {each}")
    trusted(place[0], options["cfg_sha256"])
    from stream_pipeline_offline import StreamSDK

    return {"place": place, "sdk": StreamSDK(*place), "options": options}


def make(model, request):
    from inference import run, seed_everything
    from stream_pipeline_offline import StreamSDK

    path = os.path.join(request["out_dir"], request["id"] + ".mp4")
    if model["sdk"] is None:
        model["sdk"] = StreamSDK(*model["place"])
    seed_everything(request["seed"])
    # Dictionaries of this item alone: it may write into what it is given.
    setup = {name: model["options"][name] for name in ("max_size", "sampling_timesteps", "emo")}
    try:
        run(model["sdk"], request["driving_audio"], request["identity"], path,
            more_kwargs={"setup_kwargs": setup, "run_kwargs": {}})  # fmt: skip
    except BaseException as error:
        if is_faceless(error):
            raise Refused("no_face", "Ditto found no face in the picture") from error
        model["sdk"] = None  # what its threads were at is not known
        raise
    finally:
        if os.path.exists(path + ".tmp.mp4"):
            os.remove(path + ".tmp.mp4")
    if not os.path.exists(path):
        raise RuntimeError("Ditto left no file: its ffmpeg could not join the sound, and printed why")
    return {"av": path}


def is_faceless(error):
    """It unpacks the None that stands for no face, before any thread is started."""
    within = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    return isinstance(error, TypeError) and "cannot unpack" in str(error) and "setup" in within
