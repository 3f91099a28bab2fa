#!/usr/bin/env bash
# The data owner's question: is this digest this source? Rebuilds the image from the source it lies in and answers yes,
# no, or that it cannot judge.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/audit_image.sh DIGEST [ARCHIVE] [--uwear]

  DIGEST      sha256: and 64 hexadecimal digits, as the operator launches it and as tokens carry it
  ARCHIVE     the OCI archive with that digest, NAME.oci.tar; beside it NAME.record says what it was built with
  --uwear     it is said to be UWear's image, not USleep's
  -h, --help  this text

Environment: AUDIENCE, MUTUAL and SOURCE_URL as for scripts/build_images.sh; with others it is another image.

Exit status:
  0  yes: this source gives this digest
  1  no: it does not, with the same tools; or the archive has another digest
  2  usage
  3  cannot judge: the digest is another one, but so are the tools that it was built with, as far as is known
TEXT
}

fail() {
  printf 'audit_image.sh: %s\n' "$1" >&2
  exit 2
}

digest='' archive='' name=usleep
for argument in "$@"; do
  case $argument in
    --uwear) name=uwear ;;
    -h | --help) usage && exit 0 ;;
    -*) usage >&2 && fail "unknown argument: $argument" ;;
    *)
      if [[ -z $digest ]]; then
        digest=$argument
      elif [[ -z $archive ]]; then
        archive=$argument
      else
        fail 'wanted one digest and at most one archive'
      fi
      ;;
  esac
done
[[ -n $digest ]] || { usage >&2 && fail 'no digest given'; }
[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] ||
  fail "not a digest: wanted sha256: and 64 lower-case hexadecimal digits, got $(printf '%q' "${digest:0:100}")"
for tool in skopeo jq; do
  command -v "$tool" >/dev/null 2>&1 || fail "$tool is missing: install it, for example with: apt-get install $tool"
done

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/audit.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# Text of the image's author: what could move the cursor or hide a line is taken out.
harmless() { LC_ALL=C tr -cd '\12\40-\176'; }

show() { # show ARCHIVE: what decides how the image behaves
  skopeo inspect --config "oci-archive:$1" | jq -r '
    "entry point  \(.config.Entrypoint | tojson)",
    "command      \(.config.Cmd // [] | tojson)",
    "environment  \(.config.Env // [] | tojson)",
    "ports        \(.config.ExposedPorts // {} | keys | tojson)",
    (.config.Labels // {} | to_entries[] | "label        \(.key | tojson)=\(.value | tojson)")' | harmless
}

if [[ -n $archive ]]; then
  [[ -f $archive ]] || fail "no archive at $archive"
  found=$(skopeo inspect --raw "oci-archive:$archive" | tee "$scratch/manifest.json" | sha256sum | cut -d ' ' -f 1)
  if [[ sha256:$found != "$digest" ]]; then
    printf 'NO: the archive has another digest.\n      found    sha256:%s\n      wanted   %s\n' "$found" "$digest"
    exit 1
  fi
fi

printf 'Building the image of %s from this source ...\n' "$name" >&2
"$project/scripts/build_images.sh" "--$name" --output "$scratch/built" >"$scratch/log" 2>&1 || {
  cat "$scratch/log" >&2
  printf 'CANNOT JUDGE: the image could not be built here.\n'
  exit 3
}
built=$(cat "$scratch/built/$name.digest")
shown=${archive:-$scratch/built/$name.oci.tar}
if [[ $built == "$digest" ]]; then
  printf 'YES: this source gives %s.\n\n' "$digest"
  show "$shown"
  exit 0
fi

# What the build said of the source: changes that are not committed, a history that is cut off.
grep '^build_images.sh: ' "$scratch/log" >&2 || true

differences() { # with an archive: how it differs from what was built, as far as its configuration shows
  if [[ -n $archive ]]; then
    printf '      this source (-), the archive (+)\n'
    { diff --unified=0 <(show "$scratch/built/$name.oci.tar") <(show "$archive") || true; } | sed -n '/^[-+][^-+]/s/^/        /p'
    printf '\n'
  fi
  show "$shown"
}

# Other tools make other bytes from the same source; only with the same ones a difference means something.
tools() { grep -E '^(rustc|cc|binutils|libc|buildah) ' "$1" | harmless || true; }
record=${archive%.oci.tar}.record
if [[ -n $archive && -f $record && $(tools "$record") == "$(tools "$scratch/built/$name.record")" ]]; then
  printf 'NO: this source gives another digest, with the same tools.\n      found    %s\n      wanted   %s\n' \
    "$built" "$digest"
  differences
  exit 1
fi
printf 'CANNOT JUDGE: this source gives another digest here, but it may have been built with other tools.\n'
printf '      found    %s\n      wanted   %s\n' "$built" "$digest"
printf '      here\n'
tools "$scratch/built/$name.record" | sed 's/^/        /'
if [[ -n $archive && -f $record ]]; then
  printf '      there\n'
  tools "$record" | sed 's/^/        /'
else
  printf '      next     give the archive with its record beside it, and build with the tools that it names\n'
fi
differences
exit 3
