#!/bin/sh
# Write the constraints: every version with its hashes, for every supported Python, and no registry's address.
set -eu
cd "$(dirname "$0")/.."
lock() {
    name=$1
    shift
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
        --no-annotate --custom-compile-command deploy/lock.sh "$@" pyproject.toml deploy/constraints/build.in \
        --output-file "deploy/constraints/$name.txt"
}
lock device
lock demo --extra demo
lock dev --extra demo --extra train --group dev
