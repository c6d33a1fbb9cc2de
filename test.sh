#!/usr/bin/env bash
# Runs everything that must pass.
#
#   ./test.sh                all of it: set-up, format, lints, host tests, memory orders, every interleaving of
#                            all pairs, every named mistake, both images, fuzzing, the tests in QEMU
#   ./test.sh --long         the same, with what takes hours in full: many more random sequences, every mistake in
#                            memory orders, every flush and fence left out in turn, an hour of fuzzing
#   ./test.sh --fast         only the host tests
#   ./test.sh [--fast] NAME  only tests whose names contain NAME (a file's is the first part: mmap::), and no lints
#
# Every step runs even when an earlier one failed, so that one run tells everything. What each cost is told at its end and
# in a table; the last line sums up. Exit status: 0 all passed, 1 something failed or no test has that NAME, 125 set-up
# was not possible.

set -euo pipefail
program=${0##*/}
here=$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")
# shellcheck source=scripts/setup.sh
. "$here/scripts/setup.sh"
# shellcheck source=scripts/build.sh
. "$here/scripts/build.sh"

fast=no long=no wanted=()
for argument in "$@"; do
    case $argument in
    --fast) fast=yes ;;
    --long) long=yes ;;
    -h | --help) sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 0 ;;
    -* | '') die "$argument" "unknown option (--help tells)" ;;
    *) wanted+=("$argument") ;;
    esac
done
((${#wanted[@]} <= 1)) || die "${wanted[1]}" "one NAME at most"
[[ $fast$long != yesyes ]] || die "--fast --long" "one of them at most"
check_build_directory
# shellcheck source=scripts/steps.sh
. "$here/scripts/steps.sh"
names=("${wanted[@]}")

# The same random numbers each time, so that nothing fails by chance; --long looks elsewhere each time.
if [[ $long == yes ]]; then
    export DAXIOM_LONG=1
else
    export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-5}
fi

# A step's commands in a subshell: `die` in it ends the step, not the run.
image() { (build_all release "$1") && echo "$CARGO_TARGET_DIR/daxiom-$1.img"; }

# Whether Linux mounts ext2 through a loop device here. In mounts of its own: nobody else sees it, nothing is left.
can_loop() {
    local folder status=1
    ((EUID == 0)) && folder=$(mktemp -d) || return 1
    truncate -s 1M "$folder/image" && mke2fs -q -F -t ext2 "$folder/image" &&
        unshare -m mount -t ext2 -o loop,ro "$folder/image" "$folder" 2>/dev/null &&
        unshare -m mount -t ext4 -o loop,ro "$folder/image" "$folder" 2>/dev/null && status=0
    rm -rf -- "$folder"
    return $status
}

# All in the profile of tests: each crate is checked once for itself and its tests.
clippy_host() { cargo clippy -q --locked --workspace --exclude kernel --exclude base --exclude store --exclude lab --exclude daxiom-fuzz --profile test --all-targets -- -D warnings; }
# `fs` without its lab: nothing else builds it so.
clippy_without_lab() { cargo clippy -q --locked -p fs --no-default-features --profile test --lib -- -D warnings; }
# For the host's target: its `core` is there, and nothing of the kernel asks which target it is.
clippy_kernel() { cargo clippy -q --locked -p kernel -- -D warnings; }

lints() {
    # Wanted, not needed: without root the rest still runs.
    if (build_locked setup lint); then setup build; fi
    if cargo fmt --version >/dev/null 2>&1; then
        step "format" cargo fmt --all --check
    else
        skip "format" "this toolchain has no rustfmt"
    fi
    if cargo clippy --version >/dev/null 2>&1; then
        step "lints, host crates" clippy_host
        step "lints, fs without its lab" clippy_without_lab
        step "lints, kernel" clippy_kernel
    else
        skip "lints" "this toolchain has no clippy"
    fi
}

# Whether a test in these sources may have the NAME, if there is one: what takes minutes to build is not built for nothing.
may_have() { # FILE-OR-FOLDER...
    ((${#names[@]} > 0)) || return 0
    local last=${names[0]##*::} first=${names[0]%%::*}
    [[ -n $last ]] || last=$first
    grep -rqE --include='*.rs' "fn [a-z0-9_]*$last" "$@" || find "$@" | grep "/[a-z0-9_]*$first[a-z0-9_]*\(\.rs\|$\)" >/dev/null
}

# The explorer's own tests first: that its reduction loses nothing is what its answers rest on.
explorer_tests() { cargo_tests --profile explore -p explore -- "${names[@]}"; }
all_pairs() { (build_explorer) && "$EXPLORER" pairs; }

# One line; the rest is in a file.
mutants() {
    local log=$logs/mutants.log status=0
    (build_explorer) || return
    "$EXPLORER" mutants >"$log" 2>&1 || status=$?
    grep '^SURVIVED' "$log" || true
    printf '%s (each with its story: %s)\n' "$(grep -E '^[0-9]+ of [0-9]+ mistakes found$' "$log" || tail -n 3 "$log")" "$log"
    return $status
}

memory_orders() {
    if [[ $long == yes ]]; then scripts/orders.sh; else scripts/orders.sh --sample; fi
}

fuzzing() {
    local status=0
    if [[ $long == yes ]]; then
        scripts/fuzz.sh 3600 || status=$?
    else
        scripts/fuzz.sh --runs 20000 || status=$?
    fi
    if ((status == 125)); then echo "it could not be set up (see above)" >"$logs/.why-skipped"; fi
    return $status
}

cd -- "$root"
if [[ $fast == yes ]]; then needs=(build); else needs=(qemu uefi build); fi
printf '== set-up: %s\n' "${needs[*]}"
build_locked setup "${needs[@]}"
setup build # once more, for this shell: which toolchain
printf -- '-- %s\n' "$("$RUSTC" --version)"

all=no
if [[ $fast == no && ${#names[@]} == 0 ]]; then all=yes; fi

if [[ $all == yes ]]; then lints; fi
step "host tests" cargo_tests -- "${names[@]}"
if [[ $fast == no ]] && may_have fs/tests/interop.rs fs/tests/ext4_{journal,oracle,reading}.rs fs/tests/jbd2_interop.rs; then
    if can_loop; then
        step "exchange with Linux" cargo_tests -p fs --test fs-tests -- --ignored "${names[@]}"
    else
        skip "exchange with Linux" "needs root, and a kernel that mounts ext2 and ext4 through a loop device"
    fi
fi
if [[ $all == yes ]]; then step "memory orders" memory_orders; fi
if [[ $fast == no ]] && may_have verify/explore; then step "the explorer's own tests" explorer_tests; fi
if [[ $all == yes ]]; then
    step "every interleaving, all pairs" all_pairs
    step "every named mistake is found" mutants
    step "fuzzing" fuzzing
fi
if [[ $fast == no ]] && may_have tests/tests tests/src; then
    step "BIOS image" image bios
    mapfile -t with_uefi < <(grep -rl -e '--uefi' tests/tests)
    if may_have "${with_uefi[@]}"; then step "UEFI image" image uefi; fi
    # Two machines at a time, each with two processors: more only makes time-outs.
    step "tests in QEMU" cargo_tests -p tests -- --test-threads=2 "${names[@]}"
fi
if [[ $all == yes ]]; then
    if [[ -n $tree_before ]]; then
        step "the run changed no file that git knows" unchanged
    else
        skip "the run changed no file that git knows" "this is no checkout of git"
    fi
fi
summary
