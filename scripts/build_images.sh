#!/usr/bin/env bash
# Builds the two images so that the same source gives the same digest: anybody who has the source can say
# "this digest is this source".
#
# One builder defines the digest: buildah, OCI format, the manifest's digest as `buildah push --digestfile` gives it
# for an OCI archive, which is then uploaded unchanged. Docker or podman may build the Dockerfiles for local play; their
# digests are not comparable.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/build_images.sh [--usleep | --uwear] [--check] [--sizes] [--output DIR]

  --usleep, --uwear   only this image; both unless given
  --check             build twice from two fresh copies of the source in different folders, and compare the digests
  --sizes             print what the images weigh, and fail above 3 MB for usleep and 4.5 MB for uwear (compressed)
  --output DIR        where archives, digests and build records go (target/images)
  -h, --help          this text

Environment:
  AUDIENCE            whom USleep's tokens are made for (uwear); another one is another image
  SOURCE_URL          where the source is published, for the image's label (nothing)

Writes for each image: NAME.oci.tar, NAME.digest (sha256:...), NAME.record (what it was built from and with).
Needs cargo, a C compiler, git, buildah, skopeo and jq.
TEXT
}

images=(usleep uwear)
check=no sizes=no output=''
while (($#)); do
  case $1 in
    --usleep) images=(usleep) ;;
    --uwear) images=(uwear) ;;
    --check) check=yes ;;
    --sizes) sizes=yes ;;
    --output) output=${2:?--output wants a folder} && shift ;;
    -h | --help) usage && exit 0 ;;
    *)
      printf 'build_images.sh: unknown argument: %s\n\n' "$1" >&2
      usage >&2
      exit 2
      ;;
  esac
  shift
done

for tool in cargo cc git buildah skopeo jq; do
  command -v "$tool" >/dev/null 2>&1 || {
    printf 'build_images.sh: %s is missing: install it, for example with: apt-get install gcc git buildah skopeo jq\n' \
      "$tool" >&2
    exit 2
  }
done

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$project"
output=${output:-$project/target/images}
mkdir -p "$output"
output=$(cd "$output" && pwd)
audience=${AUDIENCE:-uwear}
source_url=${SOURCE_URL:-}
if [[ ! $audience =~ ^[A-Za-z0-9._:/-]{1,512}$ ]]; then
  printf 'build_images.sh: AUDIENCE: wanted 1 to 512 letters, digits or . _ : / -, got: %q\n' "$audience" >&2
  exit 2
fi

# Where namespaces are closed, as in many containers, buildah works with these.
export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs} BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}

