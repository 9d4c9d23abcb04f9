#!/bin/sh
# Installs the wheels of a folder and runs the tests with them, on whatever this is run on:
#   test_wheels.sh FOLDER
# PYTHONS are the Pythons to use, by default all that promise to load the wheel and are found here;
# FREE_THREADED_PYTHON is the free-threaded one, tested with what its packages allow.
set -eu
wheels=$(cd "${1:?usage: test_wheels.sh FOLDER}" && pwd)
root=$(cd "$(dirname "$0")/../.." && pwd)
scratch=$(mktemp -d)

# Debian and PyPA's images name their Pythons as below; where one is missing, the others are tested.
for name in python3.11 python3.12 python3.13 python3.14; do
  [ -n "${PYTHONS:-}" ] && break
  command -v "$name" >/dev/null && found="${found:-} $(command -v "$name")"
done
PYTHONS=${PYTHONS:-${found:-}}
FREE_THREADED_PYTHON=${FREE_THREADED_PYTHON:-$(command -v python3.14t || true)}
[ -n "$PYTHONS" ] || { echo "test_wheels.sh: no Python from 3.11 on is found here" >&2; exit 1; }

environment() { # NAME PYTHON: makes one, and prints its Python
  "$2" -m venv "$scratch/$1"
  if [ -e "$scratch/$1/Scripts" ]; then echo "$scratch/$1/Scripts/python"; else echo "$scratch/$1/bin/python"; fi
}

# Tests and what they read, away from the sources, so that the installed wheel is what they import.
for part in tests notebooks scripts conda README.md CHANGELOG.md CITATION.cff pyproject.toml Cargo.toml Cargo.lock; do cp -R "$root/$part" "$scratch/"; done
cd "$scratch"

number=0
for python in $PYTHONS; do
  number=$((number + 1))
  own=$(environment "abi3-$number" "$python")
  "$own" -m pip install --quiet --find-links "$wheels" --no-index --no-deps quantray
  if [ "$number" = 1 ]; then
    "$own" -m pip install --quiet --only-binary :all: --find-links "$wheels" 'quantray[test]'
    "$own" -m pytest -q
  else # The others load the same wheel: that they do, and its integers, is enough.
    "$own" -m pip install --quiet --only-binary :all: numpy pytest hypothesis
    "$own" -m pytest -q tests/tensor/test_golden.py tests/threads/test_threads.py
  fi
done

if [ -n "$FREE_THREADED_PYTHON" ]; then
  own=$(environment free-threaded "$FREE_THREADED_PYTHON")
  "$own" -m pip install --quiet --only-binary :all: numpy pytest hypothesis pytest-run-parallel
  "$own" -m pip install --quiet --find-links "$wheels" --no-index --no-deps quantray
  "$own" -m pytest -q tests/tensor/test_golden.py tests/threads/test_threads.py
  # Each test in eight threads at once, which nothing holds back there.
  "$own" -m pytest -q --parallel-threads=8 tests/tensor/test_views.py tests/ops/test_operators.py
else
  echo "test_wheels.sh: no free-threaded Python here: its wheel was not tested"
fi
rm -rf "$scratch"
