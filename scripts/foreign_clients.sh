#!/usr/bin/env bash
# Lets clients that share no code with this project talk to a real USleep as a program written for the codelab would:
# Python's websockets, Node's ws, and `openssl s_client`. They fragment, ping, dawdle and leave in odd ways; USleep has to
# answer each as it should, and to have written one outcome for each.
#
# The libraries' versions and digests are pinned beside the clients, in scripts/foreign_clients; they are installed into a
# temporary folder.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/foreign_clients.sh [--bin DIR]

  --bin DIR    take mock-launcher and usleep from this folder instead of building them
  -h, --help   this text

Prints one line for each scene. Exit status: 0 all went as it should, 1 something did not, 2 a tool is missing.
Needs python3 (3.10 or later) with pip, node (18 or later) with npm, openssl (3.0 or later), and a way to the registries.
TEXT
}

folder=
while (($#)); do
  case $1 in
    --bin) folder=${2:?--bin needs a folder} && shift 2 ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
  esac
done

# shellcheck source=scripts/lib_local.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib_local.sh"
need python3 'for example: apt-get install python3 python3-pip'
need node 'install Node.js 18 or later (https://nodejs.org), for example: apt-get install nodejs npm'
need npm 'for example: apt-get install npm'
need openssl 'for example: apt-get install openssl'
python3 -m pip --version >/dev/null 2>&1 || refuse 'python3 has no pip' 'for example: apt-get install python3-pip'
programs "$folder"

# The wheel without compiled parts: one digest for every machine.
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --only-binary=:all: \
  --platform any --require-hashes --target "$work/python" --requirement scripts/foreign_clients/requirements.txt
mkdir "$work/node"
cp scripts/foreign_clients/{package.json,package-lock.json,codelab.mjs} "$work/node/"
npm ci --prefix "$work/node" --silent --ignore-scripts --no-audit --no-fund

# Slow enough for a client to leave while its token is being made; version 0 takes a token for each session.
start_launcher launcher --latency 150ms
start_usleep usleep launcher 127.0.0.1:0 --rules codelab --tokens-per-second 1000
usleep=$started

# Each client prints a line for each scene: `ok` or `WRONG`, how USleep has to have logged the session, and what it was.
played=$work/played
play() { # play NAME COMMAND...
  local name=$1 verdict outcome text failed=no
  shift
  if ! "$@" >"$work/$name.scenes" 2>"$work/$name.errors"; then failed=yes; fi
  while IFS=$'\t' read -r verdict outcome text; do
    case $verdict in
      ok) scene_ok "$name: $text" ;;
      *) scene_wrong "$name: $text" ;;
    esac
    printf '%s\n' "$outcome" >>"$played"
  done <"$work/$name.scenes"
  if [[ $failed == yes ]]; then
    scene_wrong "$name: it failed"
    cat "$work/$name.errors"
  fi
}
phi=sleep/testdata/amy.json root=certs/local/root.pem
play websockets env PYTHONPATH="$work/python" python3 scripts/foreign_clients/codelab.py "$address" "$phi"
play ws node "$work/node/codelab.mjs" "$address" "$phi" "$root"
play openssl python3 scripts/foreign_clients/s_client.py "$address" "$phi"

end_process "$usleep"
expect 'usleep ends when it is told to, with exit status' 0 "$code"
for outcome in answered refused lost phi-invalid no-token draining; do
  expect "sessions that usleep logged as $outcome" "$(grep -cx "$outcome" "$played" || true)" "$(outcomes usleep "$outcome")"
done

scenes=$(wc -l <"$played")
if ((wrong)); then
  printf '%s wrong of %s scenes; what usleep logged:\n' "$wrong" "$scenes"
  cat "$work/usleep.log"
  exit 1
fi
printf 'All of it went as it should: %s scenes.\n' "$scenes"
