//! The trace: what is written down, and the file that Perfetto opens.

use serde_json::Value;
use tests::image::Image;
use tests::run::QemuRun;

const MIB: u64 = 1 << 20;

/// Runs `script` with `--trace` and the processors asked for, and hands over the events of the file.
fn traced(script: &str, cpus: &str) -> Vec<Value> {
    let image = Image::ext2(16 * MIB);
    let file = image.folder().join("trace.json");
    let run = QemuRun::new(script).pmem(&image).args(["--smp", cpus]);
    run.args(["--trace".as_ref(), file.as_os_str()]).ok();
    image.expect_clean();
    let text = std::fs::read(&file).expect("a trace");
    let trace: Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(trace["otherData"]["lost"], 0);
    trace["traceEvents"].as_array().expect("events").clone()
}

fn of<'a>(events: &'a [Value], phase: &str, name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["ph"] == phase && event["name"] == name).collect()
}

/// Begin and end of a slice, in microseconds.
fn span(slice: &Value) -> (f64, f64) {
    let number = |key: &str| slice[key].as_f64().unwrap_or_else(|| panic!("no {key} in {slice}"));
    (number("ts"), number("ts") + number("dur"))
}

/// What every trace is: each event has its row and time, and slices of one row lie one inside the other.
fn expect_well_formed(events: &[Value]) {
    for event in events {
        assert!(
            event["pid"].is_u64()
                && event["tid"].is_u64()
                && event["ts"].as_f64().is_some_and(|ts| ts >= 0.0),
            "{event}"
        );
        assert!(["X", "i", "s", "f", "M"].contains(&event["ph"].as_str().expect("a phase")), "{event}");
    }
    let rows: std::collections::BTreeSet<_> = events.iter().map(|event| event["tid"].as_u64()).collect();
    for row in rows {
        let of_row = events.iter().filter(|event| event["tid"].as_u64() == row && event["ph"] == "X");
        let mut slices: Vec<(f64, f64)> = of_row.map(span).collect();
        slices.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
        let mut open: Vec<(f64, f64)> = Vec::new();
        for slice in slices {
            open.retain(|outer| outer.1 > slice.0);
            // A thousandth of a microsecond is what rounding may cost.
            let inside = open.last().is_none_or(|outer| slice.1 <= outer.1 + 0.002);
            assert!(inside, "{slice:?} begins in {:?} and ends after it", open.last());
            open.push(slice);
        }
    }
}

#[test]
fn a_store_to_a_hole_is_a_fault_with_its_waits_its_retry_and_its_block() {
    let events = traced("io -f -c 'truncate 64k' -c 'mmap 0 64k' -c 'mread -f 0 4' -c 'mwrite 0 8k' /f", "1");
    expect_well_formed(&events);
    let [reads, writes] = ["read fault", "write fault"].map(|name| of(&events, "X", name));
    assert_eq!((reads.len(), writes.len()), (1, 2));
    let (begin, end) = span(writes[0]);
    let inside = |event: &&Value| event["ts"].as_f64().is_some_and(|at| (begin..=end).contains(&at));
    let names: Vec<&str> = events.iter().filter(inside).filter_map(|event| event["name"].as_str()).collect();
    for name in ["wait: dax_sem, shared", "retry", "wait: dax_sem, exclusive", "allocated", "zero-unmapped"] {
        assert!(names.contains(&name), "no {name} among {names:?}");
    }
    assert_eq!((&writes[0]["args"]["page"], &writes[1]["args"]["page"]), (&0.into(), &1.into()));
    assert_eq!(writes[0]["args"]["served"], true);
    assert_eq!(of(&events, "i", "retry").len(), 2);
    // Rows have names.
    let names = ["process_name", "thread_name"].map(|name| &of(&events, "M", name)[0]["args"]["name"]);
    assert_eq!(names, ["CPU 0", "task 1"]);
}

#[test]
fn a_shootdown_is_an_arrow_from_who_asks_to_who_answers() {
    // By script: the load's CPU still has the zero page when the store's takes it away.
    let events = traced("race R4 --script; race R14 --script --protocol entry-lock", "2");
    expect_well_formed(&events);
    let asked: Vec<_> = events.iter().filter(|event| event["ph"] == "s").collect();
    let answered: Vec<_> = events.iter().filter(|event| event["ph"] == "f").collect();
    assert!(!asked.is_empty() && asked.len() == answered.len());
    let shootdowns = of(&events, "X", "shootdown");
    for (from, to) in asked.iter().zip(&answered) {
        assert_eq!((&from["id"], &from["name"], &from["cat"]), (&to["id"], &to["name"], &to["cat"]));
        assert_ne!(from["pid"], to["pid"], "a CPU asks others");
        assert!(from["ts"].as_f64() <= to["ts"].as_f64(), "asked before answered");
        let within = |slice: &&&Value| {
            let ((begin, end), at) = (span(slice), to["ts"].as_f64().unwrap_or(-1.0));
            slice["tid"] == from["tid"] && begin <= at && at <= end
        };
        assert!(shootdowns.iter().any(|slice| within(&slice)), "{to} is outside of what was asked");
    }
    // Two loads waited for the first one's entry.
    assert!(!of(&events, "X", "wait: entry").is_empty());
    assert!(events.iter().any(|event| event["ph"] == "X" && event["pid"] == 2));
}

