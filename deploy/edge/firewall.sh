#!/bin/sh
# Keeps strangers' connections away from the edge, before any program sees them, as long as it runs.
#
#   firewall.sh PORT TRUNKS PER_HOST     needs nft and the right to change the network (NET_ADMIN)
#
#   PORT      where trunks call, TCP
#   TRUNKS    the network that may call, such as 198.51.100.0/24
#   PER_HOST  connections of one of its hosts at once
#
# Kamailio judges requests, not connections: silent connections of strangers would take all that it
# has. A packet of a stranger to the port is dropped here; nothing else on this host is touched. The
# rules stand in a table of their own, which is removed at the end.
set -eu
port=${1:?usage: firewall.sh PORT TRUNKS PER_HOST}
trunks=${2:?usage: firewall.sh PORT TRUNKS PER_HOST}
per_host=${3:?usage: firewall.sh PORT TRUNKS PER_HOST}
table="callcenter_edge_$port"

case $trunks in
  *:*) family=ip6 kind=ipv6_addr other=ipv4 ;;
  *) family=ip kind=ipv4_addr other=ipv6 ;;
esac

remove() { nft delete table inet "$table" 2>/dev/null || true; }
waiting=
trap 'kill $waiting; remove; exit 0' TERM INT
remove # of a run that was killed

nft -f - <<END
table inet $table {
  set hosts {
    type $kind
    size 65535
    flags dynamic
  }
  chain edge {
    iif lo accept
    $family saddr != $trunks drop
    meta nfproto $other drop
    ct state new add @hosts { $family saddr ct count over $per_host } drop
  }
  chain input {
    type filter hook input priority -10; policy accept;
    tcp dport $port jump edge
  }
}
END
echo "port $port is open to $trunks only, $per_host connections a host"
while :; do
  sleep 3600 &
  waiting=$!
  wait $waiting
done
