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
# shellcheck source=scripts/loader.sh
. "$root/scripts/loader.sh"
# shellcheck source=scripts/progress.sh
. "$root/scripts/progress.sh"

# The caller's choice is respected; a relative one means the caller's directory, as with cargo.
CARGO_TARGET_DIR=$(realpath -m -- "${CARGO_TARGET_DIR:-$root/target}")
export CARGO_TARGET_DIR

KERNEL_TARGET=x86_64-unknown-none
EXPLORER=$CARGO_TARGET_DIR/explore/explore

build_paths() {
    local profile=$1 firmware=$2 suffix=
    [[ $profile == release ]] || suffix=-$profile
    KERNEL_ELF=$CARGO_TARGET_DIR/$KERNEL_TARGET/$profile/kernel
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
    local failed
    profile=$1 firmware=$2
    setup build "${@:3}"
    settle_copy
    loader_path "$firmware"
    side_by_side "building the kernel and the $firmware boot loader (2 to 4 minutes the first time)" \
        kernel build_kernel "boot loader" build_boot
    case $failed in
    kernel) die "build" "the kernel does not compile (see above)" ;;
    boot*) die "build" "the $firmware boot loader does not compile (see above)" ;;
    esac
    build_image || die "build" "the $firmware image could not be made (see above)"
}

# In a copy of a tree all is new, in the order in which it was copied. What has changed is told by contents (see
# kernel_cargo), but cargo wants nothing of what it made to be older than what that was made from: all is made of one age.
settle_copy() {
    local place folder folders=()
    place="$CARGO_TARGET_DIR $(stat -c %d:%i -- "$CARGO_TARGET_DIR")"
    [[ $(cat -- "$CARGO_TARGET_DIR/.place" 2>/dev/null) != "$place" ]] || return 0
    for folder in "$CARGO_TARGET_DIR"/{release,"$KERNEL_TARGET",loader}; do
        [[ ! -d $folder ]] || folders+=("$folder")
    done
    ((${#folders[@]} == 0)) || find "${folders[@]}" -exec touch -h -d "@$EPOCHSECONDS" {} + || return
    printf '%s\n' "$place" >"$CARGO_TARGET_DIR/.place"
}

build_kernel() {
    local flags=()
    [[ $profile == debug ]] || flags+=("--$profile")
    kernel_cargo build -p kernel "${flags[@]}"
}

# The stages, and the program that puts them and the kernel on a disk.
build_boot() {
    build_loader "$firmware" && cd -- "$root" &&
        CARGO_UNSTABLE_CHECKSUM_FRESHNESS=true cargo build -p boot --target-dir "$CARGO_TARGET_DIR/loader/host"
}

# kernel_cargo COMMAND OPTION...: cargo with what the kernel takes: code for a machine without an operating system, whose
# panics can walk the frames, and whose crates reach each other's functions and variables without a table of addresses in
# between. What has changed is told by contents: in a copied tree all files are new.
kernel_cargo() {
    local command=$1
    shift
    (cd -- "$root" && env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS CARGO_UNSTABLE_CHECKSUM_FRESHNESS=true \
        CARGO_TARGET_X86_64_UNKNOWN_NONE_RUSTFLAGS="-Cforce-frame-pointers=yes -Zdefault-visibility=hidden \
            -Zdirect-access-external-data=yes" \
        cargo "$command" --target "$KERNEL_TARGET" \
        -Zbuild-std=core,alloc -Zbuild-std-features=compiler-builtins-mem "$@")
}

build_explorer() {
    (cd -- "$root" && cargo build -q --locked --profile explore -p explore) >&2
}

build_image() {
    local boot=$CARGO_TARGET_DIR/loader/host/debug/boot stripped stamp
    stamp=$(sha256sum <"$KERNEL_ELF" && sha256sum <"$boot" && sha256sum <"$LOADER/stamp") || return
    if [[ -f $BOOT_IMAGE && $(cat -- "$BOOT_IMAGE.stamp" 2>/dev/null) == "$stamp" ]]; then
        # Compiled anew to the same: the image is as young as the file with its names, which a panic asks for.
        [[ ! $KERNEL_ELF -nt $BOOT_IMAGE ]] || touch -- "$BOOT_IMAGE"
        return
    fi
    # Names and lines are gdb's and addr2line's, who read them from the ELF file: the BIOS would take seconds to load them.
    stripped=$BOOT_IMAGE.kernel
    "$LLVM_TOOLS/llvm-objcopy" --strip-all "$KERNEL_ELF" "$stripped" || return
    "$boot" "--$firmware" "$LOADER" "$stripped" "$BOOT_IMAGE" || return
    rm -f -- "$stripped"
    printf '%s\n' "$stamp" >"$BOOT_IMAGE.stamp"
} >&2

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
