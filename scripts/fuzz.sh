#!/usr/bin/env bash
# Fuzzes the ext2 of fs, guided by coverage (libFuzzer). docs/fuzzing.md tells more.
#
#   scripts/fuzz.sh [SECONDS] [-- OPTION...]     runs for SECONDS (default 60); OPTIONs are libFuzzer's
#   scripts/fuzz.sh --runs N [-- OPTION...]      the same N runs each time: nothing is kept for the next one
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

work=$CARGO_TARGET_DIR/fuzz
binary=$work/build/x86_64-unknown-linux-gnu/fuzz/image

# What libFuzzer needs of the compiler: counters of each edge, and a table of them. Comparisons are not traced: half of the
# time would go there, and the mutations know already what is worth a try. There is no unsafe code in `fs`:
# AddressSanitizer, which Debian's Rust lacks, has nothing to watch.
coverage=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0 --cfg fuzzing)

build_fuzzer() {
    setup build fuzz
    (cd -- "$root" && RUSTFLAGS="${coverage[*]}" cargo build -q --locked --profile fuzz --target x86_64-unknown-linux-gnu \
        --target-dir "$work/build" -p daxiom-fuzz) >"$work/log" 2>&1 ||
        { tail -n 30 "$work/log" >&2; say "build" "the fuzzer does not compile (see above)"; exit 1; }
}

seconds=60 runs='' replay='' minimise='' build_only=no
while (($# > 0)); do
    case $1 in
    -h | --help) sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 0 ;;
    --runs) runs=${2:?--runs N} && shift ;;
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
rm -rf -- "$work/seeds"
DAXIOM_FUZZ_START=$work/seeds "$binary" -runs=0 >"$work/log" 2>&1 || { say "fuzz" "no inputs to start from (log: $work/log)"; exit 1; }

corpus=$work/corpus length=(-max_total_time="$seconds")
if [[ $runs ]]; then
    corpus=$work/once length=(-runs="$runs" -seed=1)
    rm -rf -- "$corpus"
    mkdir -- "$corpus"
fi

status=0
"$binary" "$corpus" "$work/seeds" "$root/fs/tests/regressions" "${length[@]}" -timeout=120 \
    -rss_limit_mb=1024 -max_len=603 -print_final_stats=1 -artifact_prefix="$work/findings/" "$@" >"$work/run.log" 2>&1 || status=$?
grep -E '^#[0-9]+' "$work/run.log" | tail -n 1
executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/run.log")
speed=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$work/run.log")
if ((status != 0)); then
    grep -E -A2 'panicked at|^ALARM|ERROR: libFuzzer: (timeout|out-of-memory)' "$work/run.log" | head -n 12 >&2
    artifact=$(sed -n 's/.*Test unit written to //p' "$work/run.log" | tail -n 1)
    [[ -n $artifact ]] || { tail -n 20 "$work/run.log" >&2; say "fuzz" "libFuzzer ended with status $status (log: $work/run.log)"; exit 1; }
    say "a finding" "$artifact"
    say "replay it" "scripts/fuzz.sh --replay $artifact"
    exit 1
fi
printf 'fuzzing: no finding in %s executions%s\n' "${executions:-as many}" "${speed:+ ($speed a second)}"
