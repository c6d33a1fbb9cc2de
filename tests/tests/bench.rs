//! `bench`: what it measures, and in which form it says so. What comes out is not judged: machines differ.

use fs::dax::Protocol;
use serde_json::Value;
use tests::image::Image;
use tests::run::{QemuRun, refusals};

const MIB: u64 = 1 << 20;

#[test]
fn each_operation_has_its_figures_as_a_table_as_csv_and_as_json() {
    let image = Image::ext2(32 * MIB);
    let names = QemuRun::new("bench -l").pmem(&image).ok();
    let names: Vec<&str> = names.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let output =
        QemuRun::new("bench -n 8; echo; bench -n 8 --csv; echo; bench -n 8 --json").pmem(&image).ok();
    image.expect_clean();
    let parts: Vec<&str> = output.split("\n\n").collect();
    let [table, csv, json] = parts[..] else { panic!("three parts: {output}") };

    // What the figures are, how it is mounted, what is measured on, on how many CPUs.
    let (head, table) = table.split_once('\n').expect("a heading");
    let uuid = String::from_utf8(image.debugfs("show_super_stats -h")).expect("text");
    let uuid = uuid.lines().find_map(|line| line.strip_prefix("Filesystem UUID:")).expect("a UUID").trim();
    assert_eq!(head, "nanoseconds; read-first; pmem0 (32 MiB), 2 CPUs");
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["operation", "count", "min", "median", "p99", "mad", "data", "rest"]);
    assert_eq!(rows[1..].iter().map(|row| row[0]).collect::<Vec<_>>(), names);

    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0][..6], ["operation", "count", "min", "median", "p99", "data"]);
    assert_eq!(rows[0][6..], ["mad", "ratio", "unit", "protocol", "device", "image", "cpus"]);
    assert_eq!(rows[1..].iter().map(|row| row[0]).collect::<Vec<_>>(), names);
    for row in &rows[1..] {
        let numbers: Vec<u64> = row[1..7].iter().map(|cell| cell.parse().expect("a number")).collect();
        let [count, min, median, p99, _, mad] = numbers[..] else { panic!("{row:?}") };
        assert!(count >= 8 && min <= median && median <= p99 && mad <= p99, "{row:?}");
        assert_eq!(row[7..], ["1.00", "ns", "read-first", "pmem0", uuid, "2"]);
    }

    let rows: Vec<Value> =
        json.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    assert_eq!(
        rows.iter().map(|row| row["operation"].as_str().unwrap_or_default()).collect::<Vec<_>>(),
        names
    );
    assert!(rows.iter().all(|row| row["unit"] == "ns" && row["median"].is_u64() && row["data"].is_u64()));
    for row in &rows {
        assert!(row["mad"].is_u64() && row["protocol"] == "read-first" && row["image"] == uuid, "{row}");
    }
}

/// Several protocols: each has its rows, with the ratio of its median to the first one's.
#[test]
fn protocols_are_compared_by_the_ratio_of_their_medians() {
    let image = Image::ext2(32 * MIB);
    let script = "bench -n 64 -p entry-lock -p read-first -p racy write-hole -j; bench -n 64 -p entry-lock -p racy write-hole";
    let output = QemuRun::new(script).pmem(&image).args(["--icount"]).ok();
    let (json, table): (Vec<&str>, Vec<&str>) = output.lines().partition(|line| line.starts_with('{'));
    let rows: Vec<Value> = json.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let protocols: Vec<&str> = rows.iter().filter_map(|row| row["protocol"].as_str()).collect();
    assert_eq!(protocols, ["entry-lock", "read-first", "racy"]);
    let median = |row: &Value| row["median"].as_f64().expect("a number");
    for row in &rows {
        let ratio = row["ratio"].as_f64().expect("a number");
        assert!((ratio - median(row) / median(&rows[0])).abs() <= 0.005, "{row}");
    }
    assert!(table[0].starts_with("instructions; entry-lock, racy; pmem0 "), "{table:?}");
    assert!(table[1].contains("protocol") && table[1].contains("ratio"), "{table:?}");
    assert!(table[2].contains("entry-lock") && table[3].contains("racy"), "{table:?}");
    image.expect_clean();
}

#[test]
fn counted_instructions_are_the_same_each_time_and_depend_on_the_protocol() {
    let image = Image::ext2(32 * MIB);
    let script =
        "bench -n 64 --json write-hole read-block -p read-first; bench -n 64 -j write-hole -p entry-lock";
    let run = || QemuRun::new(script).pmem(&image).args(["--icount"]).ok();
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    let rows: Vec<Value> = first.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(rows.iter().all(|row| row["unit"] == "instructions"));
    // One lock is taken by the one, two by the other.
    assert_ne!(rows[0]["median"], rows[2]["median"]);
    // Zeroing a page alone takes 512 stores of 8 bytes at least.
    assert!(rows[0]["data"].as_u64().is_some_and(|data| data > 512), "{}", rows[0]);
}

#[test]
fn two_cpus_are_measured_beside_one() {
    let image = Image::ext2(32 * MIB);
    let script = "bench --parallel -n 256 -j; bench --parallel -n 256 -p racy -c";
    let output = QemuRun::new(script).pmem(&image).args(["--smp", "2"]).ok();
    image.expect_clean();
    let (json, csv): (Vec<&str>, Vec<&str>) = output.lines().partition(|line| line.starts_with('{'));
    let rows = json.iter().map(|line| serde_json::from_str::<Value>(line).expect("an object a line"));
    let rows: Vec<(String, String)> = rows
        .map(|row| {
            // How fast two are beside one is the machine's affair, which may have other work for its CPUs.
            assert!(row["one"].as_u64() > Some(0) && row["ratio"].is_number(), "{row}");
            (row["operation"].to_string(), row["protocol"].to_string())
        })
        .collect();
    let pair = |operation: &str, protocol: &str| (format!("\"{operation}\""), format!("\"{protocol}\""));
    let expected = ["write-hole", "write-block"];
    let expected = expected.map(|name| Protocol::SOUND.map(|protocol| pair(name, protocol.name())));
    assert_eq!(rows, expected.concat());
    let head = "operation,protocol,one,two,ratio,n,one_mad,two_mad,ratio_of_medians,device,image,cpus";
    assert_eq!(csv[0], head);
    let cells: Vec<&str> = csv[1].split(',').collect();
    let number = |at: usize| cells[at].parse::<f64>().expect("a number");
    assert!((number(8) - number(3) / number(2)).abs() <= 0.006, "the medians' ratio: {cells:?}");
    assert!(number(5) == 7.0 && cells[9] == "pmem0" && cells[11] == "2", "{cells:?}");
    assert!(csv.len() == 3 && csv[1].starts_with("write-hole,racy,"), "{csv:?}");
    let alone = QemuRun::new("bench --parallel").pmem(&image).args(["--smp", "1"]).fails(1);
    assert_eq!(alone, "bench: --parallel needs two CPUs (./qemu-run.sh --smp 2)");
}

#[test]
fn what_is_not_there_is_refused() {
    let refused = [
        ("bench nothing", "bench: nothing: no such operation (-l lists them)"),
        ("bench -n 0 create", "bench: -n: between 1 and 1000000"),
        ("bench -p none create", "bench: none: no such protocol"),
        ("bench -c -j create", "bench: --csv and --json exclude each other"),
    ];
    let image = Image::ext2(16 * MIB);
    assert_eq!(refusals(&image, refused.map(|(script, _)| script)), refused.map(|(_, says)| says));
}
