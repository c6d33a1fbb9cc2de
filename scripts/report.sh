# shellcheck shell=bash
# How a machine ended, as an exit status and a line that says it. Sourced by qemu-run.sh.
#
#   finish      saves what --console and --trace ask for, says what went wrong, and exits
#
# `status` is QEMU's exit status, or 124 if its time was up; $temporary holds what it wrote: console, trace, qemu.log,
# qemu.err.
# shellcheck disable=SC2154 # they are qemu-run.sh's

# Lines of the console that are shown where no panic tells where to begin.
CONSOLE_LINES=10

finish() {
    [[ -z $console ]] || cp -- "$temporary/console" "$console" 2>/dev/null || say "$console" "could not be written"
    keep_trace
    case $status in
    33) exit 0 ;;
    35) exit 1 ;;
    101)
        say "kernel" "panic"
        show_console
        exit 101
        ;;
    124)
        say "time-out" "no end after $timeout s (--timeout)$(about_console)"
        show_console
        exit 124
        ;;
    125) die "kernel" "$(tr -d '\r' <"$temporary/console" | grep -a '^cannot start: ' | tail -n 1)" ;;
    0)
        if grep -q '^Triple fault' "$temporary/qemu.log" 2>/dev/null; then
            # The boot loader says nothing: without these it ends so.
            grep -aq ' Daxiom ' "$temporary/console" ||
                die "kernel" "cannot start: triple fault before its first line; the boot loader needs a CPU with lm (64-bit mode) and nx (execute-disable)"
            say "kernel" "triple fault$(about_console)"
            show_console
            exit 101
        elif [[ $exec_mode == yes ]]; then
            say "kernel" "the machine went off before the commands were done$(about_console)"
            show_console
            exit 101
        fi
        exit 0 # left through QEMU's own key
        ;;
    135) sigbus ;;
    *)
        local why
        why=$(grep -v '^$' "$temporary/qemu.err" | tail -n 1) || true
        if ((status > 128)) && [[ -z $why ]]; then
            why="killed by signal $(kill -l $((status - 128)) 2>/dev/null || echo $((status - 128)))"
        fi
        case $why in
        *'error while loading shared libraries'*) why+="; the system's libraries have changed: without --no-build it is set up anew" ;;
        esac
        die "QEMU" "exit status $status${why:+, ${why#qemu-system-x86_64: }}"
        ;;
    esac
}

keep_trace() {
    [[ -n $trace ]] || return 0
    if [[ ! -s $temporary/trace ]]; then
        say "$trace" "no trace: the machine ended before it could write one"
    else
        cp -- "$temporary/trace" "$trace" 2>/dev/null || say "$trace" "could not be written"
    fi
}

# QEMU stored to a page of an image for which the file has no block, and got none.
sigbus() {
    local file room
    for file in "${pmem_file[@]}"; do
        room=$(df -k --output=avail -- "$file" 2>/dev/null | tail -n 1) || continue
        ((room < 1024 && $(stat -Lc '%b * %B' -- "$file") < $(stat -Lc %s -- "$file"))) || continue
        die "$file" "the disk under it is full ($(df --output=target -- "$file" | tail -n +2)), and a store to a hole of the file ended the machine: make room, or fill the holes first with fallocate -l $(stat -Lc %s -- "$file") FILE"
    done
    die "QEMU" "ended by SIGBUS: an image was made shorter, or could not be read, while the machine ran"
}

# Ends the line before the console's.
about_console() {
    [[ $exec_mode == yes ]] || return 0
    if [[ -s $temporary/console ]]; then echo "; the console's last lines:"; else echo "; the console is empty"; fi
}

# With --exec nobody has seen the console: what it said from the panic on, or its last lines. A panic's addresses get
# their names, on a terminal too.
show_console() {
    [[ -s $temporary/console ]] || return 0
    if grep -aq 'KERNEL PANIC' "$temporary/console"; then
        tr -d '\r' <"$temporary/console" | sed -n '/KERNEL PANIC/,$p' >"$temporary/panic"
        if [[ $exec_mode == yes ]]; then name_addresses; else name_addresses | sed -n '/^backtrace:/,$p'; fi
    elif [[ $exec_mode == yes ]]; then
        tr -d '\r' <"$temporary/console" | tail -n $CONSOLE_LINES
    fi >&2
}

# Whether the image was made from the ELF file that is there. (In a copied tree the files' times tell nothing.)
image_of_this_kernel() {
    [[ -r $KERNEL_ELF ]] || return
    [[ ! $KERNEL_ELF -nt $BOOT_IMAGE ]] || grep -qsF "$(sha256sum <"$KERNEL_ELF" | cut -d' ' -f1)" -- "$BOOT_IMAGE.stamp"
}

# Prints $temporary/panic with the functions' names, which the kernel's ELF file has and the machine has not, behind the
# backtrace's addresses.
name_addresses() {
    local offsets
    mapfile -t offsets < <(sed -nE 's/^  0x[0-9a-f]+ \(kernel\+0x([0-9a-f]+)\).*/\1/p' "$temporary/panic")
    if ((${#offsets[@]} == 0)) || ! have addr2line || ! image_of_this_kernel; then
        cat -- "$temporary/panic"
        return
    fi
    # A return address is that of the next instruction, which may be another function's; an exception's is its own.
    local i before=1 names
    for i in "${!offsets[@]}"; do
        before=1
        ! grep -q "^KERNEL PANIC.* rip 0x[0-9a-f]*${offsets[i]} " "$temporary/panic" || ((i > 0)) || before=0
        offsets[i]=$(printf %x $((16#${offsets[i]} - before)))
    done
    names=$(addr2line -Cfpe "$KERNEL_ELF" "${offsets[@]}" 2>/dev/null | sed 's/ at ??:.*//; s/^/ /') || names=''
    names=${names//" at $root/"/ at }
    awk -v names="$names" 'BEGIN { n = split(names, name, "\n") }
        /^  0x[0-9a-f]+ \(kernel\+0x/ { i++; if (i <= n && name[i] !~ /^ \?\?/) $0 = $0 name[i] }
        { print }' "$temporary/panic"
}
