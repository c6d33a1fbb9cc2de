//! What the fuzzer found stays fixed, and a short random run of what it runs: without libFuzzer, on stable
//! Rust.
//!
//! A finding is a file in fs/tests/regressions: docs/fuzzing.md tells how it gets there.

use crate::common::{quiet, sample};
use fuzz_exec::input::Input;
use fuzz_exec::{mutate, run, run_to_image};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use tests::here;
use tests::image::tool;

fn findings() -> Vec<PathBuf> {
    let folder = here(env!("CARGO_MANIFEST_DIR")).join("tests/regressions");
    let entries = std::fs::read_dir(folder).expect("the folder of findings");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a finding").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "bin"));
    paths.sort();
    paths
}

/// What an input does wrong.
fn complaint<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    // Told once, in the test's own words, and without a backtrace each.
    quiet(true);
    let result = catch_unwind(AssertUnwindSafe(f)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
    });
    quiet(false);
    result
}

#[test]
fn findings_stay_fixed() {
    let mut bad = Vec::new();
    for path in findings() {
        let data = std::fs::read(&path).expect("a finding");
        if let Err(what) = complaint(|| run(&data)) {
            bad.push(format!("{}: {what}\n{}", path.display(), Input::decode(&data)));
        }
    }
    assert!(bad.is_empty(), "{} findings are back:\n{}", bad.len(), bad.join("\n"));
}

/// Seeds of the random run; DAXIOM_FUZZ_SEEDS=FROM..TO takes others.
fn seeds() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("DAXIOM_FUZZ_SEEDS") else { return 0..sample(1500, 100_000) };
    let (from, to) = text.split_once("..").expect("DAXIOM_FUZZ_SEEDS=FROM..TO");
    from.parse().expect("a number")..to.parse().expect("a number")
}

#[test]
fn random_inputs_find_nothing() {
    let (mut mounted, mut worked, mut tried, mut bad) = (0, 0, 0, Vec::new());
    for seed in seeds() {
        let input = mutate::generate(seed);
        match complaint(|| run(&input.encode())) {
            Ok(report) => {
                mounted += u32::from(report.mounted);
                worked += report.worked;
                tried += report.tried;
            }
            Err(what) => bad.push(format!("seed {seed}: {what}\n{input}")),
        }
    }
    assert!(bad.is_empty(), "{} of {:?}:\n{}", bad.len(), seeds(), bad[..bad.len().min(5)].join("\n"));
    println!("{mounted} mounted, {tried} operations tried, {worked} results good");
    // If hardly anything worked, finding nothing would mean little.
    assert!(u64::from(mounted) * 2 > seeds().count() as u64 && worked > tried, "{mounted} {tried} {worked}");
}

#[test]
fn what_undamaged_images_become_is_sound() {
    let path = here(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzzed-{}", std::process::id()));
    let (mut judged, mut bad) = (0, Vec::new());
    for seed in seeds() {
        let input = mutate::generate(seed);
        if !input.patches.is_empty() {
            continue;
        }
        // What goes wrong before the end is the other test's.
        let Ok((report, image)) = complaint(|| run_to_image(&input.encode())) else { continue };
        // Read-only, nothing was stored: that is checked as it runs.
        if !report.unmounted || report.worked == 0 || report.read_only || judged == sample(80, 10_000) {
            continue;
        }
        judged += 1;
        std::fs::write(&path, image).expect("an image file");
        let output =
            tool("e2fsck").env("E2FSCK_TIME", "1893456000").arg("-fn").arg(&path).output().expect("e2fsck");
        if !output.status.success() {
            bad.push(format!("seed {seed}: {}\n{input}", String::from_utf8_lossy(&output.stdout)));
        }
    }
    let _ = std::fs::remove_file(&path);
    assert!(bad.is_empty(), "{} of {judged}:\n{}", bad.len(), bad[..bad.len().min(5)].join("\n"));
    assert!(judged > 20, "{judged} judged");
}
