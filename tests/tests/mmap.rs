//! Mappings: what munmap, mprotect, mremap, madvise and fork do, seen in the page tables themselves; private
//! copies; and what is refused.

use std::fmt::Write;

use tests::image::Image;
use tests::run::QemuRun;

const MIB: u64 = 1 << 20;

/// A line of `maps`.
#[derive(Debug, PartialEq)]
struct Line {
    pages: u64,
    kind: String,
    small: u64,
    large: u64,
    copies: u64,
}

fn line(pages: u64, kind: &str, small: u64, large: u64, copies: u64) -> Line {
    Line { pages, kind: kind.to_owned(), small, large, copies }
}

/// The lines of `maps` in `printed`.
fn maps(printed: &str) -> Vec<Line> {
    let parse = |text: &str| -> Option<Line> {
        let (range, rest) = text.strip_prefix("0x")?.split_once(' ')?;
        let (start, end) = range.split_once("-0x")?;
        let number = |hex| u64::from_str_radix(hex, 16).ok();
        let pages = (number(end)? - number(start)?) / 4096;
        let (kind, rest) = rest.split_once(" 0x")?;
        let field = |name: &str| rest.split(' ').find_map(|word| word.strip_prefix(name)?.parse().ok());
        Some(line(pages, kind, field("4k=")?, field("2m=")?, field("copies=")?))
    };
    printed.lines().filter_map(parse).collect()
}

/// The bytes that dumps in `printed` show, a text for each line.
fn dumped(printed: &str) -> Vec<&str> {
    let dump = |line: &'_ str| line.get(..8).is_some_and(|offset| u64::from_str_radix(offset, 16).is_ok());
    let lines = printed.lines().filter(|line| dump(line));
    lines.filter_map(|line| line.split_once(":  ")?.1.split("  ").nth(1)).collect()
}

/// One io session on `file`.
fn io(options: &str, commands: &[&str], file: &str) -> String {
    let commands: String = commands.iter().map(|command| format!(" -c '{command}'")).collect();
    format!("io {options}{commands} {file}")
}

#[test]
fn a_fresh_gibibyte_is_mapped_by_512_large_entries_and_none_of_4_kib() {
    let image = Image::ext2(1200 * MIB);
    let read = io("-f", &["truncate 1g", "mmap 0 1g", "madvise -R 0 1g", "maps"], "/f");
    let write =
        io("", &["mmap 0 1g", "madvise -W 0 1g", "maps", "mwrite -S 0x61 1073741816 8", "ptwalk 1g-8"], "/f");
    let write = write.replace("1g-8", "1073741816");
    let printed = QemuRun::new(&format!("{read}; {write}")).pmem(&image).ok();
    let want = || line(512 * 512, "rwxs", 0, 512, 0);
    assert_eq!(maps(&printed), [want(), want()], "{printed}");
    assert!(printed.contains("(2 MiB, rw-"), "{printed}");
    image.expect_clean();
    let stat = String::from_utf8(image.debugfs("stat /f")).expect("text");
    assert!(stat.contains("Size: 1073741824"), "{stat}");
}

#[test]
fn a_large_entry_is_split_where_a_part_goes_or_loses_a_right() {
    let image = Image::ext2(64 * MIB);
    let protect =
        ["truncate 8m", "mmap 0 8m", "madvise -W 0 8m", "maps", "mprotect -r 4k 4k", "maps", "mwrite 8k 8"];
    let script = io("-f", &protect, "/f")
        + "; mmap /f; poke 0x10000000000 1; poke 0x10000200000 1; munmap 0x10000001000 4096; munmap 0x10000200000 2097152; maps";
    let printed = QemuRun::new(&script).pmem(&image).ok();
    let want = [
        line(2048, "rwxs", 0, 4, 0),
        line(1, "rwxs", 1, 0, 0),
        line(1, "r-xs", 1, 0, 0),
        line(2046, "rwxs", 510, 3, 0),
        // What the shell mapped.
        line(1, "rw-s", 1, 0, 0),
        line(510, "rw-s", 510, 0, 0),
        line(1024, "rw-s", 0, 0, 0),
    ];
    let want: Vec<Line> =
        want.into_iter().map(|line| Line { kind: line.kind.replace("r-xs", "r--s"), ..line }).collect();
    assert_eq!(maps(&printed), want, "{printed}");
    image.expect_clean();
}

