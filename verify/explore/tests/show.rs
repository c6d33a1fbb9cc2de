//! Runs as they are told to people: all is in it, it stands where it belongs, and others' readers take it.

use std::collections::{BTreeMap, BTreeSet};

use crate::runs::{rfc, three};
use explore::show::{Kind, Trace, perfetto, svg, table};
use explore::story::follow;
use explore::world::Images;
use fs::lab::schedule::Story;
use roxmltree::{Document, Node};
use serde_json::Value;

/// Without blanks and breaks: wrapped texts are found again.
fn solid(text: &str) -> String {
    text.split_whitespace().collect()
}

/// A column of a table whose columns begin at `from`, up to `to`: its lines, wrapped texts together.
fn column(table: &str, from: usize, to: usize) -> String {
    let lines = table.lines().map(|line| line.chars().skip(from).take(to - from).collect::<String>());
    solid(&lines.collect::<String>())
}

/// Where the columns of a table begin: under the heads are rules.
fn columns(table: &str) -> Vec<usize> {
    let is_rule = |line: &&str| line.contains("--") && line.chars().all(|letter| "- ".contains(letter));
    let rule: Vec<char> = table.lines().find(is_rule).expect("rules under the heads").chars().collect();
    let begins = |&at: &usize| rule[at] == '-' && (at == 0 || rule[at - 1] == ' ');
    (0..rule.len()).filter(begins).collect()
}

#[test]
fn the_rfcs_race_reads_like_the_rfcs_two_columns() {
    let expected = "
    CPU 0, space a: load        CPU 1, space a: store         locks and page tables
    --------------------        ---------------------         ---------------------
 1  load
 4    looked-up: hole
 5                              store
 8                                looked-up: hole
12                                allocated block 2051
15                                a: page 1 → block 2051, rw  a: page 1 → block 2051, rw
18                              ends: done
20    a: page 1 → zero page, r                                a: page 1 → zero page, r
22                              load
23                              ends: 0x0
23                              *a finished store is lost*

CPU 1 loaded 0x0 after its own store of 0x1000 had ended
replay: racy/page.hole/a:load/a:store+load@0:looked-up,1:+14,0:end,1:end
";
    let table = table(&rfc(), false);
    assert_eq!(format!("\n{table}"), expected, "\n{table}");
}

#[test]
fn a_table_fits_and_nothing_is_cut() {
    for (trace, room) in [(rfc(), 120), (three(), 150)] {
        let table = table(&trace, true);
        let (rows, under) = table.split_once("\n\n").expect("an empty line under the rows");
        for line in rows.lines() {
            assert!(line.chars().count() <= room && line == line.trim_end(), "{line:?}");
        }
        assert!(solid(under).starts_with(&solid(&trace.verdict)) && under.contains(&trace.story), "{under}");
        let begins = columns(rows);
        assert_eq!(begins.len(), trace.cpus.len() + 1);
        for (cpu, head) in trace.cpus.iter().enumerate() {
            let column = column(rows, begins[cpu], begins[cpu + 1]);
            let steps = trace.steps.iter().filter(|step| step.cpu == cpu);
            // One after the other, each in its CPU's own column.
            steps.map(|step| solid(&step.what)).fold(0, |from, what| {
                let at = column[from..].find(&what);
                from + at.unwrap_or_else(|| panic!("no {what} in {}", &column[from..])) + what.len()
            });
            assert!(column.starts_with(&solid(head)), "{column}");
        }
        let state = column(rows, begins[trace.cpus.len()], 200);
        for part in trace.steps.iter().flat_map(|step| step.state.split("; ")) {
            assert!(state.contains(&solid(part)), "no {part} in {state}");
        }
    }
}

#[test]
fn a_table_that_has_room_left_is_narrower() {
    let widest = |text: String| text.lines().take(8).map(|line| line.chars().count()).max();
    let mut trace = rfc();
    let before = widest(table(&trace, false));
    trace.steps[0].what = "load of eight bytes at page 1, which is a hole".into();
    assert!(before < Some(90) && widest(table(&trace, false)) > before);
}