scratch=$(mktemp -d "${TMPDIR:-/tmp}/images.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# What an image is made of. A change of anything else, the baseline in USleep's case, changes neither label nor
# timestamp nor digest.
inputs() { # inputs IMAGE
  local crates=(attestation launcher policy session sleep "$1")
  local crate
  printf '%s\n' Cargo.toml Cargo.lock "Dockerfile.$1" scripts/build_images.sh
  for crate in "${crates[@]}"; do
    printf '%s\n' "$crate/Cargo.toml" "$crate/src"
  done
  printf '%s\n' policy/confidential_space.rego policy/codelab.rego policy/codelab_baseline.json
  if [[ $1 == uwear ]]; then
    printf '%s\n' policy/baseline.json sleep/testdata/amy.json
  fi
}

# static_binaries SOURCE TARGET: both programs from the source in one folder, built in another.
static_binaries() {
  local source=$1 target=$2
  local cargo_home=${CARGO_HOME:-$HOME/.cargo}
  # Folders of this machine must not get into the programs.
  local remap="--remap-path-prefix=$source=/source --remap-path-prefix=$target=/target --remap-path-prefix=$cargo_home=/cargo"
  local prefix="-ffile-prefix-map=$source=/source -ffile-prefix-map=$target=/target -ffile-prefix-map=$cargo_home=/cargo"
  (
    cd "$source"
    env -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_TARGET \
      RUSTFLAGS="-C target-feature=+crt-static $remap" CFLAGS="$prefix" \
      CARGO_TARGET_DIR="$target" CARGO_INCREMENTAL=0 \
      cargo build --locked --profile image --target x86_64-unknown-linux-gnu --package usleep --package uwear
  )
}

# image NAME SOURCE BINARIES ARCHIVE: puts an image together and writes its archive and digest.
image() {
  local name=$1 source=$2 binaries=$3 archive=$4
  local context=$scratch/context-$name paths revision timestamp version
  mapfile -t paths < <(inputs "$name")
  revision=$(git -C "$project" log -1 --format=%H -- "${paths[@]}")
  timestamp=$(git -C "$project" log -1 --format=%ct -- "${paths[@]}")
  version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$source/Cargo.toml" | head -n 1)
  if [[ -n $(git -C "$project" status --porcelain -- "${paths[@]}") ]]; then
    printf 'build_images.sh: %s has changes that are not committed: its digest names no source\n' "$name" >&2
    revision+=-modified
  fi

  rm -rf "$context"
  mkdir "$context"
  cp "$binaries/x86_64-unknown-linux-gnu/image/$name" "$context/"
  if [[ $name == uwear ]]; then
    cp "$source/policy/baseline.json" "$source/sleep/testdata/amy.json" "$context/"
  fi
  rm -f "$archive"
  # --timestamp: 1.28 ignores SOURCE_DATE_EPOCH. --identity-label=false: else it adds its own version.
  buildah build --quiet --format oci --layers=false --timestamp "$timestamp" --identity-label=false \
    --build-arg "AUDIENCE=$audience" --build-arg "SOURCE=$source_url" \
    --build-arg "REVISION=$revision" --build-arg "VERSION=$version" \
    --file "$source/Dockerfile.$name" --tag "localhost/$name:build" "$context" >/dev/null
  buildah push --quiet --format oci --digestfile "$archive.digest" "localhost/$name:build" "oci-archive:$archive:$name"
  buildah rmi --force "localhost/$name:build" >/dev/null
  mv "$archive.digest" "${archive%.oci.tar}.digest"
  {
    printf 'image      %s\n' "$name"
    printf 'digest     %s\n' "$(cat "${archive%.oci.tar}.digest")"
    printf 'revision   %s\n' "$revision"
    printf 'version    %s\n' "$version"
    if [[ $name == usleep ]]; then printf 'audience   %s\n' "$audience"; fi
    printf 'rustc      %s\n' "$(rustc --version)"
    printf 'cc         %s\n' "$(cc --version | head -n 1)"
    printf 'libc       %s\n' "$(ldd --version 2>/dev/null | head -n 1)"
    printf 'buildah    %s\n' "$(buildah --version)"
    printf 'binary     sha256:%s\n' "$(sha256sum "$context/$name" | cut -d ' ' -f 1)"
  } >"${archive%.oci.tar}.record"
}

# Builds both images from a fresh copy of the last commit in a folder of its own, and prints their digests.
from_fresh_copy() { # from_fresh_copy FOLDER
  local folder=$1 name
  mkdir -p "$folder/source"
  git -C "$project" archive HEAD | tar -x -C "$folder/source"
  static_binaries "$folder/source" "$folder/target"
  for name in "${images[@]}"; do
    image "$name" "$folder/source" "$folder/target" "$folder/$name.oci.tar"
  done
}

if [[ $check == yes ]]; then
  printf 'Building twice, each time from a fresh copy of the last commit ...\n'
  from_fresh_copy "$scratch/one"
  from_fresh_copy "$scratch/another/and/deeper"
  differ=no
  for name in "${images[@]}"; do
    one=$(cat "$scratch/one/$name.digest")
    other=$(cat "$scratch/another/and/deeper/$name.digest")
    printf '%-7s %s\n        %s\n' "$name" "$one" "$other"
    [[ $one == "$other" ]] || differ=yes
    cp "$scratch/one/$name.oci.tar" "$scratch/one/$name.digest" "$scratch/one/$name.record" "$output/"
  done
  if [[ $differ == yes ]]; then
    printf 'The digests differ: the build is not reproducible here.\n' >&2
    exit 1
  fi
  printf 'The same digests both times.\n'
else
  static_binaries "$project" "$project/target/images-build"
  for name in "${images[@]}"; do
    image "$name" "$project" "$project/target/images-build" "$output/$name.oci.tar"
  done
fi

for name in "${images[@]}"; do
  printf '%-7s %s  %s\n' "$name" "$(cat "$output/$name.digest")" "$output/$name.oci.tar"
done

if [[ $sizes == yes ]]; then
  too_large=no
  for name in "${images[@]}"; do
    # What a registry stores and a VM pulls: the compressed layers.
    bytes=$(skopeo inspect --raw "oci-archive:$output/$name.oci.tar" | jq '[.layers[].size] | add')
    limit=3000000
    if [[ $name == uwear ]]; then limit=4500000; fi
    printf '%-7s %s bytes compressed (limit %s)\n' "$name" "$bytes" "$limit"
    if ((bytes > limit)); then too_large=yes; fi
  done
  [[ $too_large == no ]]
fi
