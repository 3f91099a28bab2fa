#!/usr/bin/env bash
# Writes the digest of an audited image into the data owner's baseline, with a note on what and when.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/pin_digest.sh [DIGEST] [--add] [--label TEXT] [--baseline FILE]

  DIGEST           sha256: and 64 hexadecimal digits; that of target/images/usleep.digest unless given
  --add            allow it beside those that are there, for a rollout; otherwise it is the only one
  --label TEXT     what it is, for reports (usleep and its version)
  --baseline FILE  the file to change (policy/baseline.json)
  -h, --help       this text

Audit before you pin: scripts/audit_image.sh DIGEST. Needs jq.
TEXT
}

fail() {
  printf 'pin_digest.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
baseline=$project/policy/baseline.json digest='' add=false label=''
while (($#)); do
  case $1 in
    --add) add=true ;;
    --label)
      [[ -n ${2:-} ]] || fail '--label wants a text' 2
      label=$2 && shift
      ;;
    --baseline)
      [[ -n ${2:-} ]] || fail '--baseline wants a file' 2
      baseline=$2 && shift
      ;;
    -h | --help) usage && exit 0 ;;
    -*) usage >&2 && fail "unknown argument: $1" 2 ;;
    *)
      [[ -z $digest ]] || fail 'wanted one digest, got two' 2
      digest=$1
      ;;
  esac
  shift
done
command -v jq >/dev/null 2>&1 || fail 'jq is missing: install it, for example with: apt-get install jq' 2

if [[ -z $digest ]]; then
  built=$project/target/images/usleep.digest
  [[ -f $built ]] || fail "no digest given, and no $built: run scripts/build_images.sh first" 2
  digest=$(cat "$built")
fi
# Exactly the form that the manifest's digest has in a token; anything else would never match.
[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] ||
  fail "not a digest: wanted sha256: and 64 lower-case hexadecimal digits, got $(printf '%q' "${digest:0:100}")" 2
[[ -f $baseline ]] || fail "no baseline at $baseline" 2
# A link stays a link: what it leads to is changed.
baseline=$(readlink -f -- "$baseline")
jq -e --slurp 'length == 1 and (.[0] | type == "object")' "$baseline" >/dev/null 2>&1 || fail "$baseline is not one JSON object" 2
jq -e '.image_digest_notes // {} | type == "object"' "$baseline" >/dev/null ||
  fail "$baseline: image_digest_notes is no object of digests: mend or remove it" 2
if [[ $add == true ]]; then
  jq -e '.allowed_submods_container_image_digest | type == "array"' "$baseline" >/dev/null ||
    fail "$baseline: allowed_submods_container_image_digest is no list of digests: pin without --add" 2
fi
if [[ -z $label ]]; then
  label="usleep $(sed -n 's/^version = "\(.*\)"$/\1/p' "$project/Cargo.toml" | head -n 1)"
fi

# As the file is indented, so that a review shows the change alone.
indent=$(sed -n '2s/^\([[:blank:]]*\).*/\1/p' "$baseline")
case $indent in
  $'\t') form=(--tab) ;;
  ' ' | '  ' | '   ' | '    ') form=(--indent "${#indent}") ;;
  *) form=(--indent 2) ;;
esac

changed=$(mktemp "$baseline.XXXXXX")
trap 'rm -f "$changed"' EXIT
jq "${form[@]}" --arg digest "$digest" --arg text "$label" --arg date "$(date -u +%F)" --argjson add "$add" '
  (if $add then .allowed_submods_container_image_digest else [] end) as $kept
  | .allowed_submods_container_image_digest = ($kept - [$digest] + [$digest])
  | .image_digest_notes = ((.image_digest_notes // {} | with_entries(select(.key as $key | $kept | index($key))))
      + {($digest): {"label": $text, "date": $date}})
' "$baseline" >"$changed"
chmod --reference="$baseline" "$changed"
mv "$changed" "$baseline"
trap - EXIT
printf 'pinned %s (%s) in %s\n' "$digest" "$label" "$baseline"
