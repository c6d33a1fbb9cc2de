#!/usr/bin/env bash
# Builds Daxiom and boots it in QEMU with files as NVDIMMs. `./qemu-run.sh --help` tells how to use it.
#
# What script and kernel agree on:
#   COM1  console: boot messages, the interactive shell, panics
#   COM4  with --exec: what the commands print; our stdout        COM3  their errors; our stderr
#         (not COM2: OVMF takes that for a console and talks on it while it boots)
#   fw_cfg opt/daxiom/exec: the script; opt/daxiom/args: the words "keep-going" with -k, "icount" with
#         --icount, "trace" with --trace, "trace-records=N" with --trace-records, "terminal=24x80" at such a terminal
#   isa-debugcon at port 0xe9: with --trace, the trace
#   isa-debug-exit at port 0xf4: 0x10 all succeeded, 0x11 a command failed, 50 panic, 62 "cannot start: …" is COM1's last
#         line; QEMU's status is twice that plus 1
#
# The parts, all in scripts/: options.sh reads the options, setup.sh gets what is missing, build.sh builds, image.sh
# checks and makes NVDIMM images, kvm.sh tries KVM, report.sh says in one exit status how it went. This file runs QEMU.

set -euo pipefail
program=${0##*/}
here=$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")
# shellcheck source=scripts/setup.sh
. "$here/scripts/setup.sh"
# shellcheck source=scripts/build.sh
. "$here/scripts/build.sh"
# shellcheck source=scripts/image.sh
. "$here/scripts/image.sh"
# shellcheck source=scripts/options.sh
. "$here/scripts/options.sh"
# shellcheck source=scripts/kvm.sh
. "$here/scripts/kvm.sh"
# shellcheck source=scripts/report.sh
. "$here/scripts/report.sh"

KERNEL_BASE=0xffffffff80000000 # kernel_base of the kernel's bootloader configuration; only gdb needs it here

# In QEMU's options a comma ends a value; doubled, it is one.
escape() { printf '%s' "${1//,/,,}"; }

no_room() { die "${TMPDIR:-/tmp}" "no space left there for temporary files (TMPDIR chooses another place)"; }

qemu_arguments() {
    local i slots=${#pmem[@]} room=$mem_bytes machine=q35,nvdimm=on
    [[ -z $persistence ]] || machine+=,nvdimm-persistence=$persistence
    for ((i = 0; i < slots; i++)); do
        # Each NVDIMM may have to start at the next GiB, and QEMU asks for room as if all did.
        room=$((room + ((pmem_size[i] + (1 << 30) - 1 >> 30) + 1 << 30)))
        arguments+=(-object "memory-backend-file,id=pmem$i,share=on,size=${pmem_size[i]},readonly=${pmem_readonly[i]},mem-path=$(escape "${pmem_file[i]}")"
            -device "nvdimm,id=nvdimm$i,memdev=pmem$i,unarmed=${pmem_readonly[i]}")
    done
    arguments+=(-machine "$machine" -m "$((mem_bytes >> 10))K,slots=$slots,maxmem=$((room >> 10))K" -smp "$smp")

    case $accel$icount in
    kvm*) arguments+=(-accel kvm -cpu host) ;;
    tcgno) arguments+=(-accel "tcg,thread=multi" -cpu max) ;;
    # -erms: a `rep movsb` counts as one instruction, so copies would cost nothing.
    # -x2apic: QEMU 10 has it, and ends with "Bad icount read" when its timer is read.
    # The date goes by counted instructions too: a second of the host's that ends while the kernel reads it would cost some.
    tcgyes) arguments+=(-accel tcg -icount "shift=0,sleep=off" -cpu "max,-erms,-x2apic" -rtc clock=vm) ;;
    esac

    # Keep the VGA adapter: without one the BIOS stage hangs. snapshot: machines running in parallel share the image.
    arguments+=(-display none -no-reboot -nic none -device "isa-debug-exit,iobase=0xf4,iosize=0x04"
        -drive "format=raw,snapshot=on,file=$(escape "$BOOT_IMAGE")"
        -d cpu_reset -D "$temporary/qemu.log")
    if [[ $firmware == uefi ]]; then
        cp -- "$OVMF_VARS" "$temporary/vars.fd" || no_room
        chmod u+w "$temporary/vars.fd"
        arguments+=(-drive "if=pflash,unit=0,format=raw,readonly=on,file=$(escape "$OVMF_CODE")"
            -drive "if=pflash,unit=1,format=raw,file=$(escape "$temporary")/vars.fd")
    fi

    if [[ $exec_mode == yes ]]; then
        printf '%s' "$script" >"$temporary/exec" || no_room
        arguments+=(-monitor none -fw_cfg "name=opt/daxiom/exec,file=$(escape "$temporary")/exec"
            -chardev "file,id=console,path=$(escape "$temporary")/console" -serial chardev:console
            -serial null -chardev "file,id=err,path=/dev/fd/8" -serial chardev:err
            -chardev "file,id=out,path=/dev/fd/7" -serial chardev:out)
    else
        # As `mon:stdio`, and kept, for a panic's addresses get their names at the end. Ctrl-] is QEMU's key, and Ctrl-A the
        # line editor's.
        arguments+=(-echr 0x1d -chardev "stdio,id=console,mux=on,signal=off,logfile=$(escape "$temporary")/console"
            -serial chardev:console -mon chardev=console)
    fi
    local words=()
    # Somebody sits at a terminal that answers when the kernel asks how large it is.
    if [[ $exec_mode == no && -t 0 && -t 1 && ${TERM:-dumb} != dumb ]]; then
        local rows_columns
        rows_columns=$(stty size 2>/dev/null) && words+=("terminal=${rows_columns/ /x}")
    fi
    [[ $keep_going == no ]] || words+=(keep-going)
    [[ $icount == no ]] || words+=(icount)
    if [[ -n $trace ]]; then
        words+=(trace)
        [[ -z $trace_records ]] || words+=("trace-records=$trace_records")
        arguments+=(-chardev "file,id=trace,path=$(escape "$temporary")/trace" -device "isa-debugcon,iobase=0xe9,chardev=trace")
    fi
    ((${#words[@]} == 0)) || arguments+=(-fw_cfg "name=opt/daxiom/args,string=${words[*]}")
    if [[ $gdb != no ]]; then
        [[ $gdb != free ]] || gdb=$(free_port)
        arguments+=(-S -gdb "tcp:127.0.0.1:$gdb")
        say "--gdb" "waiting; type: gdb -ex 'symbol-file -o $KERNEL_BASE \"$KERNEL_ELF\"' -ex 'target remote 127.0.0.1:$gdb'"
    fi
}

free_port() {
    local port
    for port in {1234..1333}; do
        (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port" && return; }
    done
    die "--gdb" "no free port from 1234 to 1333"
}

# Runs QEMU as our child and sets `status` to its exit status, or to 124. The NVDIMMs' locks stay with QEMU, and with
# nobody else, for as long as it lives.
run_qemu() {
    local with_us=() timer='' watch output=() typist=''
    # Whatever kills this script kills the machine with it.
    if setpriv --pdeathsig KILL true 2>/dev/null; then with_us=(setpriv --pdeathsig KILL --); fi

    if [[ $exec_mode == yes ]]; then
        # Through pipes and cat, for QEMU would open our stdout by name: that truncates a file and fails on some terminals.
        exec 7> >(unlock_images && exec cat)
        output+=($!)
        # With 2>&1 they are one: through two, the bytes of an error's line would come among those of the output.
        if [[ /dev/fd/1 -ef /dev/fd/2 ]]; then
            exec 8>&7
        else
            exec 8> >(unlock_images && exec cat >&2)
            output+=($!)
        fi
    fi
    # bash gives a background command /dev/null as stdin, unless told otherwise.
    if [[ $exec_mode == yes ]]; then
        exec 3</dev/null
    elif [[ -t 0 ]]; then
        exec 3<&0
    else
        exec 3< <(type_at_prompt)
        typist=$!
    fi
    "${with_us[@]}" qemu-system-x86_64 "${arguments[@]}" <&3 2>"$temporary/qemu.err" &
    qemu=$!
    exec 3<&- 7>&- 8>&-

    if [[ ! $timeout =~ ^[0.]+$ ]]; then
        exec {timer}> >(end_in_time)
        watch=$!
    fi
    status=0
    # bash would tell of a signal in words of its own.
    { wait "$qemu" || status=$?; } 2>/dev/null
    [[ -z $typist ]] || kill "$typist" 2>/dev/null || true
    if [[ -n $timer ]]; then
        exec {timer}>&-
        wait "$watch" || true
        [[ ! -e $temporary/timed-out ]] || status=124
    fi
    qemu=''
    # All that the machine wrote is out before we leave. (141: the reader wanted no more, as `| head` does.)
    local reader lost
    for reader in "${output[@]}"; do
        lost=0
        wait "$reader" || lost=$?
        if ((status == 33 && lost != 0 && lost != 141)); then die "--exec" "the output could not be written in full"; fi
    done
}

# Gives QEMU what comes from a file or through a pipe once there is a prompt: the boot loader and the kernel set the serial
# port up anew, which empties it.
type_at_prompt() {
    unlock_images
    until grep -qs 'daxiom:/' "$temporary/console"; do
        kill -0 $$ 2>/dev/null || exit 0
        sleep 0.05
    done
    exec "${with_us[@]}" cat
}

# Ends QEMU when the time is up, and leaves a mark that it did. Its input has nothing to read, and ends with this script,
# whatever ends that: so there is neither a child that sleeps on nor one to be waited for. (`wait -n` for QEMU and a
# sleeping child may miss that QEMU ended, and wait for the child.)
end_in_time() {
    exec >/dev/null 2>&1
    unlock_images
    local read=0
    read -rt "$timeout" || read=$?
    ((read > 128)) || exit 0
    : >"$temporary/timed-out" || true
    stop_qemu
}

# By SIGTERM, so that it gives the terminal back; what hangs gets SIGKILL, which costs the image nothing either.
stop_qemu() {
    kill "$qemu" 2>/dev/null || true
    for _ in {1..50}; do
        kill -0 "$qemu" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$qemu" 2>/dev/null || true
    wait "$qemu" 2>/dev/null || true
}

# shellcheck disable=SC2317 # the traps call it
leave() {
    local reached=$?
    trap - EXIT
    [[ -z ${qemu:-} ]] || stop_qemu
    [[ -z $terminal ]] || stty "$terminal" 2>/dev/null || true
    [[ -z ${temporary:-} ]] || rm -rf -- "$temporary"
    exit "$reached"
}

# All in one function: bash reads a script as it goes, and the file may change while the machine runs.
main() {
    parse_options "$@"
    if [[ $exec_mode == yes && $script == - ]]; then
        script=$(cat && echo .) # the dot saves the last line's end
        script=${script%.}
    fi
    # The kernel takes no longer one.
    ((${#script} <= 1 << 18)) || die "--exec" "the script is longer than 256 KiB"

    terminal=''
    # With --exec QEMU leaves the terminal alone; to set it from the background would stop us.
    [[ $exec_mode == yes ]] || terminal=$(stty -g 2>/dev/null) || terminal=''
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    temporary=$(mktemp -d "${TMPDIR:-/tmp}/daxiom.XXXXXX" 2>/dev/null) || die "${TMPDIR:-/tmp}" "cannot make a temporary directory there (TMPDIR): is the disk full, or not yours to write?"
    # For what QEMU writes beside the image; where there is no room for that, its own words for it are many.
    head -c 64K /dev/zero >"$temporary/room" 2>/dev/null || no_room
    rm -f -- "$temporary/room"

    pmem_file=() pmem_size=() pmem_readonly=() image_locks=()
    for image in "${pmem[@]}"; do add_image "$image"; done
    build_paths "$profile" "$firmware"
    if [[ $build == yes ]]; then
        needs=(qemu)
        [[ $firmware == bios ]] || needs+=(uefi)
        build_all "$profile" "$firmware" "${needs[@]}"
    fi
    have qemu-system-x86_64 || die "qemu-system-x86_64" "not found (without --no-build it would be installed)"
    [[ -f $BOOT_IMAGE ]] || die "$BOOT_IMAGE" "not built yet: run without --no-build"
    [[ $firmware == bios ]] || find_ovmf || die "OVMF" "not found (without --no-build it would be installed)"
    if ((${#pmem[@]} == 0)) && [[ $no_pmem == no ]]; then
        default_image "$file_system" "$size"
        add_image "$DEFAULT_IMAGE"
        pmem=("$DEFAULT_IMAGE")
    fi

    [[ $accel != kvm ]] || try_kvm
    arguments=()
    qemu_arguments
    arguments+=("${qemu_options[@]}")
    run_qemu
    finish
}

main "$@"
