#!/usr/bin/env bash
# Fuzzes one part of the project with libFuzzer for so many seconds, starting from seeds that the project makes itself.
#
# What is looked for is not only panics: each target asserts what must hold (fuzz/src/TARGET.rs). The stable toolchain
# does; the sanitizer's compiler flag is unstable, so RUSTC_BOOTSTRAP=1 allows it for these builds alone.
set -euo pipefail

targets=(token x5c claims policy_input session_messages launcher_answers sleep_input wire1_messages inclusion evidence)

usage() {
  cat <<TEXT
Usage: scripts/fuzz.sh TARGET SECONDS
       scripts/fuzz.sh --corpus

  TARGET       ${targets[*]}
  SECONDS      how long, 1 or more
  --corpus     only write the seeds into fuzz/corpus
  -h, --help   this text

Ends with a line that says how many inputs were tried. Exit status: 0 nothing was found, 1 something was (the input is in
fuzz/artifacts/TARGET, and running it again is printed), 2 usage or a tool is missing. One process, 2 GiB of memory at
most, 20 seconds for each input, inputs of up to 32 KiB. What was learnt stays in fuzz/corpus, which git ignores.

Needs cargo-fuzz, which is installed if it is missing, and a C++ compiler. Builds with RUSTC_BOOTSTRAP=1 and the address
sanitizer; FUZZ_SANITIZER=none does without. The first build takes minutes.
TEXT
}

fail() {
  printf 'fuzz.sh: %s\n' "$1" >&2
  exit 2
}

corpus_only=no
case ${1:-} in
  -h | --help) usage && exit 0 ;;
  --corpus) [[ $# -eq 1 ]] || fail '--corpus stands alone; see --help' && corpus_only=yes ;;
  *)
    [[ $# -eq 2 ]] || { usage >&2 && exit 2; }
    [[ " ${targets[*]} " == *" $1 "* ]] || fail "unknown target: $1; wanted one of ${targets[*]}"
    [[ $2 =~ ^[1-9][0-9]{0,6}$ ]] || fail "wanted a number of seconds, got: $2"
    target=$1 seconds=$2
    ;;
esac

command -v cargo >/dev/null || fail 'cargo is missing: install Rust with rustup (https://rustup.rs)'
command -v c++ >/dev/null || fail 'a C++ compiler is missing, for example: apt-get install g++'
if ! command -v cargo-fuzz >/dev/null; then
  printf 'Installing cargo-fuzz ...\n'
  cargo install cargo-fuzz --version 0.13.2 --locked
fi

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export RUSTC_BOOTSTRAP=1
sanitizer=${FUZZ_SANITIZER:-address}
host=$(rustc -vV | sed -n 's/^host: //p')
built=fuzz/target/$host/release

printf 'Building with RUSTC_BOOTSTRAP=1, sanitizer %s ...\n' "$sanitizer"
cargo fuzz build --sanitizer "$sanitizer" seeds
"$built/seeds" fuzz/corpus
if [[ $corpus_only == yes ]]; then
  printf 'Seeds written: %s files in fuzz/corpus\n' "$(find fuzz/corpus -type f | wc -l)"
  exit 0
fi
cargo fuzz build --sanitizer "$sanitizer" "$target"

log=$(mktemp "${TMPDIR:-/tmp}/fuzz.XXXXXX")
trap 'rm -f "$log"' EXIT
mkdir -p "fuzz/artifacts/$target"
status=0
"$built/$target" "fuzz/corpus/$target" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=20 -max_len=32768 \
  -artifact_prefix="fuzz/artifacts/$target/" -print_final_stats=1 2>&1 | tee "$log" || status=$?

count() { # count NAME: one of libFuzzer's final figures
  sed -n "s/^stat::$1: *//p" "$log" | tail -n 1
}
executed=$(count number_of_executed_units)
covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
if [[ $status -eq 0 ]]; then
  printf '%s: nothing found; %s inputs in %s s, %s edges, %s MiB at most\n' "$target" "${executed:-?}" "$seconds" \
    "${covered:-?}" "$(count peak_rss_mb)"
else
  printf '%s: FOUND something after %s inputs; the input is in fuzz/artifacts/%s, run it again with: %s FILE\n' \
    "$target" "${executed:-some}" "$target" "$built/$target"
  exit 1
fi
