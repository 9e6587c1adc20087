"""``docs/install.md``: which extra brings what, which command needs which, and what is compiled; for ``document``."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

EXTRAS = {
    "sync": "lip sync (SyncNet's and `sync/mesh`), face mesh and landmarks, cuts, flicker, frozen pictures",
    "video": "FID, KID, FVD, KVD, LPIPS, PSNR, SSIM, identity",
    "speech": "word errors, DNSMOS, UTMOS, DistillMOS, speaker and emotion, PESQ, STOI, MCD, tempo",
    "dlib": "landmark distances with dlib's points",
    "model": "Talker-T2AV, to generate with",
    "train": "training of the reference model, the baselines and the embedded models",
    "ltx": "LTX-2 and LTX-2.3, to generate with",
    "mova": "MOVA, to generate with",
    "page": "the plots of `report`, and `serve`",
    "parquet": "scores as Parquet",
    "ray": "`--engine ray`",
    "wandb": "`--log wandb`",
    "demo": "GridFace: its clips, its systems and metrics, and the page",
    "all": "all of these but LTX-2, MOVA, Ray and W&B",
    "docs": "the documentation site",
    "dev": "all that the tests use",
}
"""Extra -> what it is for, in words."""
COMPILED = {"pesq": "pesq", "pyworld": "pyworld", "Resemblyzer": "webrtcvad"}
"""Requirement of an extra -> the package that has no wheel for Linux and is written in C or C++."""
SAID_LATER = "what is missing is said before anything is measured; the rest is measured"
COMMANDS: dict[str, tuple[str, str]] = {
    "evaluate": ("those of its metrics; `--engine ray`: `ray`; `--log wandb`: `wandb`", SAID_LATER),
    "run": (
        "those of its systems and metrics; `--engine ray`: `ray`; `--log wandb`: `wandb`",
        "said first; a row that lacks its system has reasons",
    ),
    "demo": ("`demo`", "refused"),
    "generate": ("that of the system: `model` (Talker-T2AV), `demo` (embedded), `ltx`, `mova`", "refused"),
    "validity": ("those of its metrics", "refused; without `--metrics` those are left out that lack something"),
    "budget": ("those of its metrics", "said first; what lacks something has its reason in the file"),
    "attest": ("`sync`", "refused"),
    "report": ("`page` for the plots", "said first; the page has all but the plots"),
    "history": ("`page` for the plots of `--out`", "said first; the page has all but the plots"),
    "serve": ("`page`", "refused"),
    "scores": ("`parquet` for `--out FILE.parquet`", "refused"),
    "systems check": ("`demo`, to draw a face and to speak", "refused"),
    "data build": ("`demo`", "refused"),
    "data prepare": ("`speech` and `sync`, for recipes that listen and look; `--engine ray`: `ray`", "refused"),
    "train prepare": ("`model` (`--codec release`) or `demo` (`--codec gridface`)", "refused"),
    "train embedded": ("`demo` and `train`", "refused"),
    "train sync-mesh": ("`sync`", "refused"),
}
"""Command -> extras that it needs, and what becomes of it without; the base is enough for the others."""

_TEXT = """\
# Install

Written by `python -m t2av_bench.cli.document docs/` from pyproject.toml and the commands; a test keeps it so.

Python 3.11 or newer on Linux; on Windows in WSL 2; macOS is untested. From a clone of the repository, in an
environment of its own:

<!-- run -->
```console
$ pip install -c constraints.txt '.[sync,video]'
$ t2av-bench env
```

`constraints.txt` names the versions that were tested together. They are part of what a number is: with other versions
of the libraries that can move a score it has another protocol, and `regress` compares it with none of the older ones.
`t2av-bench env` says what each extra lacks here.

## Which extra

The base reads and compares runs, prints tables and pages, inspects clips, fetches weights and prepares plug-ins. What
decodes and measures with networks comes by extras, as many as you like: `'.[sync,speech,page]'`.

{extras}

