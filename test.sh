#!/usr/bin/env bash
# Runs everything that must pass.
#
#   ./test.sh                all of it: set-up, format, lints, host tests, memory orders, every interleaving of
#                            all pairs, every named mistake, both images, a minute of fuzzing, the tests in
#                            QEMU
#   ./test.sh --fast         only the host tests
#   ./test.sh [--fast] NAME  only tests whose names contain NAME, and no lints
#
# Every step runs even when an earlier one failed, so that one run tells everything; the last line sums up. Exit status:
# 0 all passed, 1 something failed, 125 set-up was not possible.

set -euo pipefail
program=${0##*/}
here=$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")
# shellcheck source=scripts/setup.sh
. "$here/scripts/setup.sh"
# shellcheck source=scripts/build.sh
. "$here/scripts/build.sh"

fast=no names=()
for argument in "$@"; do
    case $argument in
    --fast) fast=yes ;;
    -h | --help) sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 0 ;;
    -*) die "$argument" "unknown option (--help tells)" ;;
    *) names+=("$argument") ;;
    esac
done
((${#names[@]} <= 1)) || die "${names[1]}" "one NAME at most"

passed=0 failed=() skipped=()

step() { # NAME COMMAND...
    local name=$1 start=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    if "$@"; then
        passed=$((passed + 1))
        printf -- '-- %s: passed (%d s)\n' "$name" $((SECONDS - start))
    else
        failed+=("$name")
        printf -- '-- %s: FAILED (%d s)\n' "$name" $((SECONDS - start))
    fi
}

skip() { # NAME WHY
    printf '\n== %s\n-- skipped: %s\n' "$1" "$2"
    skipped+=("$1")
}

# A step's commands in a subshell: `die` in it ends the step, not the run.
image() { (build_all release "$1") && echo "$CARGO_TARGET_DIR/daxiom-$1.img"; }

# Whether Linux mounts ext2 through a loop device here.
can_loop() {
    local folder status=1
    ((EUID == 0)) && folder=$(mktemp -d) || return 1
    truncate -s 1M "$folder/image" && mke2fs -q -F -t ext2 "$folder/image" &&
        mount -t ext2 -o loop,ro "$folder/image" "$folder" 2>/dev/null && umount "$folder" && status=0
    rm -rf -- "$folder"
    return $status
}

clippy_host() { cargo clippy -q --locked --workspace --exclude kernel --all-targets -- -D warnings; }
clippy_kernel() { kernel_cargo clippy -q --locked --release -p kernel -- -D warnings; }

lints() {
    # Wanted, not needed: without root the rest still runs.
    (build_locked setup lint) || true
    if cargo fmt --version >/dev/null 2>&1; then
        step "format" cargo fmt --all --check
    else
        skip "format" "this toolchain has no rustfmt"
    fi
    if cargo clippy --version >/dev/null 2>&1; then
        step "lints, host crates" clippy_host
        step "lints, kernel" clippy_kernel
    else
        skip "lints" "this toolchain has no clippy"
    fi
}

# The explorer's own tests first: that its reduction loses nothing is what its answers rest on.
explorer() { cargo test -q --locked --profile explore -p explore; }
all_pairs() { (build_explorer) && "$EXPLORER" pairs; }
mutants() { (build_explorer) && "$EXPLORER" mutants; }

fuzzing() {
    local status=0
    "$root/scripts/fuzz.sh" --build || status=$?
    if ((status == 125)); then
        skip "fuzzing" "it could not be set up (see above)"
    else
        step "fuzzing" "$root/scripts/fuzz.sh" 60
    fi
}

cd -- "$root"
if [[ $fast == yes ]]; then needs=(build); else needs=(qemu uefi build); fi
printf '== set-up: %s\n' "${needs[*]}"
build_locked setup "${needs[@]}"
setup build # once more, for this shell: which toolchain
printf -- '-- %s\n' "$("$RUSTC" --version)"

if [[ $fast == no && ${#names[@]} == 0 ]]; then lints; fi
step "host tests" cargo test -q --locked --no-fail-fast -- "${names[@]}"
if [[ $fast == no && ${#names[@]} == 0 ]]; then step "memory orders" scripts/orders.sh; fi
if [[ $fast == no && ${#names[@]} == 0 ]]; then
    step "the explorer's own tests" explorer
    step "every interleaving, all pairs" all_pairs
    step "every named mistake is found" mutants
    if can_loop; then
        step "exchange with Linux" cargo test -q --locked -p fs --test all interop:: -- --ignored
    else
        skip "exchange with Linux" "needs root, and a kernel that mounts ext2 through a loop device"
    fi
fi
if [[ $fast == no ]]; then
    step "BIOS image" image bios
    step "UEFI image" image uefi
    # Two machines at a time, each with two processors: more only makes time-outs.
    if ((${#names[@]} == 0)); then fuzzing; fi
    step "tests in QEMU" cargo test --locked --no-fail-fast -p tests -- --test-threads=2 "${names[@]}"
fi

printf '\n'
if ((${#failed[@]} > 0)); then
    printf 'test.sh: FAILED: %s' "$(printf '%s; ' "${failed[@]}" | sed 's/; $//')"
else
    printf 'test.sh: all passed'
fi
printf ' (%d s)\n' "$SECONDS"
((${#skipped[@]} == 0)) || printf 'test.sh: skipped: %s\n' "${skipped[*]}"
printf 'steps: %d passed, %d failed, %d skipped\n' "$passed" "${#failed[@]}" "${#skipped[@]}"
((${#failed[@]} == 0))