#[test]
fn the_short_table_leaves_out_locks_but_not_what_became_of_them() {
    let trace = three();
    let [short, full] = [false, true].map(|full| table(&trace, full));
    for (word, kind) in [("lock dax_sem", Kind::Lock), ("TLB:", Kind::Tlb), ("fence", Kind::Fence)] {
        assert!(trace.steps.iter().any(|step| step.kind == kind));
        assert!(full.contains(word) && !short.contains(word), "{word}");
    }
    // The lock was taken by a step that is left out: the next one that is told of has it.
    let line = short.lines().find(|line| line.contains("looked-up: block 77")).expect("the step");
    assert!(line.contains("dax_sem: 1 shared"), "{line}");
    assert_eq!(short.matches("dax_sem: 1 shared").count(), 1);
}

#[test]
fn a_step_of_a_cpu_without_a_head_has_a_column() {
    let mut trace = rfc();
    trace.cpus.truncate(1);
    let table = table(&trace, false);
    assert!(table.lines().next().is_some_and(|heads| heads.contains("CPU 1")), "{table}");
    let _: Value = serde_json::from_str(&perfetto(&trace)).expect("JSON");
    Document::parse(&svg(&trace, true)).expect("XML");
}

#[test]
fn a_run_without_steps_has_its_verdict_all_the_same() {
    let trace = Trace { verdict: "nobody came".into(), ..Trace::default() };
    assert!(table(&trace, true).contains("nobody came"));
    assert_eq!(events(&trace), [] as [Value; 0]);
    assert!(
        Document::parse(&svg(&trace, true))
            .expect("XML")
            .descendants()
            .any(|node| node.text() == Some("nobody came"))
    );
}

/// Events of a trace.
fn events(trace: &Trace) -> Vec<Value> {
    let json: Value = serde_json::from_str(&perfetto(trace)).expect("JSON");
    assert_eq!(json["otherData"]["replay"], trace.story.as_str());
    assert_eq!(json["otherData"]["verdict"], trace.verdict.as_str());
    json["traceEvents"].as_array().expect("events").clone()
}

/// Begin and end, in nanoseconds.
fn span(event: &Value) -> (u64, u64) {
    let ns = |key: &str| {
        (event[key].as_f64().unwrap_or_else(|| panic!("{key} of {event}")) * 1000.0).round() as u64
    };
    (ns("ts"), ns("ts") + ns("dur"))
}

fn slices<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["ph"] == "X" && event["name"] == name).collect()
}

#[test]
fn slices_of_a_row_lie_one_inside_the_other() {
    for trace in [rfc(), three()] {
        let events = events(&trace);
        let mut rows: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
        for slice in events.iter().filter(|event| event["ph"] == "X") {
            rows.entry(slice["tid"].as_u64().expect("a row")).or_default().push(span(slice));
        }
        for slices in rows.values() {
            for (index, a) in slices.iter().enumerate() {
                for b in &slices[..index] {
                    let apart = a.1 <= b.0 || b.1 <= a.0;
                    let inside = a.0 <= b.0 && b.1 <= a.1 || b.0 <= a.0 && a.1 <= b.1;
                    assert!(apart || inside, "{a:?} crosses {b:?}");
                    assert!(a.0 < a.1 && b.0 < b.1, "no slice is empty");
                }
            }
        }
        // Rows have names, and no two groups share one.
        let mut named = BTreeSet::new();
        for event in events.iter().filter(|event| event["ph"] == "M" && event["name"] == "thread_name") {
            assert!(named.insert(event["tid"].as_u64()), "{event}");
        }
        let used: BTreeSet<_> =
            events.iter().filter(|event| event["ph"] != "M").map(|event| event["tid"].as_u64()).collect();
        assert!(used.is_subset(&named), "{used:?} {named:?}");
    }
}

#[test]
fn numbers_that_go_back_make_no_slice_that_does() {
    let mut trace = three();
    trace.steps[5].number = 1;
    let events = events(&trace);
    let ([msync], [wait, _]) =
        (&slices(&events, "msync")[..], &slices(&events, "wait: dax_sem exclusive")[..])
    else {
        panic!("one msync, and two wait")
    };
    let (msync, wait) = (span(msync), span(wait));
    assert!(msync.0 < wait.0 && wait.0 < wait.1 && wait.1 < msync.1, "{wait:?} in {msync:?}");
}

