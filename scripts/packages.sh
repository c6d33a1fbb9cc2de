# shellcheck shell=bash
# Debian packages without installing them: fetched with package lists of our own, unpacked into a folder, run from there.
# Needs neither root nor any change to the system. Sourced by scripts/setup.sh when apt cannot install.
#
#   unpack_packages WANTED...   WANTED is a package, or as in 'rustc-web (>= 1.96)'. On failure `why` tells why.
#                               `refused`, if not empty, is why apt did not install them
#   security_source             prints the apt source that Debian's security archive takes, if the system has none
#
# In $TOOLS (target/tools/packages):
#   apt/         lists, cache and status of an apt of our own
#   root/        what was unpacked
#   whole/       one file for each package that was unpacked in full: its entry in apt/status
#   wanted       all that was ever asked for
#   bin/, rust/  scripts that start the programs in root/ with the libraries they miss on the system
#
# A download or unpacking that was broken off leaves no file in whole/, and is done again by the next run. What is
# installed is not fetched again, but what is run from here comes from here entirely: only libraries are the system's.

# shellcheck disable=SC2154 # root, TOOLS, say and die are scripts/setup.sh's

LLVM_IN_SYSROOT=usr/lib/rustlib/x86_64-unknown-linux-gnu/bin

unpack_packages() {
    local wanted plan again
    [[ $TOOLS != *[:\;]* ]] || { why="$TOOLS: a list of libraries cannot hold a path with ':' or ';': move the checkout"; return 1; }
    mkdir -p -- "$TOOLS"/{whole,root,bin,rust,apt/{state,lists/partial,cache/archives/partial,sources}} 2>/dev/null ||
        { why="$TOOLS: cannot be made"; return 1; }
    mapfile -t wanted < <({ cat -- "$TOOLS/wanted" 2>/dev/null || true; printf "%s\n" "$@"; } | sort -u | grep .)
    printf '%s\n' "${wanted[@]}" >"$TOOLS/wanted" || { why="$TOOLS: cannot be written"; return 1; }
    own_apt_configuration || { why="$TOOLS/apt: cannot be written"; return 1; }
    for again in no yes; do
        own_status >"$TOOLS/apt/status" || { why="$TOOLS/apt/status: cannot be written"; return 1; }
        resolve || return
        # A package of ours in another version than before: everything is made anew, for parts of two do not mix.
        another_version || break
        [[ $again == no ]] || { why="apt wants two versions of one package"; return 1; }
        forget_packages
    done
    fetch || return
    unpack || return
    make_starters || { why="$TOOLS: cannot be written"; return 1; }
    rm -rf -- "$TOOLS/apt/cache"
}

another_version() {
    local name
    while read -r name _; do
        [[ -z $name || ! -e $TOOLS/whole/$name ]] || return 0
    done <<<"$plan"
    return 1
}

# Makes the next run start from nothing.
forget_packages() {
    local folder
    for folder in bin rust root whole; do
        rm -rf -- "${TOOLS:?}/$folder"
        mkdir -- "$TOOLS/$folder"
    done
}

# apt-get with its own lists, cache and status. From its folder, whose path may hold what apt's files cannot.
own_apt() { (cd -- "$TOOLS/apt" && LC_ALL=C exec apt-get -c ./apt.conf -o Dpkg::Use-Pty=0 "$@" </dev/null); }

