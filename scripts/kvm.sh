# shellcheck shell=bash
# Whether KVM is the processor's own. Sourced by qemu-run.sh.
#
#   try_kvm     dies unless --accel kvm runs a small program as fast as a processor does
#
# Some sandboxes have a /dev/kvm that is software: there a guest's instructions take a microsecond each, or it crashes.
# shellcheck disable=SC2154 # temporary is qemu-run.sh's

# Instructions of the trial: some milliseconds for a processor, ten seconds and more for such software.
KVM_TRIAL=20000000
KVM_SECONDS=4

try_kvm() {
    local status=0 why
    firmware_image >"$temporary/kvm.rom" || die "$temporary" "cannot be written: is the disk full?"
    { timeout -k 2 "$KVM_SECONDS" qemu-system-x86_64 -accel kvm -cpu host -machine q35 -m 16M -nodefaults -display none \
        -bios "$(escape "$temporary/kvm.rom")" -device "isa-debug-exit,iobase=0xf4,iosize=0x04" \
        </dev/null >/dev/null 2>"$temporary/kvm.err" || status=$?; } 2>/dev/null
    case $status in
    33) ;;
    124 | 137) die "--accel kvm" "KVM is not usable here: $KVM_TRIAL instructions were not done in $KVM_SECONDS s, so it is software; --accel tcg is faster" ;;
    *)
        why=$(grep -v '^$' "$temporary/kvm.err" | tail -n 1) || true
        die "--accel kvm" "KVM is not usable here: QEMU ended with $status${why:+, ${why#qemu-system-x86_64: }}; --accel tcg does without"
        ;;
    esac
}

# Firmware that counts down and leaves through isa-debug-exit:
#   mov ecx, KVM_TRIAL / 2; dec ecx; jnz -4; mov al, 0x10; out 0xf4, al; hlt; and at the reset vector a jump to it
firmware_image() {
    local i count=$((KVM_TRIAL / 2)) bytes=''
    for i in 0 8 16 24; do bytes+=$(printf '\\x%02x' $((count >> i & 255))); done
    printf '%b' '\x66\xb9'"$bytes"'\x66\x49\x75\xfc\xb0\x10\xe6\xf4\xf4'
    head -c $((0xfff0 - 15)) /dev/zero
    printf '\xe9\x0d\x00'
    head -c 13 /dev/zero
}