#[test]
fn operations_locks_and_waiting_last_as_long_as_in_the_run() {
    let trace = three();
    let events = events(&trace);
    // One visible step, one microsecond; an operation ends with its last step.
    let [load] = slices(&events, "load")[..] else { panic!("one load") };
    assert_eq!(span(load), (1000, 13_000));
    assert_eq!(load["args"]["result"], "0x1000");
    // Held across the lock that was taken later: its own row, and whole.
    let [entry] = slices(&events, "entry 1")[..] else { panic!("one entry lock") };
    let [sem] = slices(&events, "dax_sem shared")[..] else { panic!("dax_sem once shared") };
    assert_eq!((span(sem), span(entry)), ((2000, 11_000), (5000, 12_000)));
    assert_ne!(sem["tid"], entry["tid"]);
    // It waits until its next step, and who waits for ever waits to the end.
    let [waits, ever] = slices(&events, "wait: dax_sem exclusive")[..] else { panic!("two wait") };
    assert_eq!((span(waits), &waits["args"]["ended"]), ((7000, 13_000), &true.into()));
    assert_eq!((span(ever).1, &ever["args"]["ended"]), (21_000, &false.into()));
    let [truncate] = slices(&events, "truncate")[..] else { panic!("one truncate") };
    assert_eq!((span(truncate).1, &truncate["args"]["result"]), (21_000, &Value::Null));
    // What happened to the state, on its own rows.
    let [first] = slices(&events, "a: page 1 → block 77, r")[..] else { panic!("once in the table") };
    assert_eq!(span(first), (9000, 17_000));
    // All else is an instant, or a slice outside of operations.
    let count = |phase: &str| events.iter().filter(|event| event["ph"] == phase).count();
    assert_eq!(slices(&events, "TLB: emptied").len(), 1);
    let steps = trace.steps.len();
    let starts = |kind: Kind| trace.steps.iter().filter(|step| step.kind == kind).count();
    let lasting: usize = [Kind::Begins, Kind::Ends, Kind::Lock, Kind::Waits].map(starts).iter().sum();
    assert_eq!(count("i"), steps - lasting - 1);
    let wrong = events.iter().find(|event| event["s"] == "g").expect("a line through all rows");
    assert!(wrong["name"].as_str().is_some_and(|name| name.contains("nobody")), "{wrong}");
}

#[test]
fn arrows_lead_to_the_cpu_that_goes_on() {
    for trace in [rfc(), three()] {
        let events = events(&trace);
        let of = |phase: &str| -> Vec<Value> {
            events.iter().filter(|event| event["ph"] == phase).cloned().collect()
        };
        let (from, to) = (of("s"), of("f"));
        let switches = trace.steps.windows(2).filter(|pair| pair[0].cpu != pair[1].cpu).count();
        assert!(switches > 2 && from.len() == switches && to.len() == switches);
        for (from, to) in from.iter().zip(&to) {
            assert_eq!((&from["id"], &from["name"]), (&to["id"], &to["name"]));
            assert!(from["pid"] != to["pid"] && from["ts"].as_f64() <= to["ts"].as_f64(), "{from} {to}");
            // Perfetto hangs an arrow on the slice that it finds there.
            for end in [from, to] {
                let at = (end["ts"].as_f64().expect("a time") * 1000.0).round() as u64;
                let mut row = events.iter().filter(|slice| slice["ph"] == "X" && slice["tid"] == end["tid"]);
                let around = row.any(|slice| (span(slice).0..span(slice).1).contains(&at));
                assert!(around, "{end} hangs in the air");
            }
        }
    }
}

fn number(node: &Node<'_, '_>, name: &str) -> f64 {
    node.attribute(name).and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{name} of {node:?}"))
}

/// Elements of a name and class.
fn of<'a>(picture: &'a Document<'a>, name: &str, class: &str) -> Vec<Node<'a, 'a>> {
    let has = |node: &Node<'_, '_>| {
        node.attribute("class").is_some_and(|text| text.split(' ').any(|one| one == class))
    };
    picture.descendants().filter(|node| node.has_tag_name(name) && has(node)).collect()
}

