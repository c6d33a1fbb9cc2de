# shellcheck shell=bash
# The steps of ./test.sh: what each costs, what is said of it, and how to repeat what failed. Sourced by test.sh.
#
#   step NAME COMMAND...     runs a step; a failure does not end the run
#   skip NAME WHY            says that it is not run
#   cargo_tests OPTION...    `cargo test` in a step: one line for each program, failures in full, each with the line that
#                            repeats it; a run of no test at all is skipped, not passed
#   unchanged                fails if git sees other changes than when this file was sourced
#   summary                  the table of costs and the last two lines; its status is the run's
#
# CPU time is that of all processes a step has started and waited for, user and system together. Logs are kept in
# $CARGO_TARGET_DIR/test-logs.

tests_awk=$(dirname -- "${BASH_SOURCE[0]}")/tests.awk
logs=$CARGO_TARGET_DIR/test-logs
mkdir -p -- "$logs" || die "$logs" "cannot make the folder for logs"
passed=0 failed=() skipped=() table=() tests_run=0
# NAME as it was given, for who repeats a test.
names=()

# Sets `cpu_ms`: what this shell's children have used, in milliseconds.
cpu() {
    local user system
    times >"$logs/.times"
    { read -r _ && read -r user system; } <"$logs/.times"
    cpu_ms=$(($(milliseconds "$user") + $(milliseconds "$system")))
}

milliseconds() { # 1m2.345s
    local minutes=${1%%m*} rest=${1#*m} thousandths
    rest=${rest%s}
    thousandths=${rest#*[.,]}
    printf '%d' $((minutes * 60000 + ${rest%[.,]*} * 1000 + 10#${thousandths:0:3}))
}

step() { # NAME COMMAND...
    local name=$1 start=$SECONDS status=0 cpu_ms before said
    shift
    printf '\n== %s\n' "$name"
    cpu
    before=$cpu_ms
    rm -f -- "$logs/.why-skipped"
    "$@" || status=$?
    cpu
    said=$(printf '%d s, %d s of CPU time' $((SECONDS - start)) $(((cpu_ms - before + 500) / 1000)))
    if [[ -f $logs/.why-skipped ]]; then
        skip "$name" "$(<"$logs/.why-skipped")"
        return
    elif ((status == 0)); then
        passed=$((passed + 1))
        printf -- '-- %s: passed (%s)\n' "$name" "$said"
    else
        failed+=("$name")
        printf -- '-- %s: FAILED (%s)\n' "$name" "$said"
    fi
    row "$name" $((SECONDS - start)) $(((cpu_ms - before + 500) / 1000))
}

row() { table+=("$(printf '%-42s %7s %7s' "$@")"); }

skip() { # NAME WHY
    printf -- '-- %s: skipped: %s\n' "$1" "$2"
    skipped+=("$1: $2")
}

cargo_tests() {
    local status=0 options=("$@") package='' profile='' more='' position
    for position in "${!options[@]}"; do
        case ${options[position]} in
        -p) package="-p ${options[position + 1]} " ;;
        --profile) profile="--profile ${options[position + 1]} " ;;
        --ignored) more=' --ignored' ;;
        esac
    done
    rm -f -- "$logs/.count" "$logs/.skipped"
    export DAXIOM_SKIPPED=$logs/.skipped
    { cargo test --locked --no-fail-fast "$@" 2>&1 || status=$?; echo "cargo status $status"; } |
        tee -- "$logs/cargo-test.log" |
        awk -v package="$package" -v profile="$profile" -v more="$more" -v long="$([[ ${long:-no} == no ]] || echo '--long ')" -v count="$logs/.count" -f "$tests_awk" || return 1
    if (($(<"$logs/.count") == 0)); then
        ((${#names[@]} > 0)) || { echo "no test ran" && return 1; }
        echo "no test's name contains \"${names[*]}\"" >"$logs/.why-skipped"
    fi
    tests_run=$((tests_run + $(<"$logs/.count")))
    # What a test said that could show nothing here.
    local line
    if [[ -f $logs/.skipped ]]; then
        while IFS= read -r line; do skip "${line%%: *}" "${line#*: }"; done <"$logs/.skipped"
    fi
}

# What git sees, contents of changed files included.
state_of_tree() {
    git -C "$root" status --porcelain && git -C "$root" diff --binary HEAD | sha256sum
}
tree_before=$(state_of_tree 2>/dev/null) || tree_before=

unchanged() {
    local now new
    now=$(state_of_tree) || return
    [[ $now != "$tree_before" ]] || return 0
    # The last line of both is a digest.
    new=$(comm -13 <(sed '$d' <<<"$tree_before" | sort) <(sed '$d' <<<"$now" | sort))
    if [[ -n $new ]]; then
        sed 's/^/changed by this run: /' <<<"$new"
    else
        echo "a file that was changed before has other contents now, or is as committed"
    fi
    return 1
}

summary() {
    local cpu_ms list
    cpu
    row "all of it" "$SECONDS" $(((cpu_ms + 500) / 1000))
    printf '\n%-42s %7s %7s\n' step 'wall s' 'CPU s'
    printf '%s\n' "${table[@]}"
    if ((${#skipped[@]} > 0)); then printf 'skipped: %s\n' "${skipped[@]}"; fi
    if ((${#names[@]} > 0 && tests_run == 0)); then failed+=("no test's name contains \"${names[*]}\""); fi
    printf '\n'
    if ((${#failed[@]} > 0)); then
        printf -v list '%s; ' "${failed[@]}"
        printf 'test.sh: FAILED: %s (%d s)\n' "${list%; }" "$SECONDS"
    else
        printf 'test.sh: all passed (%d s)\n' "$SECONDS"
    fi
    printf 'steps: %d passed, %d failed, %d skipped\n' "$passed" "${#failed[@]}" "${#skipped[@]}"
    ((${#failed[@]} == 0))
}
