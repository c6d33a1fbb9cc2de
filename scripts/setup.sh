# shellcheck shell=bash
# Set-up: finds what this machine lacks and gets it. Sourced by qemu-run.sh, test.sh and scripts/build.sh.
#
#   setup qemu build uefi lint fuzz get what is missing for these purposes; choose the Rust toolchain
#   say WHAT [WHY]                  one line on stderr, in the calling script's name
#   die WHAT WHY                    the same, then exit 125: "could not build or start"
#
# With everything in place it takes a few file tests and one `rustc --version`, says nothing and changes nothing.
# What is missing is installed by apt where that is root's wish and takes nothing away; else the same packages are
# unpacked under target/ and run from there (scripts/packages.sh). DAXIOM_INSTALL=unpack always does the second,
# DAXIOM_INSTALL=no neither: it prints the line that installs them. DAXIOM_TOOLCHAIN chooses the toolchain: `debian`,
# or a name that rustup knows (docs/toolchain.md).

# shellcheck disable=SC2034 # some of these are for the sourcing script

program=${program:-${0##*/}}
root=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# What was unpacked instead of installed. (build.sh says the same of CARGO_TARGET_DIR.)
TOOLS=$(realpath -m -- "${CARGO_TARGET_DIR:-$root/target}")/tools/packages
# Debian keeps mke2fs and losetup where an ordinary user's PATH does not look. What the system has goes before ours.
PATH=$PATH:/usr/sbin:/sbin:$TOOLS/bin

# Debian's first version that builds the kernel (-Zjson-target-spec), and the nightly for everybody else.
RUST_MINOR=96
PINNED_NIGHTLY=nightly-2026-05-20
DEBIAN_RUST=("rustc-web (>= 1.$RUST_MINOR)" cargo-web rust-web-src llvm-22 lld-22)
DEBIAN_LINTERS=("rustfmt-web (>= 1.$RUST_MINOR)" "rust-web-clippy (>= 1.$RUST_MINOR)")
DEBIAN_LLVM=/usr/lib/llvm-22/bin

say() { printf '%s: %s\n' "$program" "$1${2:+: $2}" >&2; }
die() { say "$@"; exit 125; }
have() { command -v "$1" >/dev/null 2>&1; }

# Dies where the build directory is not ours to write. Often root built there once; cargo would tell of the first file
# of a thousand, and not what to do.
check_build_directory() {
    local file user
    user=$(id -un 2>/dev/null || id -u)
    mkdir -p -- "$CARGO_TARGET_DIR" 2>/dev/null || die "$CARGO_TARGET_DIR" "cannot make the build directory; CARGO_TARGET_DIR chooses another place"
    file=$(find -H "$CARGO_TARGET_DIR" -maxdepth 3 ! -user "$EUID" ! -type l ! -writable -print -quit 2>/dev/null) || true
    if [[ -n $file ]]; then
        die "$file" "belongs to $(stat -c %U -- "$file"), and $user cannot write it: build elsewhere with CARGO_TARGET_DIR=DIR, or let root do: chown -R $user '$CARGO_TARGET_DIR'"
    fi
    [[ -w $CARGO_TARGET_DIR ]] || die "$CARGO_TARGET_DIR" "cannot be written; CARGO_TARGET_DIR chooses another place to build"
}

setup() {
    local packages
    choose_toolchain
    missing "$@"
    ((${#packages[@]} == 0)) || get_missing "$@"
    if [[ " $* " == *' build '* || " $* " == *' lint '* ]]; then use_toolchain; fi
}

# Sets `packages` to what the purposes lack.
missing() {
    local purpose
    packages=()
    for purpose in "$@"; do
        case $purpose in
        qemu)
            works qemu-system-x86_64 || packages+=(qemu-system-x86)
            have mke2fs || packages+=(e2fsprogs)
            have flock || packages+=(util-linux)
            ;;
        uefi) find_ovmf || packages+=(ovmf) ;;
        build)
            # cargo fetches crates over https; a fresh machine may know no certificates.
            find_authorities || packages+=(ca-certificates)
            works cc || packages+=(gcc libc6-dev)
            [[ $toolchain != debian ]] || missing_debian_rust
            ;;
        # libFuzzer is C++.
        fuzz) works c++ || packages+=(g++) ;;
        lint)
            if [[ $toolchain == debian && ! (-x $rust_bin/cargo-fmt && -x $rust_bin/cargo-clippy) ]]; then
                packages+=("${DEBIAN_LINTERS[@]}")
            fi
            ;;
        esac
    done
}

