#!/usr/bin/env bash
# The memory orders of the locks and of the mapping index, under loom (docs/memory-orders.md).
#
#   scripts/orders.sh                 every model; then every access they make, made wrong, must fail a model
#   scripts/orders.sh --sample        every model; then each eighth of those mistakes, as ./test.sh does
#   scripts/orders.sh MODEL           one model
#   scripts/orders.sh MODEL MISTAKE   one model with a mistake, as the first form prints it
#
# What was found is in target/loom/orders.txt. Needs cargo and what Cargo.lock names. Exit status: that of the tests.

set -euo pipefail
cd -- "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/.."

# A target of its own: the flag is for every crate of the build.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom" RUSTFLAGS="${RUSTFLAGS:-} --cfg loom"
exec cargo run -q --locked --profile orders -p orders -- "$@"
