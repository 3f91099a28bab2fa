#!/usr/bin/env bash
# Builds the two images so that the same source gives the same digest: anybody who has the source can say
# "this digest is this source".
#
# One builder defines the digest: buildah, OCI format, the manifest's digest as `buildah push --digestfile` gives it
# for an OCI archive, which is then uploaded unchanged. Docker or podman may build the Dockerfiles for local play
# (--contexts); their digests are not comparable, and the images' revision label says so.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/build_images.sh [--usleep | --uwear] [--check [--keep DIR]] [--sizes] [--output DIR]

  --usleep, --uwear   only this image; both unless given
  --check             build twice from fresh clones of the last commit in two folders, and compare the digests
  --keep DIR          with --check: leave the first clone in DIR, with what was compiled in it
  --sizes             print what the images weigh, and fail above 3 MB for usleep and 4.5 MB for uwear (compressed)
  --contexts DIR      fill DIR/usleep and DIR/uwear with what the Dockerfiles copy, and put no image together. For local
                      play: docker build --target usleep --file Dockerfile.usleep DIR/usleep
  --output DIR        where archives, digests and build records go (target/images)
  -h, --help          this text

Environment; other values are other images:
  AUDIENCE            whom USleep's tokens are made for (uwear)
  MUTUAL              1: USleep wants a token of UWear's too, and UWear shows one; 0 unless set
  SOURCE_URL          where the source is published, for the image's label (nothing)

Writes for each image: NAME.oci.tar, NAME.digest (sha256:...), NAME.record (what it was built from and with).
Needs cargo, a C compiler, git, buildah, skopeo and jq.
TEXT
}

fail() { # fail WHAT [EXIT_CODE]
  printf 'build_images.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}
say() { printf '%s\n' "$1" >&2; }

images=(usleep uwear) selection=()
check=no sizes=no output='' keep='' contexts=''
while (($#)); do
  case $1 in
    --usleep | --uwear) images=("${1#--}") selection=("$1") ;;
    --check) check=yes ;;
    --keep) keep=${2:?--keep wants a folder} && shift ;;
    --contexts) contexts=${2:?--contexts wants a folder} && shift ;;
    --sizes) sizes=yes ;;
    --output) output=${2:?--output wants a folder} && shift ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && fail "unknown argument: $1" 2 ;;
  esac
  shift
done

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [[ -n $keep && $check == no ]]; then fail '--keep goes with --check' 2; fi
if [[ -n $contexts && $check$sizes != nono ]]; then fail '--contexts goes with neither --check nor --sizes' 2; fi
audience=${AUDIENCE:-uwear}
mutual=${MUTUAL:-0}
source_url=${SOURCE_URL:-}
[[ $audience =~ ^[A-Za-z0-9._:/-]{1,512}$ ]] ||
  fail "AUDIENCE: wanted 1 to 512 letters, digits or . _ : / -, got: $(printf '%q' "${audience:0:100}")" 2
[[ $mutual == [01] ]] || fail "MUTUAL: wanted 0 or 1, got: $(printf '%q' "${mutual:0:100}")" 2
[[ $source_url =~ ^[A-Za-z0-9._:/@%+~?=-]{0,512}$ ]] ||
  fail "SOURCE_URL: wanted an address without spaces or quotes, got: $(printf '%q' "${source_url:0:100}")" 2
# Compilers get the folder's name as part of flags, which they split.
[[ $project =~ ^[A-Za-z0-9._/@%+~=-]+$ ]] || fail "a folder whose name compilers would split: $project" 2
for tool in cargo cc git buildah skopeo jq; do
  command -v "$tool" >/dev/null 2>&1 ||
    fail "$tool is missing: install it, for example with: apt-get install gcc git buildah skopeo jq" 2
done

output=${output:-$project/target/images}
mkdir -p "$output"
output=$(cd "$output" && pwd)
if [[ -n $keep ]]; then
  [[ ! -e $keep ]] || fail "--keep: there is a $keep already" 2
  mkdir -p "$(dirname "$keep")"
  keep=$(cd "$(dirname "$keep")" && pwd)/$(basename "$keep")
fi
if [[ -n $contexts ]]; then
  mkdir -p "$contexts"
  contexts=$(cd "$contexts" && pwd)
fi
cd "$project"
scratch=$(mktemp -d "${TMPDIR:-/tmp}/images.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# Where namespaces are closed, as in many containers, buildah works with these. What it stores is nobody else's.
export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs} BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
buildah_here() { buildah --root "$scratch/storage" --runroot "$scratch/run" "$@"; }

