//! What Linux wrote is read as Linux reads it, on ext4 of every format: names, attributes to the nanosecond,
//! contents, where each byte is, extended attributes.
//!
//! This takes root and loop devices: `cargo test -p fs ext4_reading:: -- --ignored`

use crate::common::Image;
use crate::common::ext4::expect_clean;
use crate::common::ext4::images::{FORMATS, Format, recovered_by_linux};
use crate::common::tree::{expect_equal, tree_of, tree_of_linux};
use fs::vfs::MountOptions;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does `work` for each format, and fails at the end with all that it failed for.
fn for_each(formats: &[&Format], work: impl Fn(&Format)) {
    let mut failed = Vec::new();
    for format in formats {
        let result = catch_unwind(AssertUnwindSafe(|| work(format)));
        if let Err(why) = result {
            let why = why.downcast_ref::<String>().cloned().unwrap_or_else(|| "no text".to_owned());
            failed.push(format!("== {}: {why}", format.name));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Compares what we see in an image with what Linux sees in it, or sees in `recovered`. Nothing is stored on
/// the way.
fn expect_same(image: &Image, recovered: Option<&Image>, what: &str) {
    let linux = tree_of_linux(recovered.unwrap_or(image));
    let machine = image.machine();
    let options = MountOptions { read_only: true, ..MountOptions::default() };
    let fs = fs::registry::mount(machine.clone(), options).unwrap_or_else(|error| panic!("{what}: {error}"));
    expect_equal(&tree_of(&*fs), &linux, what);
    drop(fs);
    assert!(machine.ram.to_bytes() == image.bytes(), "{what}: reading stored something");
}

#[test]
#[ignore = "needs root and loop devices"]
fn what_linux_wrote_is_read_on_every_format() {
    for_each(&FORMATS.iter().collect::<Vec<_>>(), |format| {
        let image = format.by_linux();
        expect_clean(&image, format.name);
        expect_same(&image, None, format.name);
    });
}

/// Through its journal, which is not replayed by a mount that stores nothing.
#[test]
#[ignore = "needs root and loop devices"]
fn what_linux_was_cut_off_from_is_read_as_linux_recovers_it() {
    let names = ["Debian's defaults", "upstream's defaults", "1 KiB"];
    let formats: Vec<_> = FORMATS.iter().filter(|format| names.contains(&format.name)).collect();
    for_each(&formats, |format| {
        let image = format.cut_off();
        expect_same(&image, Some(&recovered_by_linux(&image)), format.name);
    });
}
