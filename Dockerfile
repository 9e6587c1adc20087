# t2av-bench in a container, for a CPU or for NVIDIA cards:
#
#   docker build -t t2av-bench .
#   docker build -t t2av-bench:cuda --build-arg TORCH=cu130 .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" -v t2av-bench:/state t2av-bench evaluate clips/ --out run
#
# With cards: docker run --gpus all … --device cuda; the driver is the host's, CUDA itself comes with torch.
# /work is where commands run; /state keeps weights and caches. EXTRA is one of pyproject.toml's: demo has every metric,
# the embedded systems and the page; all is demo and training.
# We have built no image of this file: it is linted, and its steps for a CPU were carried out in a bare Debian 12.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS build
ARG TORCH=cpu
ARG EXTRA=demo
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# pesq, pyworld and webrtcvad are compiled; the compiler stays behind in this stage.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/* \
    && pip install --no-cache-dir uv==0.13.9 \
    && python -m venv --without-pip /opt/venv
ENV VIRTUAL_ENV=/opt/venv
WORKDIR /src
# What it depends on, in a layer of its own: a change of the code installs none of it again.
COPY pyproject.toml constraints.txt ./
RUN uv pip install --no-cache --compile-bytecode --torch-backend "$TORCH" -c constraints.txt -r pyproject.toml --extra "$EXTRA"
COPY . .
RUN uv pip install --no-cache --compile-bytecode --no-deps .

FROM python:${PYTHON}-slim-bookworm
# What OpenCV's wheel takes from the system.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --no-create-home --home-dir /state bench \
    && install -d -m 1777 /work /state
COPY --from=build /opt/venv /opt/venv
# Any user may be given with --user: /state is everybody's home.
ENV PATH=/opt/venv/bin:$PATH HOME=/state
USER 1000
WORKDIR /work
ENTRYPOINT ["t2av-bench"]
CMD ["--help"]
