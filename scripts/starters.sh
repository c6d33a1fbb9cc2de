# shellcheck shell=bash
# How what was unpacked is run: scripts that start programs in $TOOLS/root with the libraries that the system lacks.
# Sourced by scripts/packages.sh.
#
#   make_starters     makes the scripts in $TOOLS/bin and $TOOLS/rust anew, and what else unpacked programs take
#
# Nothing of it is in the environment of anything else. All paths are relative: the tree can be copied and moved.
# shellcheck disable=SC2154 # TOOLS is scripts/setup.sh's

# The scripts in bin/ and rust/, made when all is unpacked: that they are there says that what they start is whole.
make_starters() {
    local libraries name program_file
    libraries=$(cd -- "$TOOLS/root" && find lib usr/lib -name 'lib*.so*' -printf '%h\n' 2>/dev/null |
        grep -E '^(usr/)?lib/[^/]*-linux-gnu(/[^/]*)?$' | sort -u)
    # shellcheck disable=SC2016 # for the starters to expand
    libraries=$(sed 's/^/$root\//' <<<"$libraries" | paste -sd:)

    # Programs that start no others but their own kind: the libraries are in the environment.
    for name in qemu-system-x86_64 mke2fs e2fsck debugfs dumpe2fs tune2fs flock setpriv as ld ar nm addr2line; do
        program_file=$(cd -- "$TOOLS/root" && find {,usr/}{bin,sbin} -maxdepth 1 -name "$name" 2>/dev/null | head -n 1)
        [[ -n $program_file ]] || continue
        case $name in
        qemu-*) starter "bin/$name" .. "LD_LIBRARY_PATH=\"$libraries\" exec \"\$root/$program_file\" -L \"\$root/usr/share/qemu\" -L \"\$root/usr/share/seabios\" -L \"\$root/usr/lib/ipxe/qemu\"" ;;
        mke2fs) starter "bin/$name" .. "MKE2FS_CONFIG=\"\$root/etc/mke2fs.conf\" LD_LIBRARY_PATH=\"$libraries\" exec \"\$root/$program_file\"" ;;
        *) starter "bin/$name" .. "LD_LIBRARY_PATH=\"$libraries\" exec \"\$root/$program_file\"" ;;
        esac || return
    done
    compiler_starters || return

    # Rust's start compilers, linkers and tests, which shall not meet our libraries: only the program itself is told.
    # --argv0: by that name cargo has itself called. RUSTFMT: cargo-fmt finds the program file alone otherwise.
    for name in rustc rustdoc cargo rustfmt cargo-fmt clippy-driver; do
        [[ ! -x $TOOLS/root/usr/bin/$name ]] ||
            starter "rust/$name" .. "RUSTFMT=\"\$here/rustfmt\" exec /lib64/ld-linux-x86-64.so.2 --library-path \"$libraries\" --argv0 \"\$0\" \"\$root/usr/bin/$name\"" || return
    done
    # cargo-clippy looks for clippy-driver beside its own program file.
    [[ ! -x $TOOLS/root/usr/bin/cargo-clippy ]] ||
        starter rust/cargo-clippy .. "LD_LIBRARY_PATH=\"$libraries\" exec \"\$root/usr/bin/cargo-clippy\"" || return
    # rustc looks for the first by this name; lld does what the name says that it is called by.
    for name in rust-lld llvm-objcopy; do
        [[ ! -x $TOOLS/root/usr/lib/llvm-22/bin/${name#rust-} ]] ||
            starter "rust/$name" .. "exec /lib64/ld-linux-x86-64.so.2 --library-path \"$libraries\" --argv0 \"\$0\" \"\$root/usr/lib/llvm-22/bin/${name#rust-}\"" || return
    done
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
    # shellcheck disable=SC2016 # for the starter to expand
    printf '#!/bin/sh\nhere=${0%%/*}; root=$here/%s/root\n%s "$@"\n' "$2" "$3" >"$TOOLS/$1.new" &&
        chmod +x -- "$TOOLS/$1.new" && mv -f -- "$TOOLS/$1.new" "$TOOLS/$1"
}
