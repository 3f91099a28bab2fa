#!/usr/bin/env bash
# Plays the whole scene on this machine: a mocked launcher, USleep, and UWear that verifies it and releases
# the made-up health data of the codelab over the very same TLS session.
#
# Everything it starts lives on loopback and in a temporary folder, and is gone when it ends, also when it is
# interrupted. Two runs side by side do not disturb each other.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/run_local.sh [--unauthorized | --images]

  (nothing)        build, start mock-launcher and USleep, let UWear verify and release; exit with UWear's code
  --unauthorized   the codelab's step 8: a USleep with another image digest and another audience, which UWear must
                   refuse; exit 0 if it did and USleep received nothing, 1 if anything else happened
  --images         the same from the two container images, then with an image made for another audience, which must be
                   refused; needs buildah (or podman or docker), skopeo and jq
  -h, --help       this text

The first run builds everything (some minutes); later ones take seconds.
TEXT
}

unauthorized=no images=no
for argument in "$@"; do
  case $argument in
    --unauthorized) unauthorized=yes ;;
    --images) images=yes ;;
    -h | --help) usage && exit 0 ;;
    *)
      printf 'run_local.sh: unknown argument: %s\n\n' "$argument" >&2
      usage >&2
      exit 2
      ;;
  esac
done

need() { # need COMMAND WHAT_TO_INSTALL
  command -v "$1" >/dev/null 2>&1 && return
  printf 'run_local.sh: %s is missing: %s\n' "$1" "$2" >&2
  exit 2
}
need cargo 'install Rust with rustup (https://rustup.rs)'
need cc 'install a C compiler, for example: apt-get install gcc libc6-dev'

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$project"
printf 'Building (release) ...\n'
cargo build --release --locked --package mock-launcher --package usleep --package uwear --features usleep/walkthrough
bin=${CARGO_TARGET_DIR:-target}/release
if [[ $images == yes ]]; then exec scripts/run_images.sh; fi

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

# start NAME READY COMMAND...: runs it in the background and returns as soon as it prints a line with READY in it.
# What it prints is kept in $work/NAME.out, its log in $work/NAME.log; its process id is $started.
start() {
  local name=$1 ready=$2 line
  shift 2
  mkfifo "$work/$name.pipe"
  "$@" >"$work/$name.pipe" 2>"$work/$name.log" &
  started=$!
  children+=("$started")
  exec {pipe}<"$work/$name.pipe"
  while IFS= read -r line <&"$pipe"; do
    printf '%s\n' "$line" >>"$work/$name.out"
    if [[ $line == *"$ready"* ]]; then
      cat <&"$pipe" >>"$work/$name.out" &
      collector=$!
      exec {pipe}<&-
      return
    fi
  done
  printf 'run_local.sh: %s ended before it was ready:\n' "$name" >&2
  cat "$work/$name.log" >&2
  exit 1
}

claims=$work/claims.json
audience=uwear
echo '{}' >"$claims"
if [[ $unauthorized == yes ]]; then
  audience=anotherCompany.com
  # The SHA-256 of "another image": what counts is that nobody approved it.
  printf '{"submods":{"container":{"image_digest":"sha256:%s"}}}\n' \
    "$(printf 'another image' | sha256sum | cut -d ' ' -f 1)" >"$claims"
fi

start mock-launcher 'listens on' \
  "$bin/mock-launcher" --socket "$work/teeserver.sock" --pki-dir certs/local --claims "$claims"
start usleep 'Starting Server..' \
  "$bin/usleep" serve --listen 127.0.0.1:0 --socket "$work/teeserver.sock" --audience "$audience" \
  --rules codelab --unsafe-log-phi
usleep=$started usleep_collector=$collector
address=$(sed -n 's/^Starting Server\.\. listening on //p' "$work/usleep.out")

printf '\n--- UWear ---------------------------------------------------------------\n'
# In the background, so that a signal to this script is heard at once.
uwear() {
  "$bin/uwear" release "$address" --phi sleep/testdata/amy.json --root certs/local/root.pem \
    --baseline policy/baseline.json --print-result &
  children+=("$!")
  wait "$!"
}
uwear_exit=0
if [[ $unauthorized == yes ]]; then
  uwear >"$work/uwear.out" || uwear_exit=$?
  cat "$work/uwear.out"
else
  uwear || uwear_exit=$?
fi

# End USleep and wait until all that it had to say is there.
kill -TERM "$usleep"
wait "$usleep" || true
wait "$usleep_collector" || true
printf '\n--- USleep --------------------------------------------------------------\n'
received=$(grep '^USleep received ' "$work/usleep.out" || true)
grep -v '^USleep received ' "$work/usleep.out" || true
printf '\n'

if [[ $unauthorized == no ]]; then
  if ((uwear_exit != 0)); then cat "$work/usleep.log" >&2; fi
  exit "$uwear_exit"
fi

printf 'uwear exited with %s\n%s\n' "$uwear_exit" "$received"
failed=no
expect() { # expect FILE LINE
  if ! grep -qF -- "$2" "$work/$1"; then
    printf 'run_local.sh: %s did not say: %s\n' "${1%.out}" "$2" >&2
    failed=yes
  fi
}
expect uwear.out '[ image_digest_verified ]: false'
expect uwear.out '[ audience_verified ]: false'
expect uwear.out '[ allow ]: false'
expect uwear.out 'Policy check FAILED'
expect uwear.out "Remote TEE's JWT failed policy check."
expect usleep.out 'USleep received 0 bytes of PHI'
if ((uwear_exit != 5)) || [[ $failed == yes ]]; then
  cat "$work/usleep.log" >&2
  exit 1
fi
