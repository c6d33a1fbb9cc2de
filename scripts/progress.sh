# shellcheck shell=bash
# Runs builds side by side and shows how far they are. Sourced by scripts/build.sh.
#
#   side_by_side WHAT NAME COMMAND NAME COMMAND...
#                            runs the COMMANDs (one word each) at once. Sets `failed` to the first NAME that failed, or
#                            to nothing
#
# On a terminal, one line of standard error tells for each NAME what is built, n of m, and the time that passed; it is
# gone at the end. Elsewhere one line names WHAT, if it takes more than two seconds. What the compiler says is shown
# whole, at the end: warnings, and the errors of what failed.

side_by_side() {
    local what=$1 names=() pids=() folder i running told=no terminal=no begin=$SECONDS pause
    shift
    [[ -t 2 && ${TERM:-dumb} != dumb ]] && terminal=yes
    folder=$(mktemp -d "${TMPDIR:-/tmp}/daxiom.XXXXXX" 2>/dev/null) || die "${TMPDIR:-/tmp}" "cannot make a temporary directory"
    if [[ $terminal == yes ]]; then
        export CARGO_TERM_PROGRESS_WHEN=always CARGO_TERM_PROGRESS_WIDTH=200 CARGO_TERM_COLOR=always
    fi
    # Process groups of their own: whoever ends us ends cargo and its compilers, which Ctrl-C would not reach.
    set -m
    while (($# > 0)); do
        names+=("$1")
        "$2" </dev/null >"$folder/${#names[@]}" 2>&1 &
        pids+=($!)
        shift 2
    done
    set +m
    trap 'end_builds "$folder" "${pids[@]}"; exit 143' TERM HUP
    trap 'end_builds "$folder" "${pids[@]}"; exit 130' INT
    exec {pause}<> <(:) # nothing ever comes from it: waiting without a process

    for ((i = 0; ; i++)); do
        running=no
        for pid in "${pids[@]}"; do ! kill -0 "$pid" 2>/dev/null || running=yes; done
        [[ $running == yes ]] || break
        if [[ $terminal == yes ]]; then
            ((i < 10 || i % 5 != 0)) || show_progress
        elif [[ $told == no ]] && ((SECONDS - begin >= 2)); then
            told=yes
            say "build" "$what"
        fi
        read -rt 0.1 -u "$pause" _ || true
    done
    exec {pause}>&-
    [[ $told == no || $terminal == no ]] || printf '\r\e[K' >&2

    failed=''
    for ((i = 0; i < ${#pids[@]}; i++)); do
        if ! wait "${pids[i]}"; then
            failed=${failed:-${names[i]}}
            words "$folder/$((i + 1))" >&2
        elif grep -q 'warning: ' "$folder/$((i + 1))"; then
            words "$folder/$((i + 1))" | grep -vE 'be sure to add|without --locked' >&2 || true
        fi
    done
    trap - TERM HUP INT
    rm -rf -- "$folder"
}

# The line of a terminal: the time, and the last that each cargo said of its progress.
show_progress() {
    local i text line part width
    told=yes
    width=$(stty size <&2 2>/dev/null) || width='24 80'
    line=$(printf 'building %d:%02d' $(((SECONDS - begin) / 60)) $(((SECONDS - begin) % 60)))
    for ((i = 0; i < ${#names[@]}; i++)); do
        kill -0 "${pids[i]}" 2>/dev/null || continue
        part="fetching"
        text=$(tail -c 2000 "$folder/$((i + 1))" | tr '\r\0' '\n ' | sed 's/\x1b\[[0-9;]*[a-zA-Z]//g')
        if [[ $text =~ .*\]\ ([0-9]+)/([0-9]+):\ ([^$'\n']*) ]]; then part="${BASH_REMATCH[1]} of ${BASH_REMATCH[2]}: ${BASH_REMATCH[3]}"; fi
        line+=" | ${names[i]}$(sed -n 's/^stage / /p' "$folder/$((i + 1))" | tail -n 1) $part"
    done
    width=${width#* }
    ((width > 0)) || width=80 # some terminals do not know
    printf '\r%s\e[K' "${line:0:width - 1}" >&2
}

# What a build said, without what only tells of its progress; and without what cargo says of the loader's font, which it looks
# for among what is locked before it puts ours in its place.
words() {
    tr '\r' '\n' <"$1" | sed -E '/^[^ ]*warning[^ ]* .*patch `noto-sans-mono/d; /^[^ ]*help[^ ]* .*Check that the patched package/,+3d; /^(\x1b\[[0-9;]*[a-zA-Z])* *(Building|Compiling|Finished|Updating|Downloading|Downloaded|Locking|Adding|Installing|Replacing|Installed|Replaced|Ignored|Blocking|Fetch)\>/d; /^(\x1b\[[0-9;]*[a-zA-Z])* *$/{N;/^\n *$/D}; /^stage /d'
}

end_builds() { # FOLDER PID...
    local folder=$1 pid
    shift
    for pid in "$@"; do kill -- "-$pid" 2>/dev/null || true; done
    wait "$@" 2>/dev/null || true
    rm -rf -- "$folder"
}
