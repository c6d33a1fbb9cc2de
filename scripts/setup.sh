# shellcheck shell=bash
# Set-up: finds what this machine lacks and installs it. Sourced by qemu-run.sh, test.sh and scripts/build.sh.
#
#   setup qemu build uefi lint fuzz install what is missing for these purposes; choose the Rust toolchain
#   say WHAT [WHY]                  one line on stderr, in the calling script's name
#   die WHAT WHY                    the same, then exit 125: "could not build or start"
#
# With everything in place it takes a few file tests and one `rustc --version`, says nothing and changes nothing.
# What it may change: packages (apt, as root or through sudo, never removing one) and three links to LLVM's tools where
# Debian's Rust expects them. Where that is impossible, or not wished (DAXIOM_INSTALL=no), it prints the one line that
# would do it. DAXIOM_TOOLCHAIN chooses the toolchain: `debian`, or a name that rustup knows (docs/toolchain.md).

# shellcheck disable=SC2034 # some of these are for the sourcing script

program=${program:-${0##*/}}
root=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# Debian keeps mke2fs and losetup where an ordinary user's PATH does not look.
PATH=$PATH:/usr/sbin:/sbin

# Debian's first version that builds the kernel (-Zjson-target-spec), and the nightly for everybody else.
RUST_MINOR=96
PINNED_NIGHTLY=nightly-2026-05-20
DEBIAN_LLVM_TOOLS=/usr/lib/rustlib/x86_64-unknown-linux-gnu/bin

say() { printf '%s: %s\n' "$program" "$1${2:+: $2}" >&2; }
die() { say "$@"; exit 125; }
have() { command -v "$1" >/dev/null 2>&1; }

setup() {
    choose_toolchain
    local packages=() links=() purpose
    for purpose in "$@"; do
        case $purpose in
        qemu)
            have qemu-system-x86_64 || packages+=(qemu-system-x86)
            have mke2fs || packages+=(e2fsprogs)
            have flock || packages+=(util-linux)
            ;;
        uefi) find_ovmf || packages+=(ovmf) ;;
        build)
            # cargo fetches crates over https; a fresh machine may know no certificates.
            [[ -d /etc/ssl/certs || -d /etc/pki ]] || packages+=(ca-certificates)
            have cc || packages+=(gcc libc6-dev)
            [[ $toolchain != debian ]] || missing_debian_rust
            ;;
        # libFuzzer is C++.
        fuzz) have c++ || packages+=(g++) ;;
        lint)
            if [[ $toolchain == debian ]]; then
                [[ -x /usr/bin/cargo-fmt ]] || packages+=(rustfmt-web)
                [[ -x /usr/bin/cargo-clippy ]] || packages+=(rust-web-clippy)
            fi
            ;;
        esac
    done
    ((${#packages[@]} + ${#links[@]} == 0)) || install_missing
    if [[ " $* " == *' build '* || " $* " == *' lint '* ]]; then use_toolchain; fi
}

# Debian 12 has all that is needed; elsewhere rustup's pinned nightly does. A choice by hand wins.
choose_toolchain() {
    toolchain=${DAXIOM_TOOLCHAIN:-}
    [[ -z $toolchain ]] || return 0
    toolchain=$PINNED_NIGHTLY
    if debian_rust_works || (. /etc/os-release && [[ $ID == debian && $VERSION_ID == 12 ]]) 2>/dev/null; then
        toolchain=debian
    fi
}

debian_rust_works() {
    local version
    [[ -x /usr/bin/cargo && -d /usr/lib/rustlib/src/rust/library ]] &&
        version=$(/usr/bin/rustc --version 2>/dev/null) && [[ $version =~ ^rustc\ 1\.([0-9]+) ]] &&
        ((BASH_REMATCH[1] >= RUST_MINOR))
}

# Adds to setup's `packages`, and to `links`: `bootloader` looks for three of LLVM's tools in the sysroot, where Debian
# does not put them.
missing_debian_rust() {
    local tool
    debian_rust_works || packages+=(rustc-web cargo-web rust-web-src)
    [[ -x /usr/lib/llvm-22/bin/llvm-objcopy ]] || packages+=(llvm-22)
    [[ -x /usr/lib/llvm-22/bin/lld ]] || packages+=(lld-22)
    for tool in rust-lld llvm-objcopy llvm-objdump; do
        [[ -x $DEBIAN_LLVM_TOOLS/$tool ]] || links+=("ln -sf /usr/lib/llvm-22/bin/${tool#rust-} $DEBIAN_LLVM_TOOLS/$tool")
    done
}

# Installs setup's `packages` and makes its `links`, as root or through sudo, or prints the line that would.
install_missing() {
    local quiet='' plain='' what=${packages[*]} sudo=(sudo) line output
    if ((${#packages[@]} > 0)); then
        have apt-get || die "set-up" "this machine lacks $what (Debian's names) and has no apt-get: docs/toolchain.md"
        # --no-remove: taking away another Rust that the user has installed is not ours to decide.
        quiet="apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-remove --no-install-recommends $what"
        plain="apt-get update && apt-get install -y --no-install-recommends $what"
    fi
    if ((${#links[@]} > 0)); then
        what+="${what:+, }links in $DEBIAN_LLVM_TOOLS"
        line="mkdir -p $DEBIAN_LLVM_TOOLS$(printf ' && %s' "${links[@]}")"
        quiet+="${quiet:+ && }$line" plain+="${plain:+ && }$line"
    fi
    line="sudo sh -c '$plain'"

    [[ -t 0 && -t 2 ]] || sudo+=(-n) # nobody there to type a password
    if [[ ${DAXIOM_INSTALL:-yes} == no ]]; then
        die "set-up" "DAXIOM_INSTALL=no and something is missing, which this would install: $line"
    elif ((EUID == 0)); then
        sudo=()
    elif ! have sudo || ! "${sudo[@]}" true 2>/dev/null; then
        die "set-up" "something is missing, and only root can install it: $line"
    fi
    say "set-up" "installing $what"
    if ! output=$("${sudo[@]}" sh -c "$quiet" </dev/null 2>&1); then
        tail -n 20 <<<"$output" >&2
        die "set-up" "that failed (see above); by hand it would be: $line"
    fi
}

# Makes plain `cargo` and `rustc` the chosen ones, whatever rustup's shims in PATH would do.
use_toolchain() {
    local sysroot=/usr host
    unset RUSTC_BOOTSTRAP RUSTUP_TOOLCHAIN RUSTC_WRAPPER
    if [[ $toolchain == debian ]]; then
        export RUSTC_BOOTSTRAP=1 # Debian's stable compiler, with the switches that build core for our own target
    else
        have rustup || die "set-up" "no rustup here, and Rust for the kernel comes through it outside Debian 12: docs/toolchain.md"
        sysroot=$(rustup run "$toolchain" rustc --print sysroot 2>/dev/null) || sysroot=
        if [[ ! -d $sysroot/lib/rustlib/src/rust/library ]] || ! compgen -G "$sysroot/lib/rustlib/*/bin/llvm-objcopy" >/dev/null; then
            install_nightly
            sysroot=$(rustup run "$toolchain" rustc --print sysroot) || die "set-up" "$toolchain: does not run"
        fi
    fi
    export RUSTC=$sysroot/bin/rustc
    export PATH=$sysroot/bin:$PATH
    host=$("$RUSTC" -vV | sed -n 's/^host: //p')
    LLVM_TOOLS=$sysroot/lib/rustlib/$host/bin
}

install_nightly() {
    local line="rustup toolchain install $toolchain --no-self-update --profile minimal -c rust-src -c llvm-tools -c rustfmt -c clippy"
    [[ ${DAXIOM_INSTALL:-yes} != no ]] || die "set-up" "$toolchain lacks rust-src or llvm-tools; this would install them: $line"
    say "set-up" "$line"
    $line >&2 || die "set-up" "$toolchain: rustup could not install it"
}

# Sets OVMF_CODE and OVMF_VARS; each distribution has its own place for them.
find_ovmf() {
    local pair
    for pair in /usr/share/OVMF/OVMF_{CODE,VARS}_4M.fd /usr/share/OVMF/OVMF_{CODE,VARS}.fd \
        /usr/share/edk2/x64/OVMF_{CODE,VARS}.4m.fd /usr/share/edk2/ovmf/OVMF_{CODE,VARS}.fd \
        /usr/share/qemu/ovmf-x86_64-{code,vars}.bin; do
        if [[ -f $pair && $pair == *[Cc][Oo][Dd][Ee]* ]]; then OVMF_CODE=$pair; fi
        if [[ -f $pair && $pair == *[Vv][Aa][Rr][Ss]* && -n ${OVMF_CODE:-} ]]; then
            OVMF_VARS=$pair
            return 0
        fi
    done
    return 1
}