#[test]
fn a_store_after_mprotect_is_refused_and_the_right_comes_back() {
    let image = Image::ext2(64 * MIB);
    let commands = [
        "truncate 8k",
        "mmap 0 8k",
        "mwrite -S 0x61 0 8k",
        "mprotect -r 0 4k",
        "mread -v 0 4",
        "mwrite -S 0x62 0 4",
    ];
    let line = QemuRun::new(&io("-f", &commands, "/f")).pmem(&image).fails(1);
    assert!(line.ends_with("write fault at 0x10000000000: the mapping allows r--"), "{line}");
    let commands = ["mmap 0 8k", "mwrite 0 4", "mprotect 0 8k", "mread -v 0 4"];
    let line = QemuRun::new(&io("", &commands, "/f")).pmem(&image).fails(1);
    assert!(line.ends_with("read fault at 0x10000000000: the mapping allows ---"), "{line}");
    let commands = [
        "mmap 0 8k",
        "mwrite -S 0x63 0 4",
        "mprotect -r 0 8k",
        "maps",
        "mprotect -rw 0 8k",
        "maps",
        "mwrite -S 0x64 0 2",
        "mread -v 0 4",
        "maps",
    ];
    let printed = QemuRun::new(&io("", &commands, "/f")).pmem(&image).ok();
    // The right that is given shows when the first store faults.
    assert_eq!(dumped(&printed), ["ddcc"], "{printed}");
    let rights: Vec<String> = maps(&printed).into_iter().map(|line| line.kind).collect();
    assert_eq!(rights, ["r--s", "rw-s", "rw-s"], "{printed}");
    image.expect_clean();
}

#[test]
fn private_stores_are_copies_that_only_their_address_space_sees() {
    let image = Image::ext2(64 * MIB);
    let commands = [
        "pwrite -q -S 0x41 0 4m",
        "mmap -p 0 4m",
        "mread -v 0 4",
        "maps",
        "mwrite -S 0x42 0 2",
        "maps",
        "mread -v 0 4",
        "pread -v 0 4",
        "fork 0 4",
        "fork -S 0x43 0 4",
        "mread -v 0 4",
        "mwrite -S 0x44 0 1",
        "mread -v 0 4",
        "mread -v 4k 4",
        "pwrite -q -S 0x45 4k 4k",
        "mread -v 4k 4",
        "mread -v 0 4",
        "mprotect 0 8k",
        "mprotect -rw 0 8k",
        "mread -v 0 4",
        "madvise -d 0 4k",
        "mread -v 0 4",
        "maps",
        "mwrite -S 0x46 2m 4",
        "truncate 2m",
        "maps",
        "truncate 4m",
        "mread -v 2m 4",
    ];
    let printed = QemuRun::new(&(io("-f", &commands, "/f") + "; free; stats")).pmem(&image).ok();
    let bytes = dumped(&printed);
    let want = [
        "AAAA", "BBAA", "AAAA", // the copy, and the file
        "BBAA", "CCCC", "BBAA", "DBAA", // the child sees it, and stores to its own
        "AAAA", "EEEE", "DBAA", // a page that is no copy shows the file
        "DBAA", "AAAA", // hidden and shown; forgotten
        "....", // a copy beyond the end went with its page
    ];
    assert_eq!(bytes, want, "{printed}");
    let maps = maps(&printed);
    assert_eq!((maps[0].large, maps[0].copies), (1, 0), "{printed}");
    assert_eq!((maps[1].small, maps[1].large, maps[1].copies), (512, 0, 1), "{printed}");
    assert_eq!((maps[2].copies, maps[3].copies), (0, 0), "{printed}");
    image.expect_clean();
    assert!(image.file("/f")[..4096] == [0x41; 4096], "a private store reached the file");
}