# Debian 12 has all that is needed; elsewhere rustup's pinned nightly does. A choice by hand wins.
choose_toolchain() {
    rust_bin=/usr/bin
    [[ ! -x $TOOLS/rust/rustc ]] || rust_bin=$TOOLS/rust
    toolchain=${DAXIOM_TOOLCHAIN:-}
    [[ -z $toolchain ]] || return 0
    toolchain=$PINNED_NIGHTLY
    if debian_rust_works || (. /etc/os-release && [[ $ID == debian && $VERSION_ID == 12 ]]) 2>/dev/null; then
        toolchain=debian
    fi
}

debian_rust_works() {
    local version src=/usr/lib/rustlib/src/rust/library
    [[ $rust_bin == /usr/bin ]] || src=$TOOLS/root$src
    [[ -x $rust_bin/cargo && -d $src ]] &&
        version=$("$rust_bin/rustc" --version 2>/dev/null) && [[ $version =~ ^rustc\ 1\.([0-9]+) ]] &&
        ((BASH_REMATCH[1] >= RUST_MINOR))
}

missing_debian_rust() {
    if ! debian_rust_works; then
        packages+=("${DEBIAN_RUST[@]}")
    elif [[ $rust_bin == /usr/bin && ! (-x $DEBIAN_LLVM/llvm-objcopy && -x $DEBIAN_LLVM/lld) ]]; then
        packages+=(llvm-22 lld-22)
    fi
}

