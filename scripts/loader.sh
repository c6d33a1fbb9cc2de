# shellcheck shell=bash
# The boot loader: the stages that bring the kernel into memory, from the crates of the `bootloader` project. Sourced by
# scripts/build.sh.
#
#   loader_path FIRMWARE     only sets LOADER, the folder with the stages as flat binaries
#   build_loader FIRMWARE    builds them there; once, for a version, a toolchain and the functions below
#
# The project's own `bootloader` crate would compile the same crates: each with a `core` of its own, with debug
# information, optimised for speed where nothing is slow, and again in each copy of this tree (docs/decisions/0016).

# Exact: 0.11.16 and later need a newer nightly than Debian's 1.96 (docs/toolchain.md).
LOADER_VERSION=0.11.15
# What stage 3 of that version is locked to.
FONT_VERSION=0.1.6

loader_path() { LOADER=$CARGO_TARGET_DIR/loader/$1; }

build_loader() {
    local firmware=$1 work=$CARGO_TARGET_DIR/loader/work stamp font
    loader_path "$firmware"
    stamp=$("$RUSTC" -V && { echo "$LOADER_VERSION" && declare -f build_loader small_font stage && cat -- "$root"/boot/targets/*.json; } | sha256sum) || return
    [[ $(cat -- "$LOADER/stamp" 2>/dev/null) != "$stamp" ]] || return 0
    rm -rf -- "$LOADER" && mkdir -p -- "$LOADER" || return
    if [[ $firmware == bios ]]; then
        # Stage 2 has 64 KiB for itself. It and the boot sector, both of real mode, share one `core`.
        stage 1/4 bios-boot-sector "$root/boot/targets/real-mode.json" z boot-sector &&
            stage 2/4 bios-stage-2 "$root/boot/targets/real-mode.json" z stage-2 &&
            small_font && stage 3/4 bios-stage-3 "$root/boot/targets/protected-mode.json" s stage-3 --config "$font" &&
            STAGE_FLAGS=-Crelocation-model=static stage 4/4 bios-stage-4 x86_64-unknown-none s stage-4 || return
    else
        stage 1/1 uefi x86_64-unknown-uefi s loader.efi || return
    fi
    rm -rf -- "$work"
    printf '%s\n' "$stamp" >"$LOADER/stamp"
}

# Stage 3 writes its panics in one size of a font of 24, of which the compiler would read 12 MB for a minute. Makes a copy
# with that size alone, and sets `font` to what has cargo use it.
small_font() {
    local folder=$work/font
    mkdir -p -- "$folder/src" && : >"$folder/src/lib.rs" &&
        printf '[package]\nname = "font"\n[dependencies]\nnoto-sans-mono-bitmap = "=%s"\n[workspace]\n' "$FONT_VERSION" >"$folder/Cargo.toml" &&
        (cd -- "$folder" && cargo -q vendor vendor >/dev/null) &&
        sed -i 's/^default = \["all"\]$/default = ["regular", "size_14"]/' "$folder/vendor/noto-sans-mono-bitmap/Cargo.toml" || return
    folder=${folder//\\/\\\\}
    font="patch.crates-io.noto-sans-mono-bitmap.path=\"${folder//\"/\\\"}/vendor/noto-sans-mono-bitmap\""
}

# stage NUMBER CRATE TARGET LEVEL FILE [OPTION...]: builds a crate for a target, optimised so, into FILE.
stage() {
    local binary=$work/out/bin/bootloader-x86_64-$2 options=("${@:6}")
    printf 'stage %s\n' "$1"
    [[ $3 != *.json ]] || options+=(-Zjson-target-spec)
    # From the root folder: a configuration of cargo's in this tree is not for these.
    (cd / && CARGO_ENCODED_RUSTFLAGS='' && unset CARGO_ENCODED_RUSTFLAGS RUSTC_WORKSPACE_WRAPPER &&
        RUSTFLAGS="-Aunused ${STAGE_FLAGS:-}" cargo install --locked --force --no-track "bootloader-x86_64-$2" --version "=$LOADER_VERSION" \
            --root "$work/out" --target-dir "$work/target" --target "$3" "${options[@]}" \
            -Zbuild-std=core -Zbuild-std-features=compiler-builtins-mem --profile release \
            --config "profile.release.opt-level='$4'" --config 'profile.release.panic="abort"' \
            --config profile.release.debug=false --config profile.release.overflow-checks=false) || return
    case $5 in
    # Stage 2's last section is a mark at the end of the memory it may use, and all before it would be read from disk.
    *-*) "$LLVM_TOOLS/llvm-objcopy" -O binary --remove-section=.end_marker "$binary" "$LOADER/$5" ;;
    *) cp -- "$binary.efi" "$LOADER/$5" ;;
    esac
}