**No compiler** is needed but for what the last column names. These three have no wheels for Linux, and one of them
asks for C++: `apt-get install g++` on Debian or Ubuntu, or leave `speech` out. All else comes as wheels, or as source
that is Python alone; espeak-ng, FFmpeg and OpenCV are inside of wheels.

OpenCV's wheel loads libraries of the system that a desktop has, and a bare server or container may not:
`apt-get install libgl1 libglib2.0-0`. Where they are missing, whatever needs OpenCV says so, with this line.

## Which command

Every command says what it lacks before it begins, with the line that brings it. `t2av-bench list metrics` says of
each metric whether it is ready, [metrics](metrics.md) which extra it needs.

{commands}

The base is enough for {base}.

## torch for a CPU, or for a card

Where nothing else is said, pip takes torch with CUDA: some gigabytes, of which a machine without a card has no use.
uv knows the builds by name; `cpu` may be `cu130`, or `auto`:

<!-- needs: PyTorch's own index -->
```console
$ uv pip install --torch-backend cpu -c constraints.txt '.[sync,video]'
```

With pip, install torch for the CPU from PyTorch's own index first, in the version that `constraints.txt` names. A
torchvision that was built for another torch is no fault here: what these metrics need of it works beside any. So
installed, the base takes 0.6 GB on disk, `[sync,video]` 1.8 GB and `[demo]` 2.3 GB.

## Without installing

<!-- needs: PyTorch's own index -->
```console
$ uvx --python 3.11 --torch-backend cpu -c constraints.txt --from '.[demo]' t2av-bench demo
```

uv makes an environment of its own for the command, and keeps it in its cache: about 2 GB. It needs a C++ compiler,
for `demo` has `speech` in it. Without `-c constraints.txt` the newest versions are taken, and without
`--torch-backend cpu` a torch with CUDA. Where PyTorch's own index cannot be reached, a wheel of torch for the CPU in
a folder serves as well: `UV_FIND_LINKS=FOLDER`, with the version that `constraints.txt` names, in place of
`--torch-backend cpu`. uv reads none of pip's settings.

## In a container

`Dockerfile` makes an image for a CPU, or for NVIDIA cards by `--build-arg TORCH=cu130`; commands run in `/work` as a
user that is not root, and weights stay in `/state`. **We have built no image of it**: a linter passes it, and its steps
for a CPU have been carried out in a bare Debian 12, up to the demo as that user.

<!-- needs: a Docker engine -->
```console
$ docker build -t t2av-bench .
$ docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" -v t2av-bench:/state t2av-bench evaluate clips/ --out run
```
"""


def install(commands_there: Sequence[str]) -> str:
    """The page. commands_there: names of all commands. Reads pyproject.toml of the checkout."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = ["| extra | what for | compiled on installation |", "|---|---|---|"]
    for name in project["optional-dependencies"]:
        compiled = sorted({COMPILED[each] for each in requirements(project, name) if each in COMPILED})
        extras.append(f"| `{name}` | {EXTRAS[name]} | {', '.join(compiled) or '–'} |")
    commands = ["| command | extra | without it |", "|---|---|---|"]
    commands += [f"| `{name}` | {extra} | {without} |" for name, (extra, without) in COMMANDS.items()]
    base = [f"`{name}`" for name in commands_there if name not in COMMANDS]
    return _TEXT.format(
        extras="\n".join(extras), commands="\n".join(commands), base=f"{', '.join(base[:-1])} and {base[-1]}"
    )


def requirements(project: dict, extra: str) -> set[str]:  # type: ignore[type-arg]  # of a TOML file
    """Names of the packages that an extra asks for, those of the extras in it among them."""
    found: set[str] = set()
    for line in project["optional-dependencies"][extra]:
        name = re.match(r"[\w.-]+", line)
        assert name is not None
        inside = re.match(r"t2av-bench\[(.+?)\]", line)
        if inside:
            found |= {each for part in inside[1].split(",") for each in requirements(project, part)}
        else:
            found.add(name[0])
    return found
