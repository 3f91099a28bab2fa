#!/usr/bin/env bash
# Plays the whole scene from the two images: the mocked launcher's socket mounted where the launcher has it, the mock
# reporting the image's real digest, UWear's baseline pinned to it. Then with a USleep image made for another
# audience, so with another digest: refused for both reasons. Then with both images made for MUTUAL=1: USleep answers the
# UWear that proves itself. Called by `scripts/run_local.sh --images`.
#
# IMAGES_SOURCE names another clone, whose images are built and played instead of this one's.
set -euo pipefail

fail() {
  printf 'run_images.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$project"
bin=${CARGO_TARGET_DIR:-target}/release
source=$(cd "${IMAGES_SOURCE:-$project}" && pwd)

engine=${ENGINE:-}
for candidate in buildah podman docker; do
  if [[ -z $engine ]] && command -v "$candidate" >/dev/null 2>&1; then engine=$candidate; fi
done
[[ -n $engine ]] || fail 'no buildah, podman or docker: install one, for example with: apt-get install buildah' 2
for tool in skopeo jq; do
  command -v "$tool" >/dev/null 2>&1 || fail "$tool is missing: install it, for example with: apt-get install $tool" 2
done
# Where namespaces are closed, as in many containers, buildah works with these.
export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs} BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}

work=$(mktemp -d "${TMPDIR:-/tmp}/images.XXXXXX")
# What buildah stores for these runs is nobody else's.
buildah_here() { buildah --root "$work/storage" --runroot "$work/run" "$@"; }
children=() images=()
finish() {
  trap - EXIT INT TERM
  if ((${#children[@]})); then
    kill "${children[@]}" 2>/dev/null || true
    wait "${children[@]}" 2>/dev/null || true
  fi
  case $engine in
    buildah) buildah_here rm --all >/dev/null 2>&1 || true ;;
    *) if ((${#images[@]})); then "$engine" rmi --force "${images[@]}" >/dev/null 2>&1 || true; fi ;;
  esac
  # Never through a mount that is still there.
  if grep -qF " $work/" /proc/self/mountinfo; then
    printf 'run_images.sh: something is still mounted in %s: left there\n' "$work" >&2
  else
    rm -rf "$work"
  fi
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# prepare ARCHIVE: makes the image runnable; $prepared names it.
prepare() {
  case $engine in
    buildah)
      prepared=$(buildah_here from --quiet --pull-never "oci-archive:$1")
      ;;
    podman)
      prepared=$(podman pull --quiet "oci-archive:$1")
      images+=("$prepared")
      ;;
    docker)
      prepared=usleep-local/$(basename "$1" .oci.tar):run-$$
      skopeo copy --quiet "oci-archive:$1" "docker-daemon:$prepared"
      images+=("$prepared")
      ;;
    *) fail "ENGINE: wanted buildah, podman or docker, got $engine" 2 ;;
  esac
}

# run_image ARCHIVE PREPARED OPTION...: runs the image's own entry point on the host's network.
run_image() {
  local archive=$1 image=$2 entry
  shift 2
  case $engine in
    buildah)
      # buildah does not run entry points by itself.
      mapfile -t entry < <(skopeo inspect --config "oci-archive:$archive" | jq -r '.config.Entrypoint[]')
      exec buildah --root "$work/storage" --runroot "$work/run" run "$@" "$image" -- "${entry[@]}"
      ;;
    *) exec "$engine" run --rm --network host "$@" "$image" ;;
  esac
}

# start NAME READY COMMAND...: runs it in the background and returns as soon as it prints a line with READY in it.
start() {
  local name=$1 ready=$2 line
  shift 2
  mkfifo "$work/$name.pipe"
  ("$@") >"$work/$name.pipe" 2>"$work/$name.log" &
  started=$!
  children+=("$started")
  exec {pipe}<"$work/$name.pipe"
  while IFS= read -r line <&"$pipe"; do
    printf '%s\n' "$line" >>"$work/$name.out"
    if [[ $line == *"$ready"* ]]; then
      cat <&"$pipe" >>"$work/$name.out" &
      exec {pipe}<&-
      return
    fi
  done
  cat "$work/$name.log" >&2
  fail "$name ended before it was ready"
}

digest_of() { printf 'sha256:%s' "$(skopeo inspect --raw "oci-archive:$1" | sha256sum | cut -d ' ' -f 1)"; } # digest_of ARCHIVE

# pin ARCHIVE: from now on UWear's baseline holds this USleep.
pin() {
  cp policy/baseline.json "$work/baseline.json"
  scripts/pin_digest.sh "$(digest_of "$1")" --baseline "$work/baseline.json"
}

