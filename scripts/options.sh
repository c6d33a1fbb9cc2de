# shellcheck shell=bash
# qemu-run.sh's options: the help text, reading them, and what no option can be without another.
#
#   parse_options ARGUMENT...    sets the variables named at its beginning, mem_bytes, or dies
#
# Everything that can be refused without looking at a file is refused here.
# shellcheck disable=SC2034 # the variables are for qemu-run.sh

usage() {
    cat <<'END'
usage: ./qemu-run.sh [OPTION]... [-- QEMU-OPTION...]

Builds Daxiom and boots it in QEMU with a file as NVDIMM. Without --exec: a shell on this terminal; `poweroff` or
Ctrl-] X leaves (Ctrl-] is QEMU's key). Options may come in any order, as --option VALUE or --option=VALUE.

  --exec 'CMD; CMD'      run the commands and leave; --exec - reads them from standard input
  -k, --keep-going       with --exec: go on after a command that failed
  --pmem FILE[,ro]       FILE is an NVDIMM, with ,ro a read-only one; several times for several NVDIMMs.
                         Without it: target/pmem.img, an ext2 image made with mke2fs from a few sample files.
                         `--pmem none`: no NVDIMM at all
  --fs ext2|ext4         the file system on the image made without --pmem (ext2); ext4's is target/pmem-ext4.img, and
                         can be read only, so far
  --size SIZE            size of that image when it is made (256M)
  --mem SIZE             RAM (256M)              --smp N        processors (2)
  --uefi                 boot by UEFI (OVMF) instead of BIOS
  --accel auto|tcg|kvm   auto (default): KVM where it is there and usable, TCG otherwise; kvm tries first whether it
                         is the processor's own
  --icount               one processor whose time-stamp counter counts instructions, the same in every run
  --persistence cpu|mem-ctrl
                         what the platform says reaches the NVDIMM at power loss: caches too, or only what was flushed
  --timeout SECONDS      give up after that long (--exec: 300; otherwise, or with 0: never)
  --console FILE         with --exec: keep what the console (COM1) said in FILE
  --trace FILE           write down each step of faults, write-back and shootdowns, and put it into FILE at the end:
                         ui.perfetto.dev opens it (the Chrome trace-event format)
  --trace-records N      keep the latest N steps of each processor (16384); each takes 40 bytes of RAM
  --debug                debug build of the kernel
  --gdb[=PORT]           wait for gdb at the start; the command line to type is printed
  --no-build             run what was built last, setting up and building nothing
  -- QEMU-OPTION...      what follows goes to QEMU as it is
  --help                 this text

SIZE is a number of bytes, or one with K, M, G or T. With --exec, standard output carries the commands' output and
nothing else, standard error their errors.

Exit status: 0 all commands succeeded, 1 one failed, 101 kernel panic or triple fault, 124 time-out, 125 could not
build or start, or QEMU itself failed. DAXIOM_TOOLCHAIN, DAXIOM_INSTALL and CARGO_TARGET_DIR: see docs/toolchain.md.
END
}

parse_options() {
    script='' exec_mode=no keep_going=no pmem=() file_system='' size='' mem=256M smp='' firmware=bios accel=auto icount=no
    qemu_options=() no_pmem=no
    persistence='' timeout='' console='' trace='' trace_records='' profile=release gdb=no build=yes
    local option value
    while (($# > 0)); do
        option=$1 && shift
        case $option in
        --exec | --pmem | --fs | --size | --mem | --smp | --accel | --persistence | --timeout | --console | --trace | --trace-records)
            (($# > 0)) || die "$option" "needs a value (--help tells)"
            value=$1 && shift
            ;;
        --exec=* | --pmem=* | --fs=* | --size=* | --mem=* | --smp=* | --accel=* | --persistence=* | --timeout=* | --console=* | --trace=* | --trace-records=* | --gdb=*)
            value=${option#*=} option=${option%%=*}
            ;;
        *) value='' ;;
        esac
        case $option in
        --exec) exec_mode=yes script=$value ;;
        -k | --keep-going) keep_going=yes ;;
        --pmem) if [[ $value == none ]]; then no_pmem=yes; else pmem+=("$value"); fi ;;
        --fs) file_system=$(one_of "$option" "$value" ext2 ext4) ;;
        --size) size=$(bytes "$option" "$value") ;;
        --mem) mem=$value ;;
        --smp) smp=$(whole_number "$option" "$value" 1 255) ;;
        --uefi) firmware=uefi ;;
        --accel) accel=$(one_of "$option" "$value" auto tcg kvm) ;;
        --icount) icount=yes ;;
        --persistence) persistence=$(one_of "$option" "$value" cpu mem-ctrl) ;;
        --timeout)
            [[ $value =~ ^[0-9]+(\.[0-9]+)?$ ]] || die "$option" "'$value' is not a number of seconds"
            timeout=$value
            ;;
        --console) console=$value ;;
        --trace) trace=$value ;;
        --trace-records) trace_records=$(whole_number "$option" "$value" 1 16777216) ;;
        --debug) profile=debug ;;
        --gdb) gdb=${value:-free} && [[ -z $value ]] || gdb=$(whole_number "$option" "$value" 1 65535) ;;
        --no-build) build=no ;;
        -h | --help) usage && exit 0 ;;
        --) qemu_options=("$@") && break ;;
        *) die "$option" "unknown option (--help lists them)" ;;
        esac
    done
    check_options
}