#[test]
fn a_drawing_is_xml_that_holds_every_word() {
    for mut trace in [rfc(), three()] {
        trace.verdict += " <&\"'> \u{1}";
        trace.steps[0].what = "load <&\"'> \u{7}".into();
        let text = svg(&trace, true);
        let picture = Document::parse(&text).expect("XML");
        let root = picture.root_element();
        assert_eq!(
            (root.tag_name().name(), root.tag_name().namespace()),
            ("svg", Some("http://www.w3.org/2000/svg"))
        );
        let all: String =
            picture.descendants().filter(|node| node.has_tag_name("text")).filter_map(|n| n.text()).collect();
        let (all, replaced) =
            (solid(&all), |text: &str| solid(&text.replace(['\u{1}', '\u{7}'], "\u{fffd}")));
        // Accesses to memory are counted where several follow one another.
        let told = trace.steps.iter().filter(|step| !matches!(step.kind, Kind::Memory | Kind::Fence));
        let texts = told.flat_map(|step| [step.what.as_str()].into_iter().chain(step.state.split("; ")));
        for text in
            texts.chain([trace.story.as_str(), &trace.verdict]).chain(trace.cpus.iter().map(String::as_str))
        {
            assert!(all.contains(&replaced(text)), "no {text} in {all}");
        }
        assert!(
            picture.descendants().any(|node| node.text() == Some(&trace.story)),
            "to be copied in one piece"
        );
        for active in ["script", "image", "use", "foreignObject", "a"] {
            assert!(!picture.descendants().any(|node| node.has_tag_name(active)), "{active}");
        }
    }
}

#[test]
fn boxes_lie_inside_the_drawing_and_apart() {
    for trace in [rfc(), three()] {
        let text = svg(&trace, true);
        let picture = Document::parse(&text).expect("XML");
        let (width, height) =
            (number(&picture.root_element(), "width"), number(&picture.root_element(), "height"));
        let place = |node: &Node<'_, '_>| {
            let [x, y, w, h] = ["x", "y", "width", "height"].map(|name| number(node, name));
            (x, y, x + w, y + h)
        };
        let mut places: Vec<_> = of(&picture, "rect", "box").iter().map(place).collect();
        let boxed = |kind: Kind| !matches!(kind, Kind::Lock | Kind::Unlock | Kind::Memory | Kind::Fence);
        assert_eq!(places.len(), trace.steps.iter().filter(|step| boxed(step.kind)).count());
        let bars = of(&picture, "rect", "bar");
        assert_eq!(bars.len(), trace.steps.iter().filter(|step| step.kind == Kind::Lock).count());
        places.extend(bars.iter().map(place));
        for (index, a) in places.iter().enumerate() {
            assert!(a.0 >= 0.0 && a.1 >= 0.0 && a.2 <= width && a.3 <= height, "{a:?}");
            for b in &places[..index] {
                assert!(a.2 <= b.0 || b.2 <= a.0 || a.3 <= b.1 || b.3 <= a.1, "{a:?} covers {b:?}");
            }
        }
        // A letter is 0.602 of the font's size wide: texts end before the drawing does, and before their box.
        for node in picture.descendants().filter(|node| node.has_tag_name("text")) {
            let class = node.attribute("class").unwrap_or("");
            let size = if class == "title" {
                13.0
            } else if class == "small" {
                9.0
            } else {
                11.0
            };
            let long = 0.602 * size * node.text().unwrap_or("").chars().count() as f64;
            let right = number(&node, "x") + long;
            assert!(
                node.attribute("text-anchor").is_some()
                    || node.attribute("transform").is_some()
                    || right <= width
            );
            let outer =
                node.parent().and_then(|group| group.children().find(|node| node.has_tag_name("rect")));
            if let Some(outer) = outer.filter(|outer| outer.attribute("class").is_some()) {
                assert!(
                    class.contains("head")
                        || right <= place(&outer).2
                        || outer.parent() == Some(picture.root_element())
                );
            }
        }
        let wrong = of(&picture, "g", "wrong");
        assert_eq!(wrong.len(), 1);
        let switches = trace.steps.windows(2).filter(|pair| pair[0].cpu != pair[1].cpu).count();
        assert_eq!(
            (of(&picture, "polyline", "switch").len(), of(&picture, "polygon", "tip").len()),
            (switches, switches)
        );
    }
}