own_apt_configuration() {
    local source
    cat >"$TOOLS/apt/apt.conf" <<'END' || return
Dir::State "./state/";
Dir::State::lists "./lists/";
Dir::State::status "./status";
Dir::Cache "./cache/";
Dir::Cache::archives "./cache/archives/";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
Dir::Etc::sourcelist "./sources.list";
Dir::Etc::sourceparts "./sources/";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Get::Upgrade-By-Source-Package "false";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Acquire::Languages "none";
Acquire::GzipIndexes "true";
Acquire::PDiffs "false";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
END
    rm -f -- "$TOOLS"/apt/sources/* || return
    : >"$TOOLS/apt/sources.list" || return
    for source in /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources}; do
        [[ ! -r $source || ! -f $source ]] || cp -- "$source" "$TOOLS/apt/sources/" || return
    done
    mv -f -- "$TOOLS/apt/sources/sources.list" "$TOOLS/apt/sources.list" 2>/dev/null || true
    security_source >"$TOOLS/apt/sources/daxiom-security.list"
}

# Rust 1.96 is in Debian's security archive, which a bare system may not name: it is beside the main one on the mirror.
security_source() {
    local files=(/etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources}) mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    local VERSION_CODENAME='' ID=''
    # shellcheck source=/dev/null
    . /etc/os-release 2>/dev/null
    [[ $ID == debian && -n $VERSION_CODENAME ]] || return 0
    ! grep -qshE "^[^#]*\b$VERSION_CODENAME-security\b" -- "${files[@]}" || return 0
    mirror=$(grep -shoE '^[^#]*\bhttps?://[^ ]+/debian/?( |$)' -- "${files[@]}" | grep -oE 'https?://[^ ]+' | head -n 1)
    [[ -z $mirror ]] || printf 'deb %s%s-security %s-security main\n' \
        "$([[ ! -r $keyring ]] || echo "[signed-by=$keyring] ")" "${mirror%/}" "$VERSION_CODENAME"
}

# What apt shall take for installed: the system's packages, with nothing but their names and versions, so that neither a
# broken nor a held one stands in the way; none of those whose programs we run ourselves; and those unpacked already.
own_status() {
    awk 'BEGIN { RS = ""; FS = "\n" }
        {
            name = state = kept = ""
            for (i = 1; i <= NF; i++) {
                if ($i ~ /^Package: /) name = substr($i, 10)
                if ($i ~ /^Status: /) state = $i
                if ($i ~ /^(Package|Architecture|Multi-Arch|Version|Provides): /) kept = kept $i "\n"
            }
            if (state !~ / installed$/) next
            if (name ~ /^(qemu-|ovmf$|seabios$|ipxe-qemu$|e2fsprogs$|rust|cargo|libstd-rust|llvm-22|lld-22)/) next
            if (name ~ /^(gcc|cpp|g\+\+|libgcc-.*-dev|libstdc\+\+-.*-dev|libc6-dev|libc-dev-bin|linux-libc-dev|binutils)/) next
            print kept "Status: install ok installed\n"
        }' "${DAXIOM_DPKG_STATUS:-/var/lib/dpkg/status}" 2>/dev/null
    cat -- "$TOOLS"/whole/* 2>/dev/null || true
}

# Sets `plan`: a line "NAME VERSION ARCHITECTURE" for each package to be fetched.
resolve() {
    local satisfied updated output
    updated=$(own_apt -q update 2>&1) || true
    satisfied=$(IFS=,; echo "${wanted[*]}")
    if ! output=$(own_apt -q -s -y --allow-downgrades satisfy "$satisfied" 2>&1); then
        why=$(grep -hE '^(E|Err|W):? |unmet|Depends:' <<<"$updated"$'\n'"$output" | head -n 5)
        return 1
    fi
    # The C library goes with the system's dynamic linker, so it is always the system's.
    plan=$(sed -nE 's/^Inst ([^ ]+)( \[[^]]*\])? \(([^ ]+) .*\[([^] ]+)\]\).*/\1 \3 \4/p' <<<"$output" |
        grep -vE '^(libc6|libc-bin|base-files|base-passwd|debconf|dpkg) ') || true
}