#[test]
fn a_file_that_may_not_be_stored_to_can_be_mapped_privately() {
    let image = Image::ext2(64 * MIB);
    QemuRun::new("io -f -c 'pwrite -q -S 0x41 0 64k' /f").pmem(&image).ok();
    let private = ["mmap -p 0 64k", "mwrite -S 0x42 0 2", "mread -v 0 4"];
    for script in
        [io("-r", &private, "/f"), "umount /; mount -r pmem0 /; ".to_owned() + &io("-r", &private, "/f")]
    {
        assert_eq!(dumped(&QemuRun::new(&script).pmem(&image).ok()), ["BBAA"]);
    }
    let shared = |mount: &str, commands: &[&str], why: &str| {
        let line = QemuRun::new(&(mount.to_owned() + &io("-r", commands, "/f"))).pmem(&image).fails(1);
        assert!(line.ends_with(why), "{line}");
    };
    shared("", &["mmap 0 64k"], "mmap: permission denied");
    shared("", &["mmap -r 0 64k", "mprotect -rw 0 64k"], "mprotect: permission denied");
    let line = QemuRun::new("umount /; mount -r pmem0 /; mmap -w /f").pmem(&image).fails(1);
    assert!(line.ends_with("read-only file system"), "{line}");
    assert!(image.file("/f").iter().all(|byte| *byte == 0x41));
    image.expect_clean();
}

#[test]
fn mremap_grows_shrinks_and_moves_and_every_byte_comes_along() {
    let image = Image::ext2(64 * MIB);
    let commands = [
        "truncate 16m",
        "mmap 0 4m",
        "mwrite -S 0x61 0 4m",
        "mremap 8m",
        "maps",
        "mread -v 8k 4",
        "mwrite -S 0x62 6m 4",
        "mremap 12k",
        "maps",
        "mread -v 8k 4",
        "mremap -f 0x20000000000 2m",
        "maps",
        "mread -v 8k 4",
        "pread -v 6m 4",
    ];
    // A private mapping: what moves is more than can be faulted in again. A neighbour is in the way.
    let private = [
        "mmap -p 0 8k",
        "mwrite -S 0x63 0 8k",
        "mmap -r -a 0x10000003000 0 4k",
        "mmap 0",
        "mremap -m 64k",
        "maps",
        "mread -v 4k 4",
        "mread -v 8k 4",
        "mremap -m 4k",
        "mread -v 0 4",
        "maps",
    ];
    let script = io("-f", &commands, "/f") + "; " + &io("", &private, "/f");
    let printed = QemuRun::new(&script).pmem(&image).ok();
    let bytes = dumped(&printed);
    assert_eq!(bytes, ["aaaa", "aaaa", "aaaa", "bbbb", "cccc", "aaaa", "cccc"], "{printed}");
    let pages: Vec<(u64, u64)> = maps(&printed).iter().map(|line| (line.pages, line.copies)).collect();
    assert_eq!(pages, [(2048, 0), (3, 0), (512, 0), (1, 0), (16, 2), (1, 0), (1, 1)], "{printed}");
    assert!(printed.contains("0x20000000000-0x20000200000 rwxs"), "{printed}");
    image.expect_clean();
}

#[test]
fn what_is_filled_in_beforehand_faults_no_more() {
    let image = Image::ext2(64 * MIB);
    let script = "io -f -c 'pwrite -q -S 0x41 0 5m' /f; mmap -P /f; mmap -P -p /f; stats reset
                  peek 0x10000000000 1; peek 0x100004ff000 1; peek 0x10000600000 1; poke 0x10000601000 1; stats; maps";
    let printed = QemuRun::new(script).pmem(&image).ok();
    for counter in ["fault.read 0\n", "fault.write 0\n"] {
        assert!(printed.contains(counter), "{counter}{printed}");
    }
    assert_eq!(
        maps(&printed),
        [line(1280, "rw-s", 256, 2, 0), line(1280, "rw-p", 1280, 0, 1280)],
        "{printed}"
    );
    image.expect_clean();
}

