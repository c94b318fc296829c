# The GPU worker: the engine with torch. Build: deploy/images/build.sh worker
#
# torch's own packages bring CUDA; from the node come only the driver and its libraries, through
# NVIDIA's container runtime. So the base is the gateway's, and no CUDA image of gigabytes is needed.
ARG BASE_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${BASE_IMAGE} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY deploy/images/build.lock deploy/images/worker.lock /src/deploy/images/
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --no-deps --require-hashes -r /src/deploy/images/build.lock \
    && python3 -m venv --without-pip /opt/venv \
    && /opt/build/bin/pip --python /opt/venv/bin/python3 install --no-cache-dir --no-deps --require-hashes -r /src/deploy/images/worker.lock
COPY pyproject.toml README.md LICENSE /src/
COPY callcenter /src/callcenter
COPY engine /src/engine
COPY personas /src/personas
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels /src \
    && /opt/build/bin/pip --python /opt/venv/bin/python3 install --no-cache-dir --no-deps /wheels/*.whl

FROM ${BASE_IMAGE}
# Triton compiles a small launcher for each kernel, in C, on the first start: hence a compiler.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev python3 python3-dev \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 callcenter \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin callcenter \
    && install -d -o 10001 -g 10001 /var/cache/callcenter
COPY --from=build /opt/venv /opt/venv
COPY LICENSE /usr/share/doc/callcenter/LICENSE
# Written are /tmp and /var/cache/callcenter (compiled kernels, a model from the hub): mount both.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    TRITON_CACHE_DIR=/var/cache/callcenter/triton \
    TORCHINDUCTOR_CACHE_DIR=/var/cache/callcenter/inductor \
    HF_HOME=/var/cache/callcenter/huggingface \
    HF_HUB_DISABLE_TELEMETRY=1
USER 10001:10001
EXPOSE 8090 8091
# A model of 17 GB loads for minutes.
HEALTHCHECK --interval=10s --timeout=5s --start-period=15m --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8091/healthz', timeout=4)"]
ENTRYPOINT ["python3", "-m", "callcenter"]
CMD ["worker"]
