#!/usr/bin/env bash
# Fuzzes the ext2 of fs, guided by coverage (cargo-fuzz, libFuzzer). docs/fuzzing.md tells more.
#
#   scripts/fuzz.sh [SECONDS] [-- OPTION...]     runs for SECONDS (default 60); OPTIONs are libFuzzer's
#   scripts/fuzz.sh --replay FILE                runs one input, and tells what is in it
#   scripts/fuzz.sh --minimise FILE              makes a finding smaller: writes FILE.min
#   scripts/fuzz.sh --build                      only sets up and builds
#
# Sets up what is missing. Inputs that reach new code are kept in $CARGO_TARGET_DIR/fuzz/corpus (default ./target) for
# the next run. Ends with executions, coverage and speed; findings are in $CARGO_TARGET_DIR/fuzz/findings.
#
# Exit status: 0 nothing found, 1 a finding (or it does not compile), 125 set-up was not possible.

set -euo pipefail
program=${0##*/}
here=$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")
# shellcheck source=scripts/setup.sh
. "$here/setup.sh"
# shellcheck source=scripts/build.sh
. "$here/build.sh"

# Builds with what is set up here: `--sanitizer none` needs no nightly, only RUSTC_BOOTSTRAP or none of it.
CARGO_FUZZ=0.13.2
tools=$CARGO_TARGET_DIR/tools
work=$CARGO_TARGET_DIR/fuzz
binary=$work/build/x86_64-unknown-linux-gnu/release/image

build_fuzzer() {
    setup build fuzz
    if [[ $("$tools/bin/cargo-fuzz" --version 2>/dev/null) != "cargo-fuzz $CARGO_FUZZ" ]]; then
        say "set-up" "building cargo-fuzz $CARGO_FUZZ (a minute or two)"
        cargo install -q --locked --root "$tools" --target-dir "$tools/build" "cargo-fuzz@$CARGO_FUZZ" >&2 ||
            die "set-up" "cargo-fuzz $CARGO_FUZZ could not be installed (see above)"
        rm -rf -- "$tools/build"
    fi
    # There is no unsafe code in `fs`: AddressSanitizer, which Debian's Rust lacks, has nothing to watch.
    # Comparisons are not traced: half of the time went there, and the mutations know already what is worth a try.
    "$tools/bin/cargo-fuzz" build --fuzz-dir "$root/fuzz" --target-dir "$work/build" --sanitizer none --no-trace-compares image >"$work/log" 2>&1 ||
        { tail -n 30 "$work/log" >&2; say "build" "the fuzzer does not compile (see above)"; exit 1; }
}

seconds=60 replay='' minimise='' build_only=no
while (($# > 0)); do
    case $1 in
    -h | --help) sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 0 ;;
    --replay) replay=${2:?--replay FILE} && shift ;;
    --minimise) minimise=${2:?--minimise FILE} && shift ;;
    --build) build_only=yes ;;
    --) shift && break ;;
    *[!0-9]* | '') die "$1" "unknown option (--help tells)" ;;
    *) seconds=$1 ;;
    esac
    shift
done

# An example of the executor's crate, with what is set up here. A finding unwinds in it, which this workspace's own
# profile does not do.
executor() { # EXAMPLE ARGUMENT...
    local example=$1
    shift
    setup build
    cd -- "$root"
    cargo run -q --locked --config 'profile.dev.panic="unwind"' --config 'profile.dev.opt-level=1' \
        --target-dir "$work/build" -p fuzz-exec --example "$example" -- "$@"
}

if [[ $minimise ]]; then
    minimise=$(realpath -- "$minimise")
    # What panics is left as it is, which takes memory.
    (ulimit -v 8000000 && build_locked executor minimise "$minimise" "$minimise.min")
    say "made smaller" "$minimise.min"
    exit 0
fi
mkdir -p -- "$work/corpus" "$work/findings"
build_locked build_fuzzer
if [[ $build_only == yes ]]; then exit 0; fi
if [[ $replay ]]; then DAXIOM_FUZZ_TELL=1 exec "$binary" -timeout=120 "$replay"; fi
build_locked executor seeds "$work/seeds"

status=0
"$binary" "$work/corpus" "$work/seeds" "$root/fs/tests/regressions" -max_total_time="$seconds" -timeout=120 \
    -rss_limit_mb=1024 -max_len=603 -print_final_stats=1 -artifact_prefix="$work/findings/" "$@" >"$work/run.log" 2>&1 || status=$?
grep -E '^#[0-9]+' "$work/run.log" | tail -n 1
executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/run.log")
speed=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$work/run.log")
if ((status != 0)); then
    grep -E -A2 'panicked at|^ALARM|ERROR: libFuzzer: (timeout|out-of-memory)' "$work/run.log" | head -n 12 >&2
    artifact=$(sed -n 's/.*Test unit written to //p' "$work/run.log" | tail -n 1)
    [[ -n $artifact ]] || { tail -n 20 "$work/run.log" >&2; die "fuzz" "libFuzzer ended with status $status (log: $work/run.log)"; }
    say "a finding" "$artifact"
    say "replay it" "scripts/fuzz.sh --replay $artifact"
    exit 1
fi
printf 'fuzzing: no finding in %s executions%s\n' "${executions:-as many}" "${speed:+ ($speed a second)}"
