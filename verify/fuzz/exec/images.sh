#!/usr/bin/env bash
# Makes the base images of the fuzzer anew: verify/fuzz/exec/images/*.pack. Only needed to change them: they are committed, so
# that an input means the same everywhere. Needs mke2fs, debugfs and e2fsck (Debian 12: e2fsprogs 1.47.0).
#
#   verify/fuzz/exec/images.sh
#
# Old images are never changed once inputs are committed that use them (fs/tests/regressions): add one, at the end of
# the list in src/images.rs.

set -euo pipefail
here=$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")
PATH=$PATH:/usr/sbin:/sbin
scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT
cd -- "$scratch"

export E2FSPROGS_FAKE_TIME=1767225600 E2FSCK_TIME=1767225600 MKE2FS_CONFIG=/dev/null
uuid=6461786d-0000-4000-8000-000000000001

# What all of them hold: every kind of file, names that fill blocks, hard links, a file behind each level of the block
# map of BLOCK bytes.
tree() { # BLOCK
    rm -rf tree && mkdir -p tree/dir/sub tree/many
    local block=$1 per=$(($1 / 4)) number page
    for number in {0..19}; do : >"tree/many/$number-$(printf 'n%.0s' {1..200})"; done
    head -c 3000 /dev/zero | tr '\0' f >tree/dir/file
    head -c $((20 * block)) /dev/zero | tr '\0' l >tree/long
    ln tree/long tree/dir/hard
    : >tree/sparse
    for page in 0 12 $((12 + per)) $((12 + per + per * per)); do
        printf 'a little data at page %d' "$page" | dd of=tree/sparse bs=$((block)) seek="$page" conv=notrunc status=none
    done
    ln -s dir/file tree/fast
    ln -s "$(printf 'dir/../%.0s' {1..30})long" tree/slow
    ln -s loop tree/loop
    mkfifo tree/fifo
}

# Extended attributes, a device, and one attribute block shared by two files where there are such blocks.
extras() { # NAME
    local acl
    debugfs -w -f /dev/stdin "$1" >/dev/null 2>&1 <<-'END'
	mknod device b 8 1
	ea_set dir/file user.one a-value
	ea_set dir/file user.two another-value
	ea_set dir trusted.of_dir x
	ea_set long user.shared the-same-for-both
	END
    acl=$(debugfs -R 'stat long' "$1" 2>/dev/null | sed -n 's/.*File ACL: \([0-9]*\).*/\1/p')
    if [[ -n $acl && $acl != 0 ]]; then
        local blocks size
        blocks=$(debugfs -R 'stat sparse' "$1" 2>/dev/null | sed -n 's/.*Blockcount: \([0-9]*\).*/\1/p')
        size=$(dumpe2fs -h "$1" 2>/dev/null | sed -n 's/^Block size: *//p')
        debugfs -w -f /dev/stdin "$1" >/dev/null 2>&1 <<-END
	sif sparse file_acl $acl
	sif sparse blocks $((blocks + size / 512))
	zap_block -o 4 -l 1 -p 2 $acl
	END
    fi
}

image() { # NAME BLOCK BLOCKS OPTION...
    local name=$1 block=$2 blocks=$3
    shift 3
    tree "$block"
    find tree -exec touch -h -d @1767225600 {} +
    rm -f "$name" && truncate -s $((block * blocks)) "$name"
    mke2fs -q -F -t ext2 -b "$block" -U "$uuid" -E "hash_seed=$uuid" -d tree "$@" "$name"
    extras "$name"
}

clean() { e2fsck -fn "$1" >log 2>&1 || { cat log >&2; exit 1; }; }
pack() { (cd -- "$here/../../.." && cargo run -q --locked -p fuzz-exec --example pack -- "$scratch/$1" "$here/images/$1.pack"); }

image b4k 4096 256 -N 64 -I 256 -O ext_attr,dir_index,filetype,sparse_super,large_file
image b1k 1024 1024 -N 96 -g 256 -I 128 -O ext_attr,dir_index,resize_inode,filetype,sparse_super,large_file
image b2k 2048 512 -N 64 -g 256 -I 256 -O ext_attr,dir_index,resize_inode,filetype,sparse_super,large_file
image meta_bg 1024 8960 -N 280 -g 256 -I 128 -O ext_attr,meta_bg,^resize_inode,filetype,sparse_super,large_file
image rev0 1024 512 -r 0 -N 64 -O none
image index 1024 1024 -N 128 -I 128 -O ext_attr,dir_index,filetype,sparse_super,large_file
image journal 1024 4096 -N 64 -I 256 -j -J size=1 -O ext_attr,dir_index,filetype,sparse_super,large_file

# A hash index with several leaves.
for number in {0..39}; do echo "write /dev/null many/$(printf 'i%.0s' {1..30})$number"; done >requests
debugfs -w -f requests index >/dev/null 2>&1
e2fsck -fyD index >/dev/null 2>&1 || (($? == 1))

for name in b4k b1k b2k meta_bg rev0 index journal; do clean "$name"; done

# Not unmounted, with what a crash leaves: a block and an inode that nobody uses, an inode without a name, wrong counts.
cp b1k unclean
inode=$(debugfs -R 'ls -l dir' unclean 2>/dev/null | awk '$NF == "file" { print $1 }')
debugfs -w -f /dev/stdin unclean >/dev/null 2>&1 <<END
ssv state 0
setb 1020
seti <90>
unlink fifo
unlink dir/file
sif <$inode> links_count 1
set_bg 0 free_blocks_count 3
END

for name in b4k b1k b2k meta_bg rev0 index journal unclean; do pack "$name"; done
ls -l -- "$here"/images
