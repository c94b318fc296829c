# Gateway, SIP gateway, admin and test caller: everything but the model. No torch in here.
# Build from the repository's root: deploy/images/build.sh gateway
#
# Debian's own Python keeps the base small and gets Debian's security updates. build.sh replaces the
# tag by the digest that it stands for on the day of the build.
ARG BASE_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${BASE_IMAGE} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY deploy/images/build.lock deploy/images/gateway.lock /src/deploy/images/
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --no-deps --require-hashes -r /src/deploy/images/build.lock \
    && python3 -m venv --without-pip /opt/venv \
    && /opt/build/bin/pip --python /opt/venv/bin/python3 install --no-cache-dir --no-deps --require-hashes -r /src/deploy/images/gateway.lock
COPY pyproject.toml README.md LICENSE /src/
COPY callcenter /src/callcenter
COPY engine /src/engine
COPY personas /src/personas
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels /src \
    && /opt/build/bin/pip --python /opt/venv/bin/python3 install --no-cache-dir --no-deps /wheels/*.whl \
    && /opt/venv/bin/python3 -m compileall -q /opt/venv/lib

FROM ${BASE_IMAGE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 callcenter \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin callcenter
COPY --from=build /opt/venv /opt/venv
COPY personas/voices/joe.wav /usr/share/callcenter/sample.wav
COPY LICENSE /usr/share/doc/callcenter/LICENSE
# Nothing is written but /tmp: run it with a read-only root.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["python3", "-m", "callcenter"]
CMD ["gateway"]