# launcher NAME ARCHIVE CLAIMS: a mocked one in the folder $work/NAME, in whose VM the image runs.
launcher() {
  mkdir "$work/$1"
  jq --arg digest "$(digest_of "$2")" '.submods.container.image_digest = $digest' <<<"$3" >"$work/$1/claims.json"
  start "$1-mock" 'listens on' "$bin/mock-launcher" --socket "$work/$1/teeserver.sock" \
    --pki-dir certs/local --claims "$work/$1/claims.json"
}

# scene NAME USLEEP_ARCHIVE UWEAR_ARCHIVE CLAIMS: each proves itself with its own digest, USleep always, UWear (in a VM
# with these claims) where the images are made for that. UWear's output and exit status are in $work/NAME.uwear and $uwear_exit; all that USleep had to say
# is in $work/NAME-usleep.log when this returns.
scene() {
  local name=$1 usleep=$2 uwear=$3 address server
  launcher "$name" "$usleep" '{}'
  launcher "$name-client" "$uwear" "$4"
  prepare "$usleep"
  start "$name-usleep" 'Starting Server..' run_image "$usleep" "$prepared" \
    --volume "$work/$name:/run/container_launcher" --env USLEEP_LISTEN=127.0.0.1:0 \
    --volume "$project/certs/local/root.pem:/root.pem:ro" --env USLEEP_CLIENT_ROOT=/root.pem
  server=$started
  address=$(sed -n 's/^Starting Server\.\. listening on //p' "$work/$name-usleep.out")
  prepare "$uwear"
  uwear_exit=0
  (run_image "$uwear" "$prepared" --volume "$work/baseline.json:/policy/baseline.json:ro" \
    --volume "$work/$name-client:/run/container_launcher" \
    --volume "$project/certs/local/root.pem:/root.pem:ro" --env UWEAR_ROOT=/root.pem \
    --env "remote_ip_addr=$address") >"$work/$name.uwear" 2>"$work/$name.uwear.log" || uwear_exit=$?
  kill -TERM "$server"
  wait "$server" || true
  printf '\n--- UWear, against %s\n' "$(digest_of "$usleep")"
  cat "$work/$name.uwear"
}
# exited NAME WANTED
exited() {
  printf 'uwear exited with %s\n' "$uwear_exit"
  ((uwear_exit == $2)) || { cat "$work/$1.uwear.log" "$work/$1-usleep.log" >&2 && fail "wanted exit status $2"; }
}

# said NAME LINE: fails unless a line of the file has that.
said() { grep -qF -- "$2" "$work/$1" || fail "$1 does not say: $2"; }

# Neither a variable left over in the shell nor a baseline of one's own belongs to this scene.
build() { env --unset=AUDIENCE --unset=MUTUAL "$@"; }
build "$source/scripts/build_images.sh"
built=$source/target/images
owner=$(cat mock-launcher/claims/uwear.json)
pin "$built/usleep.oci.tar"
scene approved "$built/usleep.oci.tar" "$built/uwear.oci.tar" "$owner"
exited approved 0
said approved.uwear 'Sleep quality result: '
said approved.uwear 'Rules codelab say: total sleep time is less than 8 hours'

printf '\nThe same source for another audience ...\n'
build AUDIENCE=anotherCompany.com "$source/scripts/build_images.sh" --usleep --output "$work/images/other"
scene unauthorized "$work/images/other/usleep.oci.tar" "$built/uwear.oci.tar" "$owner"
exited unauthorized 5
for rule in image_digest_verified audience_verified allow; do said unauthorized.uwear "[ $rule ]: false"; done
said unauthorized.uwear 'REFUSED: nothing was sent.'
said unauthorized-usleep.log '"outcome":"refused"'

printf '\nThe same source, and both prove themselves ...\n'
build MUTUAL=1 "$source/scripts/build_images.sh" --output "$work/images/mutual"
pin "$work/images/mutual/usleep.oci.tar"
scene mutual "$work/images/mutual/usleep.oci.tar" "$work/images/mutual/uwear.oci.tar" "$owner"
exited mutual 0
said mutual.uwear 'Sleep quality result: '
printf '\n... but to another project and account it gives no answer\n'
scene stranger "$work/images/mutual/usleep.oci.tar" "$work/images/mutual/uwear.oci.tar" '{}'
exited stranger 6
said stranger.uwear.log '1008 client-refused'
said stranger-usleep.log 'its token is not acceptable: allow, client_verified'
