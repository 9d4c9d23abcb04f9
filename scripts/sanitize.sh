#!/usr/bin/env bash
# Looks for what tests alone do not see, each by its own tool, and says aloud what could not be run here:
#   scripts/sanitize.sh [SECONDS [address|thread|miri|fuzz]...]
# address: the Rust tests under AddressSanitizer, on every instruction set of this CPU.
# thread:  the tests of `threads` under ThreadSanitizer, and calls that share its pool.
# miri:    the unit tests that need neither intrinsics nor the system, in Miri, which knows all of Rust's rules.
# fuzz:    every fuzz target for SECONDS (by default 60).
# All of them want a nightly compiler: rustup toolchain install nightly --component rust-src --component miri
# Exits with 1 where one found something, with 0 where all that could run passed.
set -uo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- address thread miri fuzz
export CARGO_TERM_COLOR=never
found=() passed=() missing=()

toolchain=
rustup toolchain list 2>/dev/null | grep -q '^nightly' && toolchain=+nightly
host=$(rustc -vV | sed -n 's/^host: //p')

# With a sanitizer's flags, into a folder of its own; the standard library too, where it is rebuilt.
under() { # SANITIZER ARGUMENTS...
  local sanitizer=$1; shift
  RUSTFLAGS="-Zsanitizer=$sanitizer" cargo $toolchain test --quiet --target "$host" \
    --target-dir "target/sanitize-$sanitizer" "$@"
}

has() { # COMPONENT
  rustup component list --toolchain nightly --installed 2>/dev/null | grep -q "^$1"
}

instruction_sets() {
  local flags name flag
  flags=$(sed -n 's/^flags.*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)
  for name in avx2 avxvnni:avx_vnni avx512:avx512bw avx512vnni:avx512_vnni amx:amx_int8; do
    flag=${name#*:}
    case " $flags " in
      *" $flag "*) echo "  $(printf %s "${name%:*}"): run" ;;
      *) echo "  $(printf %s "${name%:*}"): NOT RUN, this CPU does not have it" ;;
    esac
  done
}

result() { # NAME STATUS
  if [ "$2" = 0 ]; then passed+=("$1"); else found+=("$1"); fi
}

for check in "$@"; do
  printf '\n== %s\n' "$check"
  case $check in
    address | thread | miri)
      [ -n "$toolchain" ] || { missing+=("$check: no nightly compiler"); continue; } ;;
  esac
  case $check in
    address)
      # A use after return, too; what the pool keeps to the end of the process is no leak. A test asks for more memory
      # than there is, and wants to be told.
      ASAN_OPTIONS=detect_stack_use_after_return=1:allocator_may_return_null=1 \
        under address --no-fail-fast --lib --test core --test threads
      result address $?
      instruction_sets
      ;;
    thread)
      has rust-src || { missing+=("thread: the nightly compiler has no rust-src"); continue; }
      # Crossbeam's queues, below rayon, order memory by fences, which the sanitizer does not know.
      # A test forks, and its child makes threads, which the sanitizer allows only when told.
      export TSAN_OPTIONS="die_after_fork=0 suppressions=$PWD/scripts/thread-sanitizer.txt"
      under thread -Zbuild-std --test threads && under thread -Zbuild-std --lib threads
      result thread $?
      ;;
    miri)
      has miri || { missing+=("miri: the nightly compiler has no miri"); continue; }
      # Workers of the pool live as long as the process, and an input reads the clock.
      MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-ignore-leaks" QUANTRAY_TEST_REDUCED=1 \
        cargo $toolchain miri test --quiet --target-dir target/sanitize-miri --lib -- \
        error memory qparams arch::isa arch::window program::dims affine::walk
      result miri $?
      echo "  NOT RUN in Miri: whatever has intrinsics or asm, products of floats, forks and mapped files"
      ;;
    fuzz)
      cargo fuzz --version >/dev/null 2>&1 || { missing+=("fuzz: no cargo-fuzz (cargo install cargo-fuzz)"); continue; }
      scripts/fuzz.sh "$seconds"
      result fuzz $?
      ;;
    *)
      echo "sanitize.sh: check must be address, thread, miri or fuzz, got $check" >&2
      exit 2
      ;;
  esac
done

printf '\n'
for name in "${passed[@]}"; do echo "passed: $name"; done
for name in "${missing[@]}"; do echo "NOT RUN: $name"; done
for name in "${found[@]}"; do echo "FOUND SOMETHING: $name"; done
[ ${#found[@]} -eq 0 ]