# Whether PROGRAM is there; one that was unpacked is tried, for the system's libraries may have changed since.
works() {
    local found
    found=$(command -v "$1" 2>/dev/null) || return
    [[ $found != "$TOOLS"/* ]] || "$found" --version >/dev/null 2>&1
}

# Installs or unpacks what the purposes lack, or dies with the line that would install it.
get_missing() {
    local why='' refused='' line again
    if [[ ${DAXIOM_INSTALL:-yes} == no ]]; then
        die "set-up" "DAXIOM_INSTALL=no and something is missing, which this would install: $(install_line)"
    fi
    have apt-get || die "set-up" "this machine lacks ${packages[*]} (Debian's names) and has no apt-get: docs/toolchain.md"
    line=$(install_line)
    if may_install && install_missing; then
        missing "$@"
        ((${#packages[@]} > 0)) || return 0
        refused="what apt installed does not do"
    fi
    # shellcheck source=scripts/packages.sh
    . "$root/scripts/packages.sh"
    for again in no yes; do
        # Parts of Rust that are installed and parts that are not make no toolchain.
        [[ "${packages[*]}" != *rust* && "${packages[*]}" != *-22* ]] || packages+=("${DEBIAN_RUST[@]}")
        if ! unpack_packages "${packages[@]}"; then
            printf '%s\n' "$why" >&2
            die "set-up" "something is missing and could not be fetched (see above); by hand it would be: $line"
        fi
        choose_toolchain
        missing "$@"
        ((${#packages[@]} > 0)) || return 0
        [[ $again == no ]] || die "set-up" "what was unpacked in $TOOLS does not run; by hand it would be: $line"
        forget_packages
    done
}

# Beside an unpacked Rust, parts of one from elsewhere are no use.
may_install() {
    [[ ${DAXIOM_INSTALL:-yes} != unpack && ($rust_bin == /usr/bin || "${packages[*]}" != *rust*) ]]
}

# Installs setup's `packages`, if that takes no package away; else sets `refused` to the reason,
# which is empty where there is no root to do it.
install_missing() {
    local sudo=(sudo -n) apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=60) output
    ((EUID != 0)) || sudo=()
    "${sudo[@]}" true 2>/dev/null || return
    "${sudo[@]}" "${apt[@]}" update >/dev/null 2>&1 </dev/null || true
    # --no-remove: taking away another Rust or QEMU that the user has installed is not ours to decide.
    apt+=(satisfy -y --no-remove --no-install-recommends "$(IFS=,; echo "${packages[*]}")")
    if ! output=$("${sudo[@]}" "${apt[@]}" -s 2>&1 </dev/null); then
        refused=$(sed -n 's/^.*command-line : [A-Za-z]*: \(.*\) but .*/no \1/p; s/^E: //p' <<<"$output" | head -n 1)
        refused=${refused:-no solution}
        return 1
    fi
    say "set-up" "installing ${packages[*]%% (*}"
    if ! output=$("${sudo[@]}" "${apt[@]}" 2>&1 </dev/null); then
        refused=$(sed -n 's/^E: //p' <<<"$output" | head -n 1)
        refused=${refused:-it failed}
        return 1
    fi
}

# Prints the line that installs setup's `packages`, to be pasted. What apt would take away for
# them is named in it.
install_line() {
    local names=("${packages[@]%% (*}") line='' source='' removed
    # shellcheck source=scripts/packages.sh
    . "$root/scripts/packages.sh"
    [[ "${names[*]}" != *rust* ]] || source=$(security_source)
    [[ -z $source ]] || line="echo \"$source\" >/etc/apt/sources.list.d/debian-security.list && "
    removed=$(apt-get -s -y --no-install-recommends install "${names[@]}" 2>/dev/null | sed -n 's/^Remv \([^ ]*\).*/ \1-/p' | tr -d '\n')
    line+="apt-get update && apt-get install -y --no-install-recommends ${names[*]}$removed"
    if ((EUID == 0)); then
        echo "$line"
    elif have sudo; then
        echo "sudo sh -c '$line'"
    else
        echo "su - -c '$line'"
    fi
}

# Makes plain `cargo` and `rustc` the chosen ones, whatever rustup's shims in PATH would do.
use_toolchain() {
    local sysroot host
    # Who has no home (an account made for a service, a container's) has crates kept here.
    local crates=${CARGO_HOME:-${HOME:-/nonexistent}/.cargo}
    [[ -e $crates ]] || crates=$(dirname -- "$crates")
    [[ -w $crates ]] || export CARGO_HOME=${TOOLS%/packages}/cargo
    unset RUSTC_BOOTSTRAP RUSTUP_TOOLCHAIN RUSTC_WRAPPER
    if [[ $toolchain == debian ]]; then
        export RUSTC_BOOTSTRAP=1 # Debian's stable compiler, with the switches that build core for our own target
        LLVM_TOOLS=$rust_bin
        [[ $rust_bin != /usr/bin ]] || LLVM_TOOLS=$DEBIAN_LLVM
        # What links for a machine without a system is called rust-lld by the compiler, and lld by Debian.
        if [[ ! -x $rust_bin/rust-lld && ! -x $TOOLS/lld/rust-lld ]]; then
            mkdir -p -- "$TOOLS/lld"
            ln -sf "$DEBIAN_LLVM/lld" "$TOOLS/lld/rust-lld"
        fi
        export RUSTC=$rust_bin/rustc PATH=$rust_bin:$TOOLS/lld:$PATH
        return
    fi
    have rustup || die "set-up" "no rustup here, and Rust for the kernel comes through it outside Debian 12: docs/toolchain.md"
    sysroot=$(rustup run "$toolchain" rustc --print sysroot 2>/dev/null) || sysroot=
    if [[ ! -d $sysroot/lib/rustlib/src/rust/library ]] || ! compgen -G "$sysroot/lib/rustlib/*/bin/llvm-objcopy" >/dev/null; then
        install_nightly
        sysroot=$(rustup run "$toolchain" rustc --print sysroot) || die "set-up" "$toolchain: does not run"
    fi
    export RUSTC=$sysroot/bin/rustc PATH=$sysroot/bin:$PATH
    host=$("$RUSTC" -vV | sed -n 's/^host: //p')
    LLVM_TOOLS=$sysroot/lib/rustlib/$host/bin
}

install_nightly() {
    local line="rustup toolchain install $toolchain --no-self-update --profile minimal -c rust-src -c llvm-tools -c rustfmt -c clippy"
    [[ ${DAXIOM_INSTALL:-yes} != no ]] || die "set-up" "$toolchain lacks rust-src or llvm-tools; this would install them: $line"
    say "set-up" "$line"
    $line >&2 || die "set-up" "$toolchain: rustup could not install it"
}

# Whether cargo finds certificate authorities; where the system has none, it is told ours.
find_authorities() {
    local file
    [[ -z ${CARGO_HTTP_CAINFO:-}${SSL_CERT_FILE:-} ]] || return 0
    for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
        [[ ! -s $file ]] || return 0
    done
    [[ -s $TOOLS/authorities.pem ]] && export CARGO_HTTP_CAINFO=$TOOLS/authorities.pem
}

# Sets OVMF_CODE and OVMF_VARS; each distribution has its own place for them.
find_ovmf() {
    local file
    for file in {,"$TOOLS/root"}/usr/share/OVMF/OVMF_{CODE_4M,VARS_4M,CODE,VARS}.fd \
        /usr/share/edk2/x64/OVMF_{CODE,VARS}.4m.fd /usr/share/edk2/ovmf/OVMF_{CODE,VARS}.fd \
        /usr/share/qemu/ovmf-x86_64-{code,vars}.bin; do
        [[ -f $file ]] || continue
        case ${file##*/} in
        *[Cc][Oo][Dd][Ee]*) OVMF_CODE=$file ;;
        *) [[ -z ${OVMF_CODE:-} ]] || { OVMF_VARS=$file && return 0; } ;;
        esac
    done
    return 1
}
