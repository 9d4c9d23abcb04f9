#!/bin/sh
# Damages small ONNX models in 100,000 ways, by default those that the installed onnx package brings, and checks that each is
# read or refused, in time, within the memory that the reader promises:
#   scripts/damage_onnx.sh [FOLDER [MUTANTS]]
set -eu
cd "$(dirname "$0")/.."
folder=${1:-$(python -c 'import os, onnx; print(os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data"))')}
QUANTRAY_ONNX_MODELS=$folder QUANTRAY_ONNX_MUTANTS=${2:-100000} \
  cargo test --release -p quantray-core --test onnx -- --nocapture --test-threads=1