# inputs IMAGE: what it is made of, as git's pathspecs. A change of anything else, the baseline in USleep's case,
# changes neither label nor timestamp nor digest. `only_inputs` fails where this list lacks something.
inputs() {
  printf '%s\n' Cargo.toml Cargo.lock .cargo rust-toolchain.toml "Dockerfile.$1" scripts/build_images.sh scripts/no_unwinding.ld
  # Each crate of this project that gets into the program.
  cargo tree --locked --target x86_64-unknown-linux-gnu --package "$1" --edges normal,build --prefix none --format '{p}' |
    sed -n "s|.* ($project/\([^)]*\)).*|\1|p" | LC_ALL=C sort -u | sed 's|.*|&/Cargo.toml\n&/src|' || return 1
  # What the policies' crate has compiled in.
  printf '%s\n' ':(glob)policy/*.rego' policy/codelab_baseline.json
  case $1-$mutual in
    # `uwear policy test` tries cases on the baselines that the project ships.
    uwear-*) printf '%s\n' policy/baseline.json policy/client_baseline.json sleep/testdata/amy.json ;;
    usleep-1) printf '%s\n' policy/client_baseline.json ;;
  esac
}

paths_of() { # paths_of IMAGE: sets paths to its inputs
  local lines
  lines=$(inputs "$1") || fail "cargo cannot say what $1 is made of"
  mapfile -t paths <<<"$lines"
}

# only_inputs IMAGE: fails if the compiler read a file of ours that is not among the inputs.
only_inputs() {
  local program=$target/x86_64-unknown-linux-gnu/image/$1 paths files others
  paths_of "$1"
  files=$(
    sed "s|^$program: *||" "$program.d" | tr ' ' '\n' | sed -n "\|^$project/|p" |
      xargs -r realpath --canonicalize-missing --relative-to=. | LC_ALL=C sort -u
  )
  [[ -n $files ]] || fail "$program.d does not say what $1 was compiled from"
  # The two baselines are constants of the policies' crate that USleep does not use: the compiler reads them and leaves
  # them out. scripts/tests/built_images.sh shows that others give the same USleep.
  others=$(
    LC_ALL=C comm -23 - <(git ls-files --cached --others --exclude-standard -- "${paths[@]}" | LC_ALL=C sort -u) <<<"$files" |
      sed -e '\|^policy/baseline\.json$|d' -e '\|^policy/client_baseline\.json$|d'
  )
  [[ -z $others ]] || fail "$1 is compiled from files that are not among its inputs; name them in inputs():"$'\n'"$others"
}

target=$project/target/images-build
libc_version() { ldd --version 2>/dev/null | head -n 1; }

# static_programs: both at once, as what crates are compiled with depends on who else uses them.
static_programs() {
  local cargo_home=${CARGO_HOME:-$HOME/.cargo} name
  # Folders of this machine must not get into the programs.
  local remap="--remap-path-prefix=$project=/source --remap-path-prefix=$target=/target --remap-path-prefix=$cargo_home=/cargo"
  local prefix="-ffile-prefix-map=$project=/source -ffile-prefix-map=$target=/target -ffile-prefix-map=$cargo_home=/cargo"
  say 'Compiling usleep and uwear (some minutes the first time) ...'
  (
    # Nor its settings.
    for name in $(compgen -e); do
      case $name in
        CARGO_HOME) ;;
        CARGO_BUILD_* | CARGO_ENCODED_* | CARGO_PROFILE_* | CARGO_TARGET_* | RUSTC | RUSTC_* | AWS_LC_* | SOURCE_DATE_EPOCH | \
          CC | CC_* | CFLAGS_* | CPPFLAGS | TARGET_* | HOST_*) unset "$name" ;;
      esac
    done
    # Small: relocations packed (glibc 2.36), no tables for unwinding, and AES-GCM without the half megabyte of code for
    # AVX-512, which pays off with bulk data alone. The linker works in the project's folder.
    export RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs,--no-eh-frame-hdr,-T,scripts/no_unwinding.ld $remap"
    export CFLAGS="-DMY_ASSEMBLER_IS_TOO_OLD_FOR_512AVX $prefix"
    export CARGO_TARGET_DIR="$target" CARGO_INCREMENTAL=0
    cargo build --locked --profile image --target x86_64-unknown-linux-gnu --package usleep --package uwear
  )
  for name in usleep uwear; do
    "$target/x86_64-unknown-linux-gnu/image/$name" --version >/dev/null 2>&1 ||
      fail "$name does not run: static programs with packed relocations need glibc 2.36, here is $(libc_version)"
  done
}