package_file() { # NAME VERSION ARCHITECTURE
    local version=${2//:/%3a}
    printf %s "$TOOLS/apt/cache/archives/${1}_${version}_$3.deb"
}

fetch() {
    local todo=() quiet=-qq name version architecture bytes output
    while read -r name version architecture; do
        [[ -z $name ]] || todo+=("$name:$architecture=$version")
    done <<<"$plan"
    ((${#todo[@]} > 0)) || return 0
    mkdir -p -- "$TOOLS/apt/cache/archives/partial"
    bytes=$(own_apt -qq --print-uris -y --allow-downgrades install "${todo[@]/:all=/=}" 2>/dev/null | awk '{ sum += $3 } END { print sum + 0 }')
    say "set-up" "${refused:+apt cannot install here ($refused); }fetching ${#todo[@]} packages ($((bytes / 1000000)) MB) into $TOOLS; nothing on the system changes"
    [[ ! -t 2 ]] || quiet=-q
    if [[ -t 2 ]]; then
        own_apt $quiet -y -d --allow-downgrades install "${todo[@]/:all=/=}" 2>&1 | grep --line-buffered -E '^(Get|Err|E|W):?' >&2
    else
        output=$(own_apt $quiet -y -d --allow-downgrades install "${todo[@]/:all=/=}" 2>&1) || true
    fi
    while read -r name version architecture; do
        [[ -z $name || -f $(package_file "$name" "$version" "$architecture") ]] ||
            { why="$name $version could not be fetched$(grep -E '^(E|Err)' <<<"${output:-}" | head -n 3 | sed '1s/^/: /')"; return 1; }
    done <<<"$plan"
}

unpack() {
    local name version architecture file output n=0 of
    of=$(grep -c . <<<"$plan")
    while read -r name version architecture; do
        [[ -n $name ]] || continue
        n=$((n + 1))
        [[ ! -t 2 ]] || printf '\r%s: set-up: unpacking %d of %d\e[K' "$program" $n "$of" >&2
        file=$(package_file "$name" "$version" "$architecture")
        output=$(unpack_one "$file" 2>&1) || { why="$name: cannot be unpacked: $output"; return 1; }
        { dpkg-deb -f "$file" Package Architecture Multi-Arch Version Provides | grep . && printf 'Status: install ok installed\n\n'; } \
            >"$TOOLS/apt/entry" && mv -- "$TOOLS/apt/entry" "$TOOLS/whole/$name" || { why="$TOOLS/whole/$name: cannot be written"; return 1; }
        rm -f -- "$file"
    done <<<"$plan"
    [[ ! -t 2 ]] || printf '\r\e[K' >&2
}

# Without what nobody here reads: of the compiler's sources, the libraries' are enough.
unpack_one() {
    set -o pipefail
    dpkg-deb --fsys-tarfile "$1" | tar -x --no-same-owner -C "$TOOLS/root" --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' \
        --exclude='./usr/share/locale/*' --exclude='./usr/src/rustc-*/src/*' --exclude='./usr/src/rustc-*/compiler/*'
}

# The scripts in bin/ and rust/, made when all is unpacked: that they are there says that what they start is whole.
make_starters() {
    local libraries name program_file
    libraries=$(cd -- "$TOOLS/root" && find lib usr/lib -name 'lib*.so*' -printf '%h\n' 2>/dev/null |
        grep -E '^(usr/)?lib/[^/]*-linux-gnu(/[^/]*)?$' | sort -u)
    libraries=$(sed 's/^/$root\//' <<<"$libraries" | paste -sd:)

    # Programs that start no others but their own kind: the libraries are in the environment.
    for name in qemu-system-x86_64 mke2fs e2fsck debugfs dumpe2fs flock setpriv as ld ar; do
        program_file=$(cd -- "$TOOLS/root" && ls -d {,usr/}{bin,sbin}/"$name" 2>/dev/null | head -n 1)
        [[ -n $program_file ]] || continue
        case $name in
        qemu-*) starter "bin/$name" .. "LD_LIBRARY_PATH=\"$libraries\" exec \"\$root/$program_file\" -L \"\$root/usr/share/qemu\" -L \"\$root/usr/share/seabios\" -L \"\$root/usr/lib/ipxe/qemu\"" ;;
        mke2fs) starter "bin/$name" .. "MKE2FS_CONFIG=\"\$root/etc/mke2fs.conf\" LD_LIBRARY_PATH=\"$libraries\" exec \"\$root/$program_file\"" ;;
        *) starter "bin/$name" .. "LD_LIBRARY_PATH=\"$libraries\" exec \"\$root/$program_file\"" ;;
        esac || return
    done
    compiler_starters || return

    # Rust's start compilers, linkers and tests, which shall not meet our libraries: only the program itself is told.
    # CARGO: so started, cargo cannot find out its own name.
    for name in rustc rustdoc cargo rustfmt cargo-fmt clippy-driver; do
        [[ ! -x $TOOLS/root/usr/bin/$name ]] ||
            starter "rust/$name" .. "CARGO=\"\$here/cargo\" exec /lib64/ld-linux-x86-64.so.2 --library-path \"$libraries\" --argv0 \"\$root/usr/bin/$name\" \"\$root/usr/bin/$name\"" || return
    done
    # cargo-clippy looks for clippy-driver beside its own program file.
    [[ ! -x $TOOLS/root/usr/bin/cargo-clippy ]] ||
        starter rust/cargo-clippy .. "LD_LIBRARY_PATH=\"$libraries\" exec \"\$root/usr/bin/cargo-clippy\"" || return
    # `bootloader` looks for these in the sysroot, where Debian does not put them.
    if [[ -x $TOOLS/root/usr/lib/llvm-22/bin/lld ]]; then
        mkdir -p -- "$TOOLS/root/$LLVM_IN_SYSROOT" || return
        for name in rust-lld llvm-objcopy llvm-objdump; do
            # lld does what the name says that it is called by.
            starter "root/$LLVM_IN_SYSROOT/$name" ../../../../../.. "exec /lib64/ld-linux-x86-64.so.2 --library-path \"$libraries\" --argv0 \"\$0\" \"\$root/usr/lib/llvm-22/bin/${name#rust-}\"" || return
        done
    fi
    authorities
}

# A compiler finds its own parts by their places beside it; the C library's it is told.
compiler_starters() {
    local name c=$TOOLS/root/usr/lib/x86_64-linux-gnu script options
    options="-B \"\$root/usr/lib/x86_64-linux-gnu\" -L \"\$root/usr/lib/x86_64-linux-gnu\" -idirafter \"\$root/usr/include/x86_64-linux-gnu\" -idirafter \"\$root/usr/include\""
    for name in gcc g++; do
        [[ -x $TOOLS/root/usr/bin/$name ]] || continue
        starter "bin/$([[ $name == gcc ]] && echo cc || echo c++)" .. "PATH=\"\$here:\$PATH\" LD_LIBRARY_PATH=\"$libraries\" exec \"\$root/usr/bin/$name\" $options" || return
    done
    # These name the C library's parts by their places in an installed system; without them they are looked for with -L.
    for script in "$c"/lib{c,m}.so; do
        [[ ! -f $script ]] || sed -i 's,/usr/lib/x86_64-linux-gnu/,,g' "$script" || return
    done
}

# Certificate authorities for cargo: those of ca-certificates, and those that the machine's own keeper added.
authorities() {
    [[ -d $TOOLS/root/usr/share/ca-certificates ]] || return 0
    find "$TOOLS/root/usr/share/ca-certificates" /usr/local/share/ca-certificates -name '*.crt' -exec cat -- {} + \
        >"$TOOLS/authorities.new" 2>/dev/null
    mv -- "$TOOLS/authorities.new" "$TOOLS/authorities.pem"
}

# starter NAME TO COMMAND: a script at NAME that runs COMMAND with its arguments. TO leads from its folder to $TOOLS, so
# that the tree can be moved.
starter() {
    rm -f -- "$TOOLS/$1"
    printf '#!/bin/sh\nhere=${0%%/*}; root=$here/%s/root\n%s "$@"\n' "$2" "$3" >"$TOOLS/$1.new" &&
        chmod +x -- "$TOOLS/$1.new" && mv -f -- "$TOOLS/$1.new" "$TOOLS/$1"
}