# What no option can tell alone.
check_options() {
    mem_bytes=$(bytes --mem "$mem")
    ((mem_bytes >= 32 << 20)) || die "--mem" "$mem is too little: the kernel needs 32M at least"
    ((mem_bytes % 4096 == 0)) || die "--mem" "$mem is not a multiple of 4096 bytes"
    if [[ $icount == yes ]]; then
        [[ ${smp:-1} == 1 ]] || die "--icount" "counts one processor's instructions, so --smp $smp does not go with it"
        [[ $accel != kvm ]] || die "--icount" "counts instructions that QEMU emulates, so --accel kvm does not go with it"
        smp=1 accel=tcg
    fi
    smp=${smp:-2}
    [[ $exec_mode == yes || $keep_going == no ]] || die "-k" "goes with --exec only"
    [[ $exec_mode == yes || -z $console ]] || die "--console" "goes with --exec only: the console is this terminal otherwise"
    [[ -z $trace_records || -n $trace ]] || die "--trace-records" "goes with --trace only"
    [[ -z $trace || (! -d $trace && -d $(dirname -- "$trace")) ]] || die "$trace" "cannot be written for --trace"
    [[ -z $console || (! -d $console && -d $(dirname -- "$console")) ]] || die "$console" "cannot be written for --console"
    [[ $no_pmem == no || ${#pmem[@]} == 0 ]] || die "--pmem" "either none or files (a file of that name: ./none)"
    [[ -z $file_system || ${#pmem[@]} == 0 ]] || die "--fs" "is for the image made without --pmem; mke2fs makes others"
    file_system=${file_system:-ext2}
    [[ -z $size || ${#pmem[@]} == 0 ]] || die "--size" "is for the image made without --pmem; truncate(1) makes others"
    if [[ -z $timeout && $exec_mode == yes && $gdb == no ]]; then timeout=300; fi
    timeout=${timeout:-0}
    if [[ $accel == kvm && ! -w /dev/kvm ]]; then die "--accel kvm" "/dev/kvm is not there or not writable"; fi
    if [[ $accel == auto ]]; then
        accel=tcg
        # The module test: some sandboxes offer a /dev/kvm that is not the processor's own, and QEMU hangs on it.
        if [[ -w /dev/kvm && (-d /sys/module/kvm_intel || -d /sys/module/kvm_amd) ]]; then accel=kvm; fi
    fi
}

whole_number() { # OPTION VALUE LEAST MOST
    if [[ ! $2 =~ ^[0-9]{1,9}$ ]] || ((10#$2 < $3 || 10#$2 > $4)); then die "$1" "'$2' is not a number from $3 to $4"; fi
    echo $((10#$2))
}

one_of() { # OPTION VALUE ALLOWED...
    local option=$1 value=$2 allowed
    shift 2
    for allowed in "$@"; do [[ $value != "$allowed" ]] || { echo "$value" && return; }; done
    die "$option" "'$value' is none of $*"
}

bytes() { # OPTION VALUE
    [[ $2 =~ ^([0-9]{1,12})([KMGT]?)$ ]] || die "$1" "'$2' is not a size like 64M or 1G"
    local number=$((10#${BASH_REMATCH[1]})) shift=0
    case ${BASH_REMATCH[2]} in K) shift=10 ;; M) shift=20 ;; G) shift=30 ;; T) shift=40 ;; esac
    ((number > 0 && number <= (1 << 46) >> shift)) || die "$1" "'$2' is not a size between 1 byte and 64T"
    echo $((number << shift))
}