# context NAME FOLDER: a new folder with what its Dockerfile copies.
context() {
  mkdir "$2"
  cp "$target/x86_64-unknown-linux-gnu/image/$1" "$2/"
  case $1-$mutual in
    uwear-*) cp policy/baseline.json sleep/testdata/amy.json "$2/" ;;
    usleep-1) cp policy/client_baseline.json "$2/" ;;
  esac
}

# image NAME: puts an image together and writes its archive, digest and record.
image() {
  local name=$1 archive=$output/$1.oci.tar context=$scratch/context-$1 stage=$1 paths revision timestamp version
  if [[ $mutual == 1 ]]; then stage+=-mutual; fi
  paths_of "$name"
  revision=$(git log -1 --format=%H -- "${paths[@]}")
  timestamp=$(git log -1 --format=%ct -- "${paths[@]}")
  version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
  # Where history is cut off, its first commit seems to have touched everything.
  if grep -qxF -- "$revision" "$(git rev-parse --git-path shallow)" 2>/dev/null; then
    say "build_images.sh: the commit that last touched $name's inputs is not here: git fetch --unshallow"
    revision+=-shallow
  fi
  if [[ -n $(git status --porcelain -- "${paths[@]}") ]]; then
    say "build_images.sh: $name has changes that are not committed: its digest names no source"
    revision+=-modified
  fi

  say "Putting the image of $name together ..."
  context "$name" "$context"
  rm -f "$archive"
  # --timestamp: 1.28 ignores SOURCE_DATE_EPOCH. --identity-label=false: else it adds its own version.
  buildah_here build --quiet --format oci --layers=false --timestamp "$timestamp" --identity-label=false \
    --build-arg "AUDIENCE=$audience" --build-arg "SOURCE=$source_url" \
    --build-arg "REVISION=$revision" --build-arg "VERSION=$version" \
    --file "Dockerfile.$name" --target "$stage" --tag "localhost/$name:build" "$context" >/dev/null
  buildah_here push --quiet --format oci --compression-format gzip --compression-level 9 \
    --digestfile "$output/$name.digest" "localhost/$name:build" "oci-archive:$archive:$name"
  {
    printf 'image      %s\n' "$name"
    printf 'digest     %s\n' "$(cat "$output/$name.digest")"
    printf 'revision   %s\n' "$revision"
    printf 'version    %s\n' "$version"
    printf 'source     %s\n' "$source_url"
    if [[ $name == usleep ]]; then printf 'audience   %s\n' "$audience"; fi
    printf 'mutual     %s\n' "$mutual"
    printf 'rustc      %s\n' "$(rustc --version)"
    printf 'cc         %s\n' "$(cc --version | head -n 1)"
    printf 'binutils   %s\n' "$(as --version | head -n 1)"
    printf 'libc       %s\n' "$(libc_version)"
    printf 'buildah    %s\n' "$(buildah --version)"
    printf 'binary     sha256:%s\n' "$(sha256sum "$context/$name" | cut -d ' ' -f 1)"
  } >"$output/$name.record"
}

# clone_and_build FOLDER: with the last commit's own script, into FOLDER/target/images.
clone_and_build() {
  say "A fresh clone of the last commit in $1 ..."
  git clone --quiet "$project" "$1" && "$1/scripts/build_images.sh" "${selection[@]}" >/dev/null
}

if [[ $check == yes ]]; then
  one=${keep:-$scratch/one/source} other=$scratch/another/and/deeper/source
  # Side by side: for much of the time a build keeps one processor busy only.
  clone_and_build "$one" &
  first=$! outcome=0
  # What differs between machines beside the folder and must not matter.
  (
    umask 077
    export TZ=Pacific/Auckland LC_ALL=C
    clone_and_build "$other"
  ) || outcome=$?
  wait "$first" || outcome=$?
  ((outcome == 0)) || fail 'a build failed, see above'
  differ=no
  for name in "${images[@]}"; do
    printf '%-7s %s\n        %s\n' "$name" "$(cat "$one/target/images/$name.digest")" "$(cat "$other/target/images/$name.digest")"
    cmp -s "$one/target/images/$name.digest" "$other/target/images/$name.digest" || differ=yes
    cp "$one/target/images/$name".{oci.tar,digest,record} "$output/"
  done
  [[ $differ == no ]] || fail 'the digests differ: the build is not reproducible here'
  printf 'The same digests both times.\n'
elif [[ -n $contexts ]]; then
  static_programs
  for name in "${images[@]}"; do context "$name" "$contexts/$name"; done
  exit 0
else
  static_programs
  for name in "${images[@]}"; do
    only_inputs "$name"
    image "$name"
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
  [[ $too_large == no ]] || fail 'an image weighs too much'
fi
