#!/usr/bin/env bash
# Plays the whole scene on this machine: a mocked launcher, USleep, and UWear that verifies it and releases
# the made-up health data of the codelab over the very same TLS session.
#
# Everything it starts lives on loopback and in a temporary folder, and is gone when it ends, also when it is
# interrupted. Two runs side by side do not disturb each other.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/run_local.sh [--unauthorized | --mutual | --images]

  (nothing)        build, start mock-launcher and USleep, let UWear verify and release; exit with UWear's code
  --unauthorized   the codelab's step 8: a USleep with another image digest and another audience, which UWear must
                   refuse; exit 0 if it did and USleep received nothing, 1 if anything else happened
  --mutual         both ends prove themselves: USleep answers the UWear that its own policy knows and refuses one of another
                   image, project and account; exit 0 if so, 1 if anything else happened
  --images         the scene from the two container images, then with an image made for another audience, which must be
                   refused, and with images whose ends both prove themselves; needs buildah, skopeo and jq, and plays with
                   buildah, podman or docker (ENGINE names one)
  -h, --help       this text

The first run builds everything (some minutes); later ones take seconds.
TEXT
}

unauthorized=no mutual=no images=no
for argument in "$@"; do
  case $argument in
    --unauthorized) unauthorized=yes ;;
    --mutual) mutual=yes ;;
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
clients=()
if [[ $mutual == yes ]]; then
  # A launcher for each client: the one that USleep's policy knows, and one that has USleep's own identity.
  start launcher-of-uwear 'listens on' \
    "$bin/mock-launcher" --socket "$work/uwear.sock" --pki-dir certs/local --claims mock-launcher/claims/uwear.json
  start launcher-of-a-stranger 'listens on' \
    "$bin/mock-launcher" --socket "$work/stranger.sock" --pki-dir certs/local
  clients=(--attest-client required --client-baseline policy/client_baseline.json --client-root certs/local/root.pem)
fi
start_usleep() { # start_usleep NAME
  start "$1" 'Starting Server..' \
    "$bin/usleep" serve --listen 127.0.0.1:0 --socket "$work/teeserver.sock" --audience "$audience" \
    --rules codelab --unsafe-log-phi "${clients[@]}"
  address=$(sed -n 's/^Starting Server\.\. listening on //p' "$work/$1.out")
}
end_usleep() { # end_usleep PROCESS COLLECTOR: ends it and waits until all that it had to say is there
  kill -TERM "$1"
  wait "$1" || true
  wait "$2" || true
}
start_usleep usleep
usleep=$started usleep_collector=$collector

printf '\n--- UWear ---------------------------------------------------------------\n'
# In the background, so that a signal to this script is heard at once.
uwear() { # uwear FLAG...
  "$bin/uwear" release "$address" --phi sleep/testdata/amy.json --root certs/local/root.pem \
    --baseline policy/baseline.json --print-result "$@" &
  children+=("$!")
  wait "$!"
}
uwear_exit=0
if [[ $unauthorized == yes ]]; then
  uwear >"$work/uwear.out" || uwear_exit=$?
  cat "$work/uwear.out"
elif [[ $mutual == yes ]]; then
  uwear --attest required --attest-socket "$work/uwear.sock" || uwear_exit=$?
  printf '\n--- another client ------------------------------------------------------\n'
  # A USleep of its own, whose count of bytes is that of this client alone.
  start_usleep usleep-of-the-stranger
  stranger_exit=0
  uwear --attest required --attest-socket "$work/stranger.sock" >"$work/stranger.out" 2>"$work/stranger.log" ||
    stranger_exit=$?
  end_usleep "$started" "$collector"
  cat "$work/stranger.out" "$work/stranger.log"
else
  uwear || uwear_exit=$?
fi

end_usleep "$usleep" "$usleep_collector"
printf '\n--- USleep --------------------------------------------------------------\n'
received=$(grep '^USleep received ' "$work/usleep.out" || true)
grep -v '^USleep received ' "$work/usleep.out" || true
printf '\n'

failed=no
expect() { # expect FILE LINE
  if ! grep -qF -- "$2" "$work/$1"; then
    printf 'run_local.sh: %s did not say: %s\n' "${1%.*}" "$2" >&2
    failed=yes
  fi
}
if [[ $mutual == yes ]]; then
  printf 'uwear exited with %s\n%s\n' "$uwear_exit" "$received"
  printf 'the other client exited with %s\n%s\n' "$stranger_exit" \
    "$(grep '^USleep received ' "$work/usleep-of-the-stranger.out" || true)"
  expect stranger.log '1008 client-refused'
  expect usleep-of-the-stranger.log 'its token is not acceptable: allow, client_verified'
  expect usleep-of-the-stranger.out 'USleep received 0 bytes of PHI'
  if ((uwear_exit != 0 || stranger_exit != 6)) || [[ $failed == yes ]]; then
    cat "$work/usleep.log" >&2
    exit 1
  fi
  exit 0
fi
if [[ $unauthorized == no ]]; then
  if ((uwear_exit != 0)); then cat "$work/usleep.log" >&2; fi
  exit "$uwear_exit"
fi

printf 'uwear exited with %s\n%s\n' "$uwear_exit" "$received"
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
