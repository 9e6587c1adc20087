"""How to set up a system of other people, as commands for a person to read and run. Nothing is installed here."""

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
    """Shell commands (``uv``, ``conda``) or a Dockerfile, ending in what the user's settings then are."""
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
    """The harness stands in the same image, in an environment of its own: its pipes to the worker end at a container.

    The development image of CUDA has the compiler that lines such as flash-attn's call.
    """
    if spec.carrier == "folder":
        return []
    index = spec.environment.index
    base = f"nvidia/cuda:{_CUDA[index]}-devel-ubuntu22.04" if index in _CUDA else "ubuntu:22.04"
    tools = " ".join(dict.fromkeys(["build-essential", "ca-certificates", "git", *spec.environment.programs]))
    lines = [
        "# docker build -f Dockerfile -t t2av-bench-" + spec.id + " CHECKOUT_OF_T2AV_BENCH",
        f"FROM {base}",
        "COPY --from=ghcr.io/astral-sh/uv:latest /uv /usr/local/bin/uv",
        f"RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y {tools}",
        "COPY . /opt/t2av-bench",
        "RUN uv venv --python 3.12 /opt/harness",
    ]
    extra = f"[{','.join(filter(None, ['demo', spec.environment.extra]))}]"  # what systems check draws and speaks with
    lines.append(f"RUN uv pip install --python /opt/harness/bin/python '/opt/t2av-bench{extra}'")
    if spec.carrier == "worker":
        lines += [f"RUN {line}" for line in _clone(spec, f"/opt/{spec.id}")[:-1]]
        lines += [f"WORKDIR /opt/{spec.id}", f"RUN uv venv --python {spec.environment.python_version} .venv"]
        lines += [f"RUN {line}" for line in _pip(spec, "uv pip install --python .venv/bin/python")]
        written = _words(_settings(spec, f"/opt/{spec.id}/.venv/bin/python", f"/opt/{spec.id}", "/weights"))
        lines += [f"RUN printf '%s\\n' {written} > /opt/systems.toml", "ENV T2AV_BENCH_SYSTEMS=/opt/systems.toml"]
    lines += ['ENTRYPOINT ["/opt/harness/bin/t2av-bench"]']
    return [*lines, "# Run it with: docker run --gpus all -v /path/to/weights:/weights:ro -v $PWD:/work "
            f"t2av-bench-{spec.id} systems check {spec.id}"]  # fmt: skip


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
        lines += ["", "# Weights, below the checkout or a folder of your own:"]
        for weight in spec.weights:
            size = f" ({weight.bytes:,} bytes)" if weight.bytes else ""
            lines.append(f"#   {weight.path}{size}: {weight.role}{f', from {weight.source}' if weight.source else ''}")
    if spec.carrier == "worker" and kind != "docker":
        root = f"/path/to/{spec.id}"
        python = f"/path/to/envs/{spec.id}/bin/python" if kind == "conda" else f"{root}/.venv/bin/python"
        lines += ["", "# Then in t2av-bench's systems.toml ('t2av-bench systems doctor' says where that is):"]
        lines += [f"# {line}" for line in _settings(spec, python, root, root)]
    check = f"t2av-bench systems doctor {spec.id} && t2av-bench systems check {spec.id}"
    return [*lines, "", f"# Afterwards: {check}"] if spec.carrier != "folder" else lines


def _settings(spec: Spec, python: str, checkout: str, weights: str) -> list[str]:
    """The table of ``systems.toml``."""
    key = spec.id if re.fullmatch(r"[\w-]+", spec.id) else f'"{spec.id}"'
    return [f"[{key}]", f'python = "{python}"', f'checkout = "{checkout}"', f'weights = "{weights}"', "gpus = [0]"]
