#!/bin/sh
# Builds the compiled part and puts it beside the Python sources, so that these run as they lie:
#   scripts/build.sh && PYTHONPATH=python python -m pytest tests/...
# Only what has changed is compiled. PYO3_PYTHON is the Python to build for; the first one found, without.
set -eu
cd "$(dirname "$0")/.."
PYO3_PYTHON=${PYO3_PYTHON:-$(command -v python3 || command -v python)}
export PYO3_PYTHON
cargo build --release --package quantray --features abi3
folder=${CARGO_TARGET_DIR:-target}/release
for library in libquantray.so libquantray.dylib quantray.dll; do
  [ -e "$folder/$library" ] || continue
  case $library in
    *.dll) made=python/quantray/_core.pyd ;;
    *) made=python/quantray/_core.abi3.so ;;
  esac
  # Another file, not another content: a process that has the old one mapped goes on with it.
  cp "$folder/$library" "$made.new" && mv "$made.new" "$made"
  echo "$made"
done
