#!/usr/bin/env bash
# A fleet of USleep on this machine, behind a balancer that passes TCP through and so ends no TLS: while clients ask, one
# USleep is killed, one is drained, and the killed one comes back. Clients that retry lose nothing.
#
# One that cuts a session after the health data has left is the owner's question, not the program's: `uwear release` asks
# again by itself only with --retry-after-release. Where this build has no such flag, the clients here start it anew, and
# the last line counts how often.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/fleet_local.sh [--bin DIR] [--clients N] [--sessions N]

  --bin DIR      take the programs from this folder instead of building them
  --clients N    clients at the same time (default 12), half of them of each version of the wire
  --sessions N   sessions of each, one after the other (default 12)
  -h, --help     this text

Exit status: 0 every session that was asked for was answered, 1 one was not, or a USleep did not do as it should,
2 a tool is missing. Needs haproxy (2.2 or later; apt-get install haproxy) and curl.
TEXT
}

folder='' clients=12 sessions=12
while (($#)); do
  case $1 in
    --bin) folder=${2:?--bin needs a folder} && shift 2 ;;
    --clients) clients=${2:?--clients needs a number} && shift 2 ;;
    --sessions) sessions=${2:?--sessions needs a number} && shift 2 ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
  esac
done

# shellcheck source=scripts/lib_local.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_local.sh"
for number in "$clients" "$sessions"; do
  [[ $number =~ ^[1-9][0-9]{0,3}$ ]] || refuse "wanted a number from 1 to 9999, got $number"
done
need haproxy 'for example: apt-get install haproxy'
need curl 'for example: apt-get install curl'
programs "$folder"

# --- The fleet --------------------------------------------------------------------------------------------------

# All clients have the balancer's address, and there are more of version 0 at once than one real launcher could serve.
raised=(--max-connections-per-address 10000 --max-sessions-waiting 256 --tokens-per-second 100)
process=() at=()
launch() { # launch NUMBER [IP:PORT]: a USleep with a launcher of its own, as on a VM of its own
  start_usleep "usleep-$1" "launcher-$1" "${2:-127.0.0.1:0}" "${raised[@]}"
  process[$1]=$started at[$1]=$address
}
for number in 1 2 3; do
  start_launcher "launcher-$number" --latency 100ms
  launch "$number"
done

# `check` alone asks whether the port is open. /readyz asks whether there are tokens, and a balancer should.
check='check inter 200ms fall 1 rise 1'
probe=''
status=$(curl --silent --insecure --output /dev/null --write-out '%{http_code}' "https://${at[3]}/readyz" || true)
if [[ $status == 200 || $status == 503 ]]; then
  probe=$'option httpchk\n  http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host usleep\n  http-check expect status 200'
  check+=' check-ssl verify none'
fi
# A loopback address of its own for each run, on USleep's own port.
balancer=127.$((RANDOM % 254 + 1)).$((RANDOM % 254 + 1)).$((RANDOM % 254 + 1))
cat >"$work/haproxy.cfg" <<CONFIG
defaults
  mode tcp
  timeout connect 2s
  timeout check 2s
  timeout client 60s
  timeout server 60s
  # A server that does not take the connection any more: the next one, before the client notices.
  retries 3
  option redispatch 1
listen usleep
  bind $balancer:8081
  balance leastconn
  $probe
  server usleep-1 ${at[1]} $check
  server usleep-2 ${at[2]} $check
  server usleep-3 ${at[3]} $check
CONFIG
haproxy -c -q -f "$work/haproxy.cfg" || refuse 'haproxy does not take the configuration' 'it has to be 2.2 or later'
haproxy -db -f "$work/haproxy.cfg" >"$work/haproxy.log" 2>&1 &
children+=("$!")
until (: <>"/dev/tcp/$balancer/8081") 2>/dev/null; do
  kill -0 "${children[-1]}" 2>/dev/null || { cat "$work/haproxy.log" >&2 && exit 1; }
  sleep 0.05
done
printf 'Three USleep behind %s:8081, health checks: %s\n' "$balancer" "$(if [[ -n $probe ]]; then echo /readyz; else echo 'open port'; fi)"

# --- The clients ------------------------------------------------------------------------------------------------

again=()
if "$bin/uwear" release --help | grep -q -- --retry-after-release; then again=(--retry-after-release); fi
touch "$work/ended"
client() { # client NUMBER: its sessions, one after the other; a line in $work/ended for each
  local session code wire=$(($1 % 2))
  for ((session = 1; session <= sessions; session++)); do
    while :; do
      code=0
      "$bin/uwear" release "$balancer" --wire "$wire" --phi sleep/testdata/amy.json --root certs/local/root.pem \
        --baseline policy/baseline.json --require-result --retry-for 60s "${again[@]}" \
        >"$work/client-$1.out" 2>"$work/client-$1.err" || code=$?
      grep 'trying again in' "$work/client-$1.out" >>"$work/retried" || true
      if ((code == 6 && ${#again[@]} == 0)) && grep -q '^Validated token and claims' "$work/client-$1.out"; then
        echo >>"$work/asked_again"
        continue
      fi
      break
    done
    if ((code == 0)); then
      echo answered >>"$work/ended"
    else
      printf 'exit %s: %s\n' "$code" "$(head -n 1 "$work/client-$1.err")" >>"$work/ended"
    fi
  done
}
touch "$work/retried" "$work/asked_again"
asked=$((clients * sessions))
workers=()
for ((number = 1; number <= clients; number++)); do
  client "$number" &
  workers+=("$!")
done
children+=("${workers[@]}")

under_load() { # under_load SHARE: returns when this many percent of the sessions have ended
  while (($(wc -l <"$work/ended") * 100 < asked * $1)); do sleep 0.05; done
  printf '%3s %% of %s sessions have ended: ' "$1" "$asked"
}
under_load 20
printf 'usleep-1 is killed (-9)\n'
kill -9 "${process[1]}"
wait "${process[1]}" 2>/dev/null || true
of_1=$(outcomes usleep-1 answered)
under_load 45
printf 'usleep-2 is drained (SIGTERM)\n'
end_process "${process[2]}"
drained=$code
under_load 65
printf 'usleep-1 comes back\n'
launch 1 "${at[1]}"
wait "${workers[@]}" || true

# --- What came of it --------------------------------------------------------------------------------------------

for number in 1 3; do end_process "${process[$number]}"; done
answered=$(grep -cx answered "$work/ended" || true)
retried=$(wc -l <"$work/retried") asked_again=$(wc -l <"$work/asked_again")
grep -vx answered "$work/ended" | sort | uniq -c || true
for number in 1 2 3; do
  log=$(outcomes "usleep-$number" answered)
  if ((log > 0)); then scene_ok "usleep-$number answered $log"; else scene_wrong "usleep-$number answered nobody"; fi
done
if (($(outcomes usleep-1 answered) > of_1)); then
  scene_ok 'usleep-1 was asked again after it had come back'
else
  scene_wrong 'usleep-1 answered nobody after it had come back'
fi
expect 'usleep-2 drained, with exit status' 0 "$drained"
expect 'sessions that it cut off' 0 "$(outcomes usleep-2 draining)"
expect 'sessions that were answered' "$asked" "$answered"
if ((wrong)); then
  cat "$work"/usleep-?.log "$work/haproxy.log"
fi
printf 'asked %s, answered %s; tries that failed before anything was sent, and were made again: %s; after it: %s\n' \
  "$asked" "$answered" "$retried" "$asked_again"
((wrong == 0))