/// 16 to 9, and letters of which at most 70 lines fit above each other: 15 pixels on a projector of 1080.
fn expect_a_slide(text: &str) {
    let picture = Document::parse(text).expect("XML");
    let root = picture.root_element();
    let (width, height) = (number(&root, "width"), number(&root, "height"));
    assert!((width / height - 16.0 / 9.0).abs() < 0.01, "{width} x {height}");
    assert!(11.0 / height > 1.0 / 70.0, "letters of 11 in {height}");
    for node in picture.descendants().filter(|node| node.has_tag_name("text")) {
        assert!(number(&node, "x") <= width && number(&node, "y") <= height, "{node:?}");
    }
}

#[test]
fn a_short_drawing_is_a_slide_and_tells_the_story() {
    for trace in [rfc(), three()] {
        let text = svg(&trace, false);
        expect_a_slide(&text);
        let picture = Document::parse(&text).expect("XML");
        let all: String =
            picture.descendants().filter(|node| node.has_tag_name("text")).filter_map(|n| n.text()).collect();
        let all = solid(&all);
        for step in &trace.steps {
            let told =
                matches!(step.kind, Kind::Begins | Kind::Ends | Kind::Point | Kind::Waits | Kind::Wrong);
            assert!(!told || all.contains(&solid(&step.what)), "no {} in {all}", step.what);
            // What became of locks and page tables stands beside the next step that is told.
            let state = step.state.rsplit("; ").next().expect("at least none");
            assert!(!state.contains('→') || all.contains(&solid(state)), "no {state} in {all}");
        }
        assert!(
            all.contains(&solid(&trace.story)) && !all.contains("TLB:") && !all.contains("stepsonmemory")
        );
        let told = trace.steps.iter().filter(|step| {
            matches!(step.kind, Kind::Begins | Kind::Ends | Kind::Point | Kind::Waits | Kind::Wrong)
        });
        assert_eq!(of(&picture, "rect", "box").len(), told.count(), "only what is told");
    }
    // Of the locks, those that more than one CPU takes.
    let text = svg(&three(), false);
    let picture = Document::parse(&text).expect("XML");
    assert!(!of(&picture, "rect", "bar").is_empty());
    let names: BTreeSet<&str> = picture
        .descendants()
        .filter(|node| node.attribute("transform").is_some())
        .filter_map(|node| node.text())
        .collect();
    assert_eq!(names, BTreeSet::from(["dax_sem"]));
}

/// A run as it is found: every lock has its name, and the drawing fits a slide.
#[test]
fn locks_have_names_in_a_real_run() {
    let images = Images::make().expect("images");
    for (story, names) in [
        (
            "racy/page.hole/a:load/b:store@0:marked,1:end,0:end",
            ["dax_sem shared", "areas of a shared", "freeze shared", "block map", "group 0", "removal of a"],
        ),
        (
            "read-first/page.block/a:truncate/b:load@0:unmapped,1:waits,0:end",
            ["dax_sem", "areas of b shared", "freeze shared", "goals", "group 0", "removal of b"],
        ),
    ] {
        let story: Story = story.parse().expect("a story");
        let (outcome, fits) = follow(&story, &images);
        assert_eq!(fits, Ok(()), "{story}");
        let trace = explore::trace::trace(&story, &outcome);
        let locks: BTreeSet<&str> = trace
            .steps
            .iter()
            .filter(|step| step.kind == Kind::Lock)
            .map(|step| step.what.as_str())
            .collect();
        assert!(!locks.iter().any(|name| name.starts_with("lock ")), "{locks:?}");
        for name in names {
            assert!(locks.contains(name), "{name} in {locks:?}");
        }
        expect_a_slide(&svg(&trace, false));
    }
}

#[test]
fn accesses_to_memory_are_counted_unless_something_comes_between() {
    let text = svg(&three(), true);
    let picture = Document::parse(&text).expect("XML");
    let texts: Vec<&str> = picture.descendants().filter_map(|node| node.text()).collect();
    assert!(texts.contains(&"(3 steps on memory)") && !texts.contains(&"flush line 0x40"), "{texts:?}");
    assert!(texts.contains(&"load word 0 of block 77: 0x1000"), "one alone is told");
}
