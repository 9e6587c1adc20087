"""How to set up a system of other people, as commands for a person to read and run. Nothing is installed here."""

import json
import re
import shlex
from collections.abc import Iterable
from typing import Literal, get_args

from t2av_bench.systems.external.spec import Spec

Kind = Literal["uv", "conda", "docker"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_TORCH = "https://download.pytorch.org/whl/"
_CUDA = {"cu117": "11.7.1", "cu118": "11.8.0", "cu121": "12.1.1", "cu124": "12.4.1", "cu126": "12.6.3",
         "cu128": "12.8.1"}  # fmt: skip


def recipe(spec: Spec, kind: Kind = "uv") -> str:
    """Shell commands (``uv``, ``conda``) or a Dockerfile with the line that runs it, ending in what the user's settings
    then are.
    """
    if kind not in KINDS:
        raise ValueError(f"a recipe is for {', '.join(KINDS)}, got {kind!r}")
    head = [f"# {spec.title} ({spec.id}) with {kind}. Read it, then run it: t2av-bench installs nothing itself."]
    head += [f"# Written for {spec.repository} at {spec.commit}."] if spec.commit else []
    head += [f"# Licence: {line}" for line in spec.licences]
    lines = {"uv": _uv, "conda": _conda, "docker": _docker}[kind](spec)
    return "\n".join([*head, "", *lines, *_rest(spec, kind)]) + "\n"


def _uv(spec: Spec) -> list[str]:
    if spec.carrier == "folder":
        return []
    if spec.carrier == "lib":
        return [f"uv pip install '{_own(spec)}'"]
    python = "--python .venv/bin/python"
    return [*_clone(spec), f"uv venv --python {spec.environment.python_version} .venv",
            *_pip(spec, f"uv pip install {python}"),
            *(f"# The program {name} has to be on PATH." for name in spec.environment.programs)]  # fmt: skip


def _conda(spec: Spec) -> list[str]:
    if spec.carrier == "folder":
        return []
    version = spec.environment.python_version if spec.carrier == "worker" else "3.12"
    programs = "".join(f" {name}" for name in spec.environment.programs)
    lines = [f"conda create -y -n {spec.id} -c conda-forge python={version} pip{programs}"]
    run = f"conda run --no-capture-output -n {spec.id} python -m pip install"
    if spec.carrier == "lib":
        return [*lines, f"{run} '{_own(spec)}'"]
    return [*_clone(spec), *lines, *_pip(spec, run)]


def _docker(spec: Spec) -> list[str]:
    """A worker's environment in an image; its code, its weights and the harness stay outside. A library runs inside of
    the harness, which then is in the image.

    The development image of CUDA has the compiler that lines such as flash-attn's call.
    """
    if spec.carrier == "folder":
        return []
    index, id = spec.environment.index, spec.id
    base = f"nvidia/cuda:{_CUDA[index]}-devel-ubuntu22.04" if index in _CUDA else "ubuntu:22.04"
    tools = " ".join(dict.fromkeys(["build-essential", "ca-certificates", "git", *spec.environment.programs]))
    context = "CHECKOUT_OF_T2AV_BENCH" if spec.carrier == "lib" else "EMPTY_FOLDER"
    lines = [
        f"# docker build -f Dockerfile -t t2av-bench-{id} {context}",
        f"FROM {base}",
        "COPY --from=ghcr.io/astral-sh/uv:latest /uv /usr/local/bin/uv",
        "ENV UV_PYTHON_INSTALL_DIR=/opt/python",  # a home of root's is closed to others
        f"RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y {tools}",
    ]
    if spec.carrier == "lib":
        extra = f"[{','.join(filter(None, ['demo', spec.environment.extra]))}]"  # what systems check draws, speaks with
        return [
            *lines, "COPY . /opt/t2av-bench", "RUN uv venv --python 3.12 /opt/harness",
            f"RUN uv pip install --python /opt/harness/bin/python '/opt/t2av-bench{extra}'",
            'ENTRYPOINT ["/opt/harness/bin/t2av-bench"]',
            "# Run it with: docker run --gpus all -v /path/to/weights:/weights:ro -v $PWD:/work "
            f"t2av-bench-{id} systems check {id} --weights /weights",
        ]  # fmt: skip
    lines += [f"RUN {line}" for line in _clone(spec, f"/opt/{id}")[:-1]]
    lines += [f"WORKDIR /opt/{id}", f"RUN uv venv --python {spec.environment.python_version} .venv"]
    return lines + [f"RUN {line}" for line in _pip(spec, "uv pip install --python .venv/bin/python")]


def _docker_command(spec: Spec) -> list[str]:
    """What starts Python in the image, as words; places in braces are filled in by the harness."""
    mounts = ["{folder}:{folder}", "{checkout}:{checkout}:ro", "{weights}:{weights}:ro"]
    return ["docker", "run", "--rm", "--init", "--user", "{user}", "--gpus", "all", "--ipc", "host",
            "-e", "HOME={folder}/tmp",  # its own is closed to that user
            *(word for mount in mounts for word in ("-v", mount)),
            f"t2av-bench-{spec.id}", f"/opt/{spec.id}/.venv/bin/python"]  # fmt: skip


def _own(spec: Spec) -> str:
    return f"t2av-bench[{spec.environment.extra}]" if spec.environment.extra else "t2av-bench"


def _clone(spec: Spec, folder: str | None = None) -> list[str]:
    folder = folder or spec.id
    return [
        f"git clone --recurse-submodules https://github.com/{spec.repository} {folder}",
        *([f"git -C {folder} checkout --recurse-submodules {spec.commit}"] if spec.commit else []),
        f"cd {folder}",
    ]


def _pip(spec: Spec, install: str) -> list[str]:
    """Pip lines in the order in which they stand upon each other: torch, requirements, packages, what compiles."""
    needs = spec.environment
    index = f" --index-url {_TORCH}{needs.index}" if needs.index else ""
    lines = [f"{install} {_words(needs.torch)}{index}"] if needs.torch else []
    lines += [f"{install} -r {shlex.quote(file)}" for file in needs.requirements]
    lines += [f"{install} {_words(needs.packages)}"] if needs.packages else []
    if any("--no-build-isolation" in line for line in needs.after):
        lines.append(f"{install} setuptools wheel")  # with which such a line builds
    return lines + [f"{install} {_words(shlex.split(line))}" for line in needs.after]


def _words(packages: Iterable[str]) -> str:
    return " ".join(shlex.quote(each) for each in packages)


def _rest(spec: Spec, kind: Kind) -> list[str]:
    lines = []
    if spec.carrier == "folder":
        lines += ["# There is no code to install: whoever has the system makes the clips, ID.mp4 (or ID.wav) for each "
                  "item, and the row names their folder."]  # fmt: skip
    if spec.weights:
        lines += ["", f"# Weights, below {'the checkout or ' if spec.carrier == 'worker' else ''}a folder of your own:"]
        for weight in spec.weights:
            size = f" ({weight.bytes:,} bytes)" if weight.bytes else ""
            lines.append(f"#   {weight.path}{size}: {weight.role}{f', from {weight.source}' if weight.source else ''}")
    if spec.carrier == "worker":
        root, weights = f"/path/to/{spec.id}", f"/path/to/{spec.id}"
        if kind == "docker":
            # A volume may be named once.
            weights = f"/path/to/weights/of/{spec.id}"
            lines += ["", "# The code outside, which is mounted; the weights lie elsewhere:"]
            lines += [f"# {line}" for line in _clone(spec, root)[:-1]]
            command = _docker_command(spec)
            started = f"command = {json.dumps(command)}"
            lines += ["", "# t2av-bench starts it with", f"#   {shlex.join(command)}"]
        else:
            python = f"/path/to/envs/{spec.id}/bin/python" if kind == "conda" else f"{root}/.venv/bin/python"
            started = f'python = "{python}"'
        lines += ["", "# Then in t2av-bench's systems.toml ('t2av-bench systems doctor' says where that is):"]
        lines += [f"# {line}" for line in _settings(spec, started, root, weights)]
    elif spec.carrier == "lib" and kind != "docker":
        lines += [
            "",
            f"# FOLDER in t2av-bench's systems.toml ('t2av-bench systems doctor {spec.id}' says where that is):",
        ]
        lines += [f"# [{spec.id}]", f'# weights = "/path/to/weights/of/{spec.id}"']
    check = f"t2av-bench systems doctor {spec.id} && t2av-bench systems check {spec.id}"
    return [*lines, "", f"# Afterwards: {check}"] if spec.carrier != "folder" else lines


def _settings(spec: Spec, started: str, checkout: str, weights: str) -> list[str]:
    """The table of ``systems.toml``."""
    key = spec.id if re.fullmatch(r"[\w-]+", spec.id) else f'"{spec.id}"'
    return [f"[{key}]", started, f'checkout = "{checkout}"', f'weights = "{weights}"', "gpus = [0]"]