#[test]
fn a_refused_fault_says_so() {
    let image = Image::ext2(16 * MIB);
    let file = image.folder().join("trace.json");
    let script = "io -f -c 'truncate 4k' -c 'mmap 0 64k' -c 'mread 8k 4' /f";
    let run = QemuRun::new(script).pmem(&image).args(["--trace".as_ref(), file.as_os_str()]);
    assert_eq!(run.outcome().status, 1);
    let trace: Value = serde_json::from_slice(&std::fs::read(&file).expect("a trace")).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    let served: Vec<&Value> =
        of(events, "X", "read fault").iter().map(|event| &event["args"]["served"]).collect();
    assert_eq!(served, [false]);
}

#[test]
fn nothing_is_written_down_unless_it_is_on_and_old_records_make_way() {
    let image = Image::ext2(16 * MIB);
    let fault = "io -f -c 'truncate 64k' -c 'mmap 0 64k' -c 'mwrite 0 4' /f";
    let script = format!(
        "{fault}; trace; trace on; {fault}; trace off; {fault}; trace dump; echo; trace clear; trace; \
         trace on; bench -n 1024 write-hole; trace off; trace; trace dump | wc -l"
    );
    let output = QemuRun::new(&script).pmem(&image).ok();
    let lines: Vec<&str> =
        output.lines().filter(|line| !line.starts_with("wrote") && !line.is_empty()).collect();
    assert_eq!(lines.iter().filter(|line| line.starts_with("trace is")).count(), 3, "{output}");
    assert!(lines.contains(&"trace is off: 0 records, 0 lost"), "{output}");
    assert_eq!(lines.iter().filter(|line| line.contains(" fault-begin ")).count(), 1, "{output}");
    assert_eq!(lines.iter().filter(|line| line.contains(" allocated ")).count(), 0, "the block was there");
    let [.., last, dumped] = lines[..] else { panic!("{output}") };
    assert_eq!(dumped, "16385", "each record that is there, and how many are lost");
    assert!(last.starts_with("trace is off: 16384 records, ") && !last.contains(" 0 lost"), "{last}");
}

/// What a ring of the usual size loses is told, with the option that keeps all; and that option keeps all.
#[test]
fn lost_records_are_told_with_the_way_to_keep_them() {
    let image = Image::ext2(16 * MIB);
    let file = image.folder().join("trace.json");
    let traced = |records: &str| {
        let run = QemuRun::new("bench -n 1024 write-hole > /out").pmem(&image);
        let outcome =
            run.args(["--trace".as_ref(), file.as_os_str()]).args(["--trace-records", records]).outcome();
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        let trace: Value = serde_json::from_slice(&std::fs::read(&file).expect("a trace")).expect("JSON");
        (outcome.stderr, trace["otherData"]["lost"].as_u64().expect("a number"))
    };
    let (told, lost) = traced("1000");
    let words: Vec<&str> = told.split_whitespace().collect();
    let [_, count, "of", all, "records", "are", "lost,", "the", "oldest", "ones;", option, enough, ..] =
        words[..]
    else {
        panic!("{told}")
    };
    assert_eq!((words[0], option, count.parse()), ("trace:", "--trace-records", Ok(lost)), "{told}");
    assert!(lost > 1000 && all.parse::<u64>().is_ok_and(|all| all > lost), "{told}");
    assert_eq!(traced(enough), (String::new(), 0));
}

#[test]
fn counters_are_an_object_too_and_rings_have_the_size_that_is_asked_for() {
    let image = Image::ext2(16 * MIB);
    let script = "stats fault; stats fault --json; echo ===
                  trace on --records 100; bench -n 256 write-hole; trace off; trace; trace on; trace off; trace
                  trace -j; trace on -n 0; trace clear -n 5; stats reset --json";
    let outcome = QemuRun::new(script).pmem(&image).args(["-k", "--smp", "1"]).outcome();
    let text = outcome.text();
    let (stats, rest) = text.split_once("===\n").expect("both");
    let (lines, json) = stats.split_at(stats.find('{').expect("an object"));
    let object: serde_json::Map<String, Value> = serde_json::from_str(json).expect("JSON");
    assert_eq!(lines.lines().count(), object.len());
    for (name, value) in lines.lines().filter_map(|line| line.split_once(' ')) {
        assert_eq!(object[name].to_string(), value, "{name}");
    }
    let kept = rest.lines().filter(|line| line.starts_with("trace is off: 100 records, ")).count();
    assert_eq!(kept, 2, "{rest}");
    let want = "trace: --json is for dump
trace: 0: not a number from 1 to 16777216
trace: --records is for on
stats: reset: shows nothing, so --json does not go with it
";
    assert_eq!(outcome.stderr, want);
}
