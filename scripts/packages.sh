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

# shellcheck disable=SC2034,SC2154 # root, TOOLS, say and die are scripts/setup.sh's, `why` is for it

# shellcheck source=scripts/starters.sh
. "$root/scripts/starters.sh"

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
    local source list='' parts=''
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
    eval "$(apt-config shell list Dir::Etc::sourcelist/f parts Dir::Etc::sourceparts/d)"
    [[ ! -r $list ]] || cp -- "$list" "$TOOLS/apt/sources.list" || return
    for source in "$parts"*.{list,sources}; do
        [[ ! -r $source ]] || cp -- "$source" "$TOOLS/apt/sources/" || return
    done
    security_source >"$TOOLS/apt/sources/daxiom-security.list"
}

# Rust 1.96 is in Debian's security archive, which a bare system may not name: it is beside the main one on the mirror.
security_source() {
    local list='' parts='' files mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    local VERSION_CODENAME='' ID=''
    eval "$(apt-config shell list Dir::Etc::sourcelist/f parts Dir::Etc::sourceparts/d)"
    files=("$list" "$parts"*.{list,sources})
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
    local status=''
    eval "$(apt-config shell status Dir::State::status/f)"
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
        }' "$status" 2>/dev/null
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
        if ! { dpkg-deb -f "$file" Package Architecture Multi-Arch Version Provides && printf 'Status: install ok installed\n\n'; } >"$TOOLS/apt/entry" ||
            ! mv -- "$TOOLS/apt/entry" "$TOOLS/whole/$name"; then
            why="$TOOLS/whole/$name: cannot be written"
            return 1
        fi
        rm -f -- "$file"
    done <<<"$plan"
    [[ ! -t 2 ]] || printf '\r\e[K' >&2
}

# Without what nobody here reads: of the compiler's sources, the libraries' are enough.
unpack_one() {
    set -o pipefail
    dpkg-deb --fsys-tarfile "$1" | tar -x --no-same-owner -C "$TOOLS/root" --no-wildcards-match-slash --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' \
        --exclude='./usr/share/locale/*' --exclude='./usr/src/rustc-*/src/*' --exclude='./usr/src/rustc-*/compiler/*'
}
