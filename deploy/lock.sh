#!/bin/sh
# Write the constraints: every version with its hashes, for every supported Python, and no registry's address.
set -eu
cd "$(dirname "$0")/.."
lock() {
    name=$1
    shift
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
        --no-annotate --custom-compile-command deploy/lock.sh "$@" --output-file "deploy/constraints/$name.txt"
}
ours="pyproject.toml deploy/constraints/build.in"
# shellcheck disable=SC2086
lock device $ours
# shellcheck disable=SC2086
lock demo --extra demo $ours
# shellcheck disable=SC2086
lock dev --extra demo --extra train --group dev $ours
lock sbom deploy/constraints/sbom.in
lock audit deploy/constraints/audit.in
lock release deploy/constraints/release.in
lock container deploy/constraints/container.in
lock site deploy/constraints/site.in
lock uv deploy/constraints/uv.in
