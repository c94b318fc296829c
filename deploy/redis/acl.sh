#!/bin/sh
# Prints an ACL file for Redis or Valkey (--aclfile): an account a component, each with the keys,
# channels and commands that it needs, and no other account. So a worker that was taken over can
# neither publish a configuration, nor order anything of live calls, nor write the history of calls.
#
#   REDIS_ADMIN_PASSWORD=... REDIS_GATEWAY_PASSWORD=... REDIS_WORKER_PASSWORD=... \
#     POOLS="main overflow" deploy/redis/acl.sh > users.acl
#
# `gateway` is for the SIP gateways, too. Each program logs in by its REDIS_URL:
#   redis://worker:PASSWORD@redis.example.com:6379/0
# The file holds the passwords' SHA-256 and not the passwords. What stands in brackets is allowed for
# those keys only (a selector: Redis 7, Valkey 7.2 and later): so history is added to, never deleted.
set -euf

digest() { # NAME OF A VARIABLE
  eval "value=\${$1:?is not set}"
  [ "${#value}" -ge 16 ] || { echo "$1 must have 16 characters or more" >&2; exit 1; }
  printf '#%s' "$(printf %s "$value" | sha256sum | cut -d' ' -f1)"
}

# Read before anything is printed: an error inside of $( ) ends nothing by itself.
admin=$(digest REDIS_ADMIN_PASSWORD)
gateway=$(digest REDIS_GATEWAY_PASSWORD)
worker=$(digest REDIS_WORKER_PASSWORD)

pools=
for pool in ${POOLS:-main}; do
  # The name ends at the brace, so that no pool's pattern fits another one's keys.
  pools="$pools ~{cc:$pool} ~{cc:$pool}:*"
done

# What every client says when it connects; the cluster's map, where there is one.
base='resetchannels -@all +@connection -@admin -@dangerous +cluster|slots +cluster|shards +command'
# The books of workers and calls are kept by scripts (callcenter/broker/*.lua).
broker='+eval +evalsha +script|load +time +exists +del +get +set +hget +hmget +hset +hsetnx +incr
  +pexpire +sadd +scard +smembers +srem +zadd +zrangebyscore +zrem +zscore'

user() { # NAME PASSWORD RULES...
  name=$1 password=$2
  shift 2
  echo user "$name" on "$password" $*
}

echo 'user default reset off'
user admin "$admin" $base $broker $pools \
  '~{cc:published}' '~{cc:published}:*' '~cc:voice:*' '~cc:original:*' '~cc:codes:*' '~cc:voices' \
  '~cc:reply:*' '~cc:journal' '~cc:journal:aside' '&cc:published:changed' '&cc:commands' \
  +mget +lpop +publish '+pubsub|numsub' \
  +xread +xreadgroup +xack +xautoclaim '+xgroup|create' \
  +xlen +xrange +xrevrange +xdel +xtrim '(+xadd %W~cc:journal:aside)'
user gateway "$gateway" $base $broker $pools \
  '%R~{cc:published}' '%R~{cc:published}:*' '~{cc:limits}:*' '~cc:twilio:*' '~cc:once:*' \
  '~cc:reply:*' '&cc:published:changed' '&cc:commands' \
  +getdel +pttl +expire +rpush +subscribe +unsubscribe +zcard +zremrangebyscore \
  '(+xadd %W~cc:journal)'
user worker "$worker" $base $broker $pools \
  '%R~{cc:published}' '%R~{cc:published}:*' '%R~cc:voice:*' '%R~cc:original:*' \
  '(+get +set ~cc:codes:*)'
