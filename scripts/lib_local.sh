# shellcheck shell=bash
# shellcheck disable=SC2034 # some of what it sets is for the scripts alone
# What the scripts that play scenes on this machine share. It guarantees:
#
# - Everything lives on loopback and in one temporary folder, $work, and is gone when the script ends, however it ends.
# - A process that is started is ready when `start` returns, and is ended by its own id.
# - Each scene has one line, `ok` or `WRONG`, and one that is wrong ends in exit status 1 (`scenes_ended`).
set -euo pipefail

program=${0##*/}
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$project"
work=$(mktemp -d "${TMPDIR:-/tmp}/usleep.XXXXXX")
children=()

finish() {
  trap - EXIT INT TERM
  if ((${#children[@]})); then
    kill "${children[@]}" 2>/dev/null || true
    wait "${children[@]}" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

refuse() { # refuse WHAT [NEXT]: ends the script with 2: it cannot be done here, or was asked wrongly
  printf '%s: %s\n' "$program" "$1" >&2
  if [[ -n ${2:-} ]]; then printf '  next     %s\n' "$2" >&2; fi
  exit 2
}

need() { # need COMMAND ADVICE
  command -v "$1" >/dev/null 2>&1 || refuse "$1 is missing" "$2"
}

# programs [FOLDER]: sets bin to the folder of the programs, and builds them unless they are in FOLDER already.
programs() {
  if [[ -n ${1:-} ]]; then
    bin=$1
  else
    need cargo 'install Rust with rustup (https://rustup.rs)'
    need cc 'install a C compiler, for example: apt-get install gcc libc6-dev'
    printf 'Building (release) ...\n'
    # The features of run_local.sh, so that neither compiles it anew for the other.
    cargo build --release --locked --package mock-launcher --package usleep --package uwear --features usleep/walkthrough
    bin=${CARGO_TARGET_DIR:-target}/release
  fi
  local name
  for name in mock-launcher usleep uwear; do
    [[ -x $bin/$name ]] || refuse "there is no program $bin/$name" 'leave --bin out to build it'
  done
}

# start NAME READY COMMAND...: runs it in the background and returns as soon as it prints a line with READY in it, which
# is then $ready_line. What it prints is kept in $work/NAME.out, its log is added to $work/NAME.log; its process id is
# $started.
start() {
  local name=$1 ready=$2
  shift 2
  local pipe=$work/$name.pipe descriptor
  rm -f "$pipe"
  mkfifo "$pipe"
  "$@" >"$pipe" 2>>"$work/$name.log" &
  started=$!
  children+=("$started")
  exec {descriptor}<"$pipe"
  while IFS= read -r ready_line <&"$descriptor"; do
    printf '%s\n' "$ready_line" >>"$work/$name.out"
    if [[ $ready_line == *"$ready"* ]]; then
      cat <&"$descriptor" >>"$work/$name.out" &
      exec {descriptor}<&-
      return
    fi
  done
  printf '%s: %s ended before it was ready:\n' "$program" "$name" >&2
  cat "$work/$name.log" >&2
  exit 1
}

start_launcher() { # start_launcher NAME [FLAG...]: its socket is $work/NAME.sock
  start "$1" 'listens on' "$bin/mock-launcher" --socket "$work/$1.sock" --pki-dir certs/local "${@:2}"
}

start_usleep() { # start_usleep NAME LAUNCHER IP:PORT [FLAG...]: $address is where it listens
  start "$1" 'Starting Server..' "$bin/usleep" serve --listen "$3" --socket "$work/$2.sock" --log-format json "${@:4}"
  address=${ready_line##* }
}

# end_process PROCESS: asks it to end and waits; $code is its exit status.
end_process() {
  code=0
  kill -TERM "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || code=$?
}

outcomes() { # outcomes NAME WORD: how many sessions of this USleep ended so, by its own log
  grep -c "\"outcome\":\"$2\"" "$work/$1.log" || true
}

wrong=0
scene_ok() { printf 'ok     %s\n' "$1"; }
scene_wrong() { # scene_wrong WHAT
  printf 'WRONG  %s\n' "$1"
  wrong=$((wrong + 1))
}

expect() { # expect WHAT WANTED GOT
  if [[ $2 == "$3" ]]; then scene_ok "$1: $2"; else scene_wrong "$1: wanted $2, got $3"; fi
}
