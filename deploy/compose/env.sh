#!/bin/sh
# Writes .env beside the compose files with fresh secrets; leaves an .env that is there alone.
set -eu
umask 077
target=$(dirname "$0")/.env
[ ! -e "$target" ] || { echo "$target is there already" >&2; exit 0; }
secret() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
cat > "$target" <<END
LINK_SECRET=$(secret)
WEBRTC_SECRET=$(secret)
TURN_SECRET=$(secret)
REDIS_PASSWORD=$(secret)
GRAFANA_PASSWORD=$(secret)
# Twilio's own, from its console; this one serves test calls only:
TWILIO_AUTH_TOKEN=$(secret)
# The address under which Twilio and browsers reach the gateway (gpu.yaml):
PUBLIC_BASE_URL=https://voice.example.com
# The address of this host, as browsers see it:
EXTERNAL_IP=192.0.2.1
# Folder with the model, made by: docker compose -f gpu.yaml run --rm model
MODEL_DIR=/srv/models/personaplex-7b-v1
# A full commit id of the model's repository, and a token that has accepted its licence:
MODEL_REVISION=
HF_TOKEN=
END
echo "wrote $target"
