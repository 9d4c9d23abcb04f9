#!/bin/sh
# Runs every fuzz target for a while, 60 seconds each by default:
#   scripts/fuzz.sh [SECONDS [TARGET...]]
# Needs cargo-fuzz (cargo install cargo-fuzz), a C++ compiler, and a nightly toolchain or, without one, whatever there is
# with its unstable options unlocked. What is found lies in fuzz/artifacts, and the target says how to run it again.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
[ $# -eq 0 ] || shift
toolchain=
if rustup toolchain list 2>/dev/null | grep -q '^nightly'; then
  toolchain=+nightly
else
  export RUSTC_BOOTSTRAP=1
fi
[ $# -gt 0 ] || set -- $(cargo $toolchain fuzz list)
for target in "$@"; do
  echo "== $target"
  # An input that takes longer than half a minute is a finding too.
  cargo $toolchain fuzz run "$target" -- -max_total_time="$seconds" -max_len=1024 -timeout=30 -print_final_stats=1
done
