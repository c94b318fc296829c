# The hardened SIP edge: Kamailio, rtpengine and the firewall with the configuration of deploy/edge, one
# image for all. Build from the repository's root: deploy/images/build.sh edge
# Each program gets its addresses as arguments: deploy/edge/README.md, or the chart's edge.enabled.
ARG BASE_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${BASE_IMAGE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends kamailio kamailio-tls-modules nftables rtpengine-daemon \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 callcenter \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin callcenter
COPY deploy/edge/kamailio.cfg deploy/edge/firewall.sh /etc/edge/
COPY LICENSE /usr/share/doc/callcenter/LICENSE
# Nothing is written but /tmp: run it with a read-only root. PROBE: where the program listens on TCP.
ENV PROBE=127.0.0.1/5061
USER 10001:10001
EXPOSE 5061
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/$PROBE"]
CMD ["kamailio", "-f", "/etc/edge/kamailio.cfg", "-DD", "-E", "-Y", "/tmp", "-P", "/tmp/kamailio.pid"]
