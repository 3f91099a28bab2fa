#!/usr/bin/env bash
# Bad days for so many minutes, and at least ten rounds of them: faults of every kind under load, kill -9 of launcher, USleep
# and UWear at random moments, a network that delays and cuts, a thousand slow peers beside a hundred good ones, no file
# descriptors left, a full disk under the audit log. What is played is in soak/src/scenes.rs.
#
# At the end every session is accounted for by name, USleep holds no more memory (within 10 %) and no more descriptors than
# after the second round, no health data was sent to a wrong end or could be read on the way, and the audit log is whole.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/soak.sh MINUTES [--seed N] [--bin DIR]

  MINUTES      how long, 1 or more; a round takes some seconds
  --seed N     the chances of an earlier run, which printed its seed
  --bin DIR    take soak, usleep and uwear from this folder instead of building them
  -h, --help   this text

The last line is the tally. Exit status: 0 all held, 1 something did not, 2 usage.
TEXT
}

minutes='' folder='' seed=()
while (($#)); do
  case $1 in
    -h | --help) usage && exit 0 ;;
    --seed) seed=(--seed "${2:?--seed needs a number}") && shift 2 ;;
    --bin) folder=${2:?--bin needs a folder} && shift 2 ;;
    *) [[ -z $minutes && $1 =~ ^[1-9][0-9]{0,4}$ ]] || { usage >&2 && exit 2; } && minutes=$1 && shift ;;
  esac
done
[[ -n $minutes ]] || { usage >&2 && exit 2; }

cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ -z $folder ]]; then
  printf 'Building (release) ...\n'
  # The features of run_local.sh, so that neither compiles usleep anew for the other.
  cargo build --release --locked --package soak --package usleep --package uwear --features usleep/walkthrough
  folder=${CARGO_TARGET_DIR:-target}/release
fi
exec "$folder/soak" --time "${minutes}m" --bin "$folder" --pki certs/local "${seed[@]}"
