#!/usr/bin/env bash
# Step 2: Google's root certificate for auditors, checked against two fingerprints that are written down here.
# Nothing needs the file at run time: the programs have the SHA-256 compiled in.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Where Google publishes it, and its SHA-1 as the codelab prints it. certs/README.md has the same values.
url=https://confidentialcomputing.googleapis.com/.well-known/confidential_space_root.crt
wanted_sha256=148B293821BB0C6A317F413C8BA475814091CB22D49B9E3C94198DB8E8F86C39
wanted_sha1=B95120742C24E3AA34042E1C3BA3AAD28B212321
target=$project_dir/certs/confidential_space_root.pem

usage() {
  cat <<'TEXT'
Usage: scripts/download_root.sh [--dry-run]

Downloads the root certificate of Confidential Space into certs/confidential_space_root.pem, and keeps it only if it
is exactly one certificate with the SHA-256 and SHA-1 fingerprints that this script holds. A file that is there
already is checked the same way and not downloaded again.

  --dry-run    print the command, run none
  -h, --help   this text
TEXT
}
while (($#)); do common_flag "$1" && shift; done
need curl 'install curl, for example: apt-get install curl'
need openssl 'install openssl, for example: apt-get install openssl'

fingerprint() { # fingerprint sha256|sha1 FILE: of the certificate's DER, as hexadecimal digits without colons
  local line
  line=$(openssl x509 -in "$2" -noout -fingerprint "-$1" 2>/dev/null) || return 1
  line=${line#*=}
  printf '%s' "${line//:/}"
}

check_root() { # check_root FILE NEXT: ends the script unless the file is the pinned root and nothing else
  local certificates sha256 sha1
  certificates=$(grep -c -- '-----BEGIN' "$1" || true)
  if ((certificates != 1)); then fail "wanted one certificate, got a file with $certificates" "$2"; fi
  sha256=$(fingerprint sha256 "$1") || fail 'wanted a certificate in PEM, got something else' "$2"
  sha1=$(fingerprint sha1 "$1") || fail 'wanted a certificate in PEM, got something else' "$2"
  if [[ $sha256 != "$wanted_sha256" ]]; then fail "SHA-256: wanted $wanted_sha256, got $sha256" "$2"; fi
  if [[ $sha1 != "$wanted_sha1" ]]; then fail "SHA-1: wanted $wanted_sha1, got $sha1" "$2"; fi
}

download=(
  curl --fail --silent --show-error --location --proto '=https' --tlsv1.2 --max-time 60 --max-filesize 65536
  --output
)
if [[ $dry_run == yes ]]; then
  step "download the root; it is kept if its SHA-256 is $wanted_sha256"
  run "${download[@]}" "$target" "$url"
  exit 0
fi
if [[ -e $target ]]; then
  step "the root that is there already"
  check_root "$target" "somebody changed $target: look at it, delete it, and run this again"
  say '  it is the pinned root'
  exit 0
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/usleep-root.XXXXXX")
forget_download() { rm -rf "$work"; }
at_exit forget_download
step "download $url"
run "${download[@]}" "$work/root.pem" "$url"
step 'check its fingerprints'
check_root "$work/root.pem" 'nothing was kept: what came is not the root of Confidential Space that is pinned here'
mkdir -p "$(dirname "$target")"
# As openssl writes it: the certificate alone, without whatever text stood around it.
openssl x509 -in "$work/root.pem" -out "$work/kept.pem" || failed $?
mv "$work/kept.pem" "$target"
say "  SHA-256 $wanted_sha256"
say "  SHA-1   $wanted_sha1"
say "It is the pinned root: $target"
