#!/usr/bin/env bash
# Builds the kernel and its bootable image. Sourced by qemu-run.sh and test.sh, or run by itself:
#
#   scripts/build.sh [--debug] [--uefi]       builds, then prints the two files' names
#
#   build_paths PROFILE FIRMWARE    only sets KERNEL_ELF and BOOT_IMAGE (for --no-build)
#   build_all PROFILE FIRMWARE [PURPOSE...]
#                                   sets up what is missing (for the purposes, too), builds both, sets the same two
#   build_locked COMMAND...         runs COMMAND while no other build of this checkout runs
#   kernel_cargo COMMAND OPTION...  cargo for the kernel's target
#   build_explorer                  builds the explorer, $EXPLORER
#
# PROFILE is release or debug, FIRMWARE bios or uefi. cargo decides what is stale; the image is made again whenever the
# kernel's or the boot program's contents have changed. Needs scripts/setup.sh's functions.

set -euo pipefail
# shellcheck source=scripts/setup.sh
[[ ${root:-} ]] || . "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

# The caller's choice is respected; a relative one means the caller's directory, as with cargo.
CARGO_TARGET_DIR=$(realpath -m -- "${CARGO_TARGET_DIR:-$root/target}")
export CARGO_TARGET_DIR

EXPLORER=$CARGO_TARGET_DIR/explore/explore

build_paths() {
    local profile=$1 firmware=$2 suffix=
    [[ $profile == release ]] || suffix=-$profile
    KERNEL_ELF=$CARGO_TARGET_DIR/x86_64-target/$profile/kernel
    BOOT_IMAGE=$CARGO_TARGET_DIR/daxiom-$firmware$suffix.img
}

build_all() {
    build_paths "$1" "$2"
    build_locked build_steps "$@"
}

# In a subshell, which lets go of the lock however it ends; QEMU, started later, never inherits it.
build_locked() {
    check_build_directory
    (
        if declare -F unlock_images >/dev/null; then unlock_images; fi
        if ! flock -w 5 9; then
            say "build" "waiting for another build of this checkout"
            flock 9
        fi
        "$@"
    ) 9>"$CARGO_TARGET_DIR/.daxiom-lock" || exit
}

build_steps() {
    local profile=$1 firmware=$2 notice
    setup build "${@:3}"

    # Nothing to do takes half a second and says nothing; whoever waits longer is told what for.
    announce "building the kernel and the $firmware image (up to 6 minutes the first time)" &
    notice=$!
    if ! build_kernel "$profile"; then
        stop "$notice"
        die "build" "the kernel does not compile (see above)"
    fi
    if ! build_image "$firmware"; then
        stop "$notice"
        die "build" "the $firmware image could not be made (see above)"
    fi
    stop "$notice"
}

# Says it after two seconds, unless stopped before. Nothing of ours that outlives us may hold the lock or our output.
announce() {
    exec 9>&-
    trap 'kill "$timer"' TERM
    sleep 2 >/dev/null 2>&1 &
    timer=$!
    if wait "$timer"; then say "build" "$1"; fi
}

stop() {
    kill "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

build_kernel() {
    local flags=()
    [[ $1 == debug ]] || flags+=("--$1")
    kernel_cargo build -q -p kernel "${flags[@]}" >&2
}

# kernel_cargo COMMAND OPTION...: cargo with what the kernel's own target takes.
kernel_cargo() {
    local command=$1
    shift
    (cd -- "$root" && cargo "$command" --target x86_64-target.json -Zjson-target-spec \
        -Zbuild-std=core,alloc -Zbuild-std-features=compiler-builtins-mem "$@")
}

build_explorer() {
    (cd -- "$root" && cargo build -q --locked --profile explore -p explore) >&2
}

build_image() {
    local firmware=$1 boot=$CARGO_TARGET_DIR/debug/boot stripped stamp
    (cd -- "$root" && cargo build -q -p boot --features "$firmware") >&2 || return
    stamp=$(sha256sum <"$KERNEL_ELF" && sha256sum <"$boot") || return
    if [[ -f $BOOT_IMAGE && $(cat -- "$BOOT_IMAGE.stamp" 2>/dev/null) == "$stamp" ]]; then
        return
    fi
    # Debug sections are gdb's, who reads them from the ELF file: the BIOS would take seconds to load them.
    stripped=$BOOT_IMAGE.kernel
    "$LLVM_TOOLS/llvm-objcopy" --strip-debug "$KERNEL_ELF" "$stripped" || return
    "$boot" "$stripped" "$BOOT_IMAGE" "--$firmware" >&2 || return
    rm -f -- "$stripped"
    printf '%s\n' "$stamp" >"$BOOT_IMAGE.stamp"
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    profile=release firmware=bios
    for argument in "$@"; do
        case $argument in
        --debug) profile=debug ;;
        --uefi) firmware=uefi ;;
        *) die "$argument" "unknown option; usage: scripts/build.sh [--debug] [--uefi]" ;;
        esac
    done
    build_all "$profile" "$firmware"
    printf '%s\n' "$KERNEL_ELF" "$BOOT_IMAGE"
fi