#[test]
fn advice_about_large_pages_is_taken() {
    let image = Image::ext2(64 * MIB);
    let commands = [
        "truncate 8m",
        "mmap -n 0 4m",
        "mwrite 0 1",
        "maps",
        "munmap",
        "mmap -S 0 8m",
        "madvise -N 0 2m",
        "mwrite 2m 1",
        "mread 1m 1",
        "maps",
        "madvise -H 0 2m",
        "madvise -d 0 8m",
        "maps",
        "mread 4m 1",
        "maps",
    ];
    let printed = QemuRun::new(&io("-f", &commands, "/f")).pmem(&image).ok();
    let want = [
        line(1024, "rwxs nohuge", 1, 0, 0),
        line(512, "rwxs sync nohuge", 1, 0, 0),
        line(1536, "rwxs sync", 0, 1, 0),
        // Joined again, and nothing is there any more.
        line(2048, "rwxs sync", 0, 0, 0),
        line(2048, "rwxs sync", 0, 1, 0),
    ];
    assert_eq!(maps(&printed), want, "{printed}");
    image.expect_clean();
}

#[test]
fn thousands_of_areas_are_cut_found_and_joined() {
    let image = Image::ext2(64 * MIB);
    let mut commands = String::from("io -f -c 'truncate 16m' -c 'mmap 0 16m'");
    for page in (0..4000).step_by(2) {
        let _ = write!(commands, " -c 'mprotect -r {} 4k'", page * 4096);
    }
    commands += " -c maps -c 'mwrite 0x3001 1' -c 'mprotect -rw 0 16m' -c maps /f";
    let script = image.folder().join("script");
    std::fs::write(&script, commands).expect("a script");
    let printed = QemuRun::from_file(&script).pmem(&image).ok();
    let lines = maps(&printed);
    assert_eq!(lines.len(), 4000 + 1, "{} areas", lines.len());
    assert_eq!((lines[0].pages, &*lines[0].kind, lines[1].pages, &*lines[1].kind), (1, "r--s", 1, "rwxs"));
    assert_eq!((lines[4000].pages, &*lines[4000].kind), (4096, "rw-s"));
    image.expect_clean();
}

#[test]
fn memory_that_runs_out_under_private_copies_is_an_error_and_comes_back() {
    let image = Image::ext2(64 * MIB);
    let script = "io -f -c 'truncate 1g' -c 'mmap -p 0 1g' -c 'mread 0 1' /f; free -b
                  io -c 'mmap -p 0 1g' -c 'mwrite 0 1g' /f; free -b; io -c 'mmap -p 0 4k' -c 'mwrite -S 0x61 0 4' -c 'mread -v 0 4' /f";
    let outcome = QemuRun::new(script).args(["-k"]).pmem(&image).outcome();
    let text = outcome.text();
    assert!(outcome.stderr.contains("cannot allocate memory"), "{}{text}", outcome.stderr);
    assert_eq!(dumped(&text), ["aaaa"], "{text}");
    let free: Vec<u64> = text
        .lines()
        .filter(|line| line.starts_with("Mem:"))
        .filter_map(|line| line.split_whitespace().last()?.parse().ok())
        .collect();
    assert!(free.len() == 2 && free[1] + 4 * MIB > free[0], "leaked: {free:?}");
    image.expect_clean();
}

