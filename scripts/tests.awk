# What matters of `cargo test`'s output, as it comes: scripts/steps.sh. `package`, `profile`, `more` and `long` are
# what else a line that repeats a test needs; the number of tests that ran goes to the file `count`.

/^ +(Compiling|Checking|Finished|Downloaded|Downloading|Updating|Locking|Adding|Blocking|Fresh|Dirty|Executable) / { next }
/^ +Running / {
    # Running unittests src/lib.rs (target/debug/deps/fs-0123456789abcdef)
    program = $NF
    gsub(/^.*\/|-[0-9a-f]+\)$/, "", program)
    path = $(NF - 1)
    if (path ~ /src\/lib.rs$/) which = "-p " program " --lib"
    else if (path ~ /src\//) which = "-p " program " --bin " program
    else { gsub(/_/, "-", program); which = package "--test " program }
    next
}
/^ +Doc-tests / { program = $2; which = "-p " program " --doc"; program = program " (examples)"; next }
/^running [0-9]+ tests?$/ { inside = 1; next }
/^test .* (ok|ignored|ignored, .*)$/ && inside { next }
/^test .* has been running for over / && inside { next }
/^test .* \.\.\. FAILED/ && inside {
    name = substr($0, 6, index($0, " ... FAILED") - 6)
    print "FAILED: " program ": " name
    again[++lost] = name
    how[lost] = which
    next
}
/^test result: / {
    ran += $4 + $6
    inside = listing = 0
    if ($4 + $6 + $8 > 0) print $0 "  [" program "]"
    next
}
# The second list of failures says no more than ours.
/^failures:$/ && inside { if (dumped) listing = 1; dumped = !dumped; next }
listing { next }
/^error: (test failed, to rerun|[0-9]+ targets? failed:)/ { next }
/^    `.*--(lib|test|bin|doc).*`$/ { next }
/^cargo status / { status = $3; next }
/^$/ && !dumped { next }
{ print; fflush() }
END {
    print ran + 0 > count
    for (number = 1; number <= lost; number++)
        print "alone: ./test.sh " long "'" again[number] "'\n   or: cargo test " profile how[number] " --" more " --exact '" again[number] "'"
    if (status != 0 && lost == 0) print "cargo test ended with status " status
    exit status != 0
}
