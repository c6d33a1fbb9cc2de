# shellcheck shell=bash
# Images of NVDIMMs: which files are fit to be one, and the one made when none is named. Sourced by qemu-run.sh.
#
#   add_image FILE[,ro]     checks and locks it; appends to pmem_file, pmem_size, pmem_readonly, image_locks
#   unlock_images           lets go of the locks, for child processes that shall not hold them
#   default_image TYPE [BYTES]
#                           sets DEFAULT_IMAGE, with a file system of that type, making it if it is not there
#
# An image is never changed here: its size, its mode and its bytes are its owner's.
# shellcheck disable=SC2154 # root and temporary are the sourcing script's

# QEMU maps whole pages, and would refuse or (an empty file) grow anything else.
IMAGE_PAGE=4096

add_image() {
    local file=$1 readonly=off lock size other
    # A file that is really called x,ro is meant as such.
    if [[ $file == *,ro && ! -e $file ]]; then file=${file%,ro} readonly=on; fi
    [[ -n $file ]] || die "--pmem" "needs a file's name"
    if [[ ! -e $file ]]; then
        if [[ $file == *,* && -e ${file%,*} ]]; then die "--pmem" "'${file##*,}' is no option of an image; only ,ro is"; fi
        die "$file" "no such file"
    fi
    [[ ! -d $file ]] || die "$file" "is a directory, not an image file"
    [[ -f $file ]] || die "$file" "is not a regular file; only those can be an NVDIMM"
    [[ -r $file ]] || die "$file" "no permission to read it"
    if [[ $readonly == off ]]; then
        # The mode counts for root too, who could write it: somebody took the permission away on purpose.
        if [[ ! -w $file ]] || (($((8#$(stat -Lc %a -- "$file") & 8#222)) == 0)); then
            die "$file" "is read-only; chmod u+w makes it writable, --pmem FILE,ro attaches it as it is"
        fi
    fi
    for other in "${pmem_file[@]}"; do
        [[ ! $file -ef $other || $readonly$(printf %s "${pmem_readonly[@]}") != *off* ]] || die "$file" "is given twice"
    done
    size=$(stat -Lc %s -- "$file")
    ((size >= IMAGE_PAGE)) || die "$file" "is too small for an NVDIMM: $size bytes, it takes $IMAGE_PAGE"
    ((size % IMAGE_PAGE == 0)) || die "$file" "its size, $size bytes, is not a multiple of $IMAGE_PAGE as an NVDIMM's must be"
    # Opened for reading, which is enough for a lock and cannot harm. The seconds are for a machine just killed.
    exec {lock}<"$file" || die "$file" "cannot be opened"
    if [[ $readonly == on ]]; then
        flock -w 3 -s "$lock" || die "$file" "is busy: a running machine writes to it"
    else
        flock -w 3 -x "$lock" || die "$file" "is busy: another running machine uses it"
    fi
    if have losetup && [[ -n $(losetup -j "$file" 2>/dev/null) ]]; then
        die "$file" "is busy: it is attached to a loop device (losetup -j FILE shows which)"
    fi
    image_locks+=("$lock")
    pmem_file+=("$file")
    pmem_size+=("$size")
    pmem_readonly+=("$readonly")
}

unlock_images() {
    local lock
    for lock in "${image_locks[@]}"; do exec {lock}<&-; done
}

default_image() {
    DEFAULT_IMAGE=$CARGO_TARGET_DIR/pmem.img
    [[ $1 == ext2 ]] || DEFAULT_IMAGE=$CARGO_TARGET_DIR/pmem-$1.img
    build_locked make_default_image "$@"
}

make_default_image() {
    local type=$1 size=$2 found new=$DEFAULT_IMAGE.new
    ((${size:-0} % IMAGE_PAGE == 0 && ${size:-48 << 20} >= 48 << 20)) ||
        die "--size" "must be a multiple of $IMAGE_PAGE bytes and at least 48M, for the sample files"
    if [[ -f $DEFAULT_IMAGE ]]; then
        found=$(stat -Lc %s -- "$DEFAULT_IMAGE")
        ((found == ${size:-$found})) ||
            die "--size" "$DEFAULT_IMAGE is there already with $found bytes; delete it to have it made again"
        # A script wants its commands' errors on stderr, and nothing else.
        [[ $exec_mode == yes ]] || say "$DEFAULT_IMAGE" "used as it is; delete it to have it made again"
        return
    fi
    size=${size:-$((256 << 20))}
    say "$DEFAULT_IMAGE" "making an $type image of $((size >> 20)) MiB with sample files"
    sample_files "$temporary/sample" 2>/dev/null || no_room
    rm -f -- "$new"
    # Made under another name first: a half-made image is never taken for one.
    if ! truncate -s "$size" -- "$new" || ! mke2fs -q -t "$type" -b 4096 -d "$temporary/sample" -- "$new" >&2 </dev/null; then
        rm -f -- "$new"
        die "$DEFAULT_IMAGE" "mke2fs could not make it"
    fi
    mv -- "$new" "$DEFAULT_IMAGE"
}

# scripts/sample, and what would be silly to keep in a repository.
sample_files() {
    local to=$1 i
    mkdir -p -- "$to/many" && cp -R -- "$root/scripts/sample/." "$to" || return
    # 1 MiB in which every 16 bytes say where they are: line N is at offset 16 * N.
    seq -f %015.0f 0 65535 >"$to/pattern" || return
    # 32 MiB of which only two blocks exist: offset 4 MiB, and the last one.
    truncate -s 32M "$to/sparse" || return
    printf 'an island in a hole\n' | dd of="$to/sparse" bs=1 seek=4M conv=notrunc status=none || return
    printf 'the end\n' | dd of="$to/sparse" bs=1 seek=$(((32 << 20) - 8)) conv=notrunc status=none || return
    for i in {01..40}; do printf 'file %s\n' "$i" >"$to/many/$i" || return; done
}