#[test]
fn wrong_ranges_addresses_and_files_are_refused_and_the_kernel_lives_on() {
    let image = Image::ext2(64 * MIB);
    let mapped = "mmap 0 64k";
    let session = |commands: &[&str]| io("-f", &[&["truncate 64k"], commands].concat(), "/f");
    let cases = [
        (session(&["mmap 0 0"]), "mmap: invalid argument"),
        (session(&["mmap 100 4k"]), "mmap: invalid argument"),
        (session(&["mmap 0 128t"]), "mmap: cannot allocate memory"),
        (session(&["mmap 0 1152921504606846976"]), "mmap: cannot allocate memory"),
        (session(&["mmap 7e 4k"]), "mmap: value too large"),
        (session(&["mmap -a 0 0 4k"]), "mmap: invalid argument"),
        (session(&["mmap -a 0x8000 0 4k"]), "mmap: invalid argument"),
        (session(&["mmap -a 0x10000000001 0 4k"]), "mmap: invalid argument"),
        (session(&["mmap -a 0x7ffffffff000 0 4k"]), "mmap: cannot allocate memory"),
        (session(&["mmap -a 0xffff800000000000 0 4k"]), "0xffff800000000000: "),
        (session(&[mapped, "mprotect -r 100 4k"]), "mprotect: invalid argument"),
        (session(&[mapped, "mremap 0"]), "mremap: invalid argument"),
        (session(&[mapped, "mremap -f 0x10000001000 64k"]), "mremap: invalid argument"),
        (
            session(&[mapped, "mmap -r -a 0x10000010000 0 4k", "mmap 0", "mremap 128k"]),
            "mremap: cannot allocate memory",
        ),
        (session(&[mapped, "mremap 128t"]), "mremap: cannot allocate memory"),
        (session(&["pread 9223372036854775807 1"]), "pread: invalid argument"),
        (session(&["pwrite 9223372036854775807 1"]), "pwrite: invalid argument"),
        (session(&["pwrite 9223372036854775806 1"]), "pwrite: file too large"),
        ("chown 4294967295 /f".to_owned(), "invalid user: a number from 0 to 4294967294 is wanted"),
        // As far as the hole, then no farther; the bytes behind it are as they were.
        (
            session(&[
                mapped,
                "mmap -a 0x10000004000 0 4k",
                "munmap",
                "mmap 0",
                "mprotect -r 0 64k",
                "mwrite 32k 4",
                "mprotect 0 0",
                "msync 0 0",
                "madvise -d 0 0",
            ]),
            "mprotect: cannot allocate memory",
        ),
        (session(&["mmap -r 0 64k", "madvise -W 0 64k"]), "madvise: invalid argument"),
        (session(&["mmap 0 128k", "madvise -R 0 128k"]), "madvise: beyond the end of the file"),
        ("mmap /".to_owned(), "mmap: /: no such device"),
        ("mmap /lost+found".to_owned(), "mmap: /lost+found: no such device"),
        ("peek 0".to_owned(), "read fault at 0x0: nothing is mapped there"),
        ("mmap /f; peek 0x10000010000".to_owned(), "read fault at 0x10000010000: nothing is mapped there"),
        (
            "mmap /f; munmap 0x10000001000 4096; poke 0x10000001000 1".to_owned(),
            "write fault at 0x10000001000: nothing is mapped there",
        ),
        ("munmap 0x10000000000 0".to_owned(), "munmap: 0x10000000000: invalid argument"),
    ];
    let script: Vec<&str> = cases.iter().map(|(script, _)| &**script).collect();
    // In front of a hole, the right to store is gone.
    let hole = ["mmap -a 0x10000004000 0 4k", "munmap", "mmap 0", "mprotect -r 0 64k", "mwrite 0 4"];
    let hole = session(&[&[mapped], &hole[..]].concat());
    let script = script.join("\nmunmap 0x10000000000 1m\n") + "\n" + &hole + "\necho alive";
    let outcome = QemuRun::new(&script).args(["-k"]).pmem(&image).outcome();
    let said: Vec<&str> = outcome.stderr.lines().collect();
    assert!(outcome.text().ends_with("alive\n"), "{}", outcome.text());
    assert_eq!(said.len(), cases.len() + 2, "{}", outcome.stderr);
    for ((script, want), said) in cases.iter().zip(&said) {
        assert!(said.contains(want), "{script}: {said}, not {want}");
    }
    assert!(said[cases.len()].ends_with("mprotect: cannot allocate memory"), "{}", outcome.stderr);
    assert!(said[cases.len() + 1].contains("write fault at 0x10000000000"), "{}", outcome.stderr);
    image.expect_clean();
}
