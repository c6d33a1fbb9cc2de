//! Runs one input of the fuzzer: a base image is damaged, mounted, worked on, crashed, unmounted.
//!
//! libFuzzer's target (`verify/fuzz/`), the regression test (`fs/tests/fuzz_regressions.rs`) and the replay
//! of one file use the same [`run`], so that a finding means the same to all of them. docs/fuzzing.md tells
//! how.
//!
//! | module | what it holds |
//! |---|---|
//! | [`input`] | from bytes to images, damage and operations, and back |
//! | [`images`] | the base images |
//! | [`anatomy`] | where a base image keeps what |
//! | [`damage`] | from a patch to bytes |
//! | [`ops`] | from an operation's numbers to what is done: on content and names, the language of `fsx` |
//! | [`machine`] | memory that counts and forgets, locks that know they are alone |
//! | [`session`] | one mounted file system, and what must hold of it |
//! | `view` | a mapped file |
//! | [`mutate`] | new inputs, from a seed or from another input |
//! | [`start`] | the inputs to start from |
//! | [`meter`] | how much memory is taken |
//!
//! # What is checked
//!
//! Of every input: no panic (an access outside the region is one); each operation ends, counted in accesses
//! to the memory; memory taken stays below [`MOST_MEMORY`]; no lock is waited for, as nobody else would let
//! go of it; an image whose mount is refused, or that is mounted read-only, is not stored to.
//!
//! Of inputs without damage, crashes included: no operation meets a contradiction; no mapping outlives its
//! block; names are those of [`fsx::NameTree`], the reference that the tests of `fs` have. [`run_to_image`]
//! gives the image for e2fsck to judge.

pub mod anatomy;
pub mod damage;
pub mod images;
pub mod input;
pub mod machine;
pub mod meter;
pub mod mutate;
pub mod ops;
pub mod session;
pub mod start;
mod view;

use anatomy::Anatomy;
use input::Input;
use machine::Bench;
use session::Session;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;

/// The most memory, in bytes, that one input may have in use at once beside the region itself.
pub const MOST_MEMORY: usize = 24 << 20;

/// What became of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputReport {
    /// It was mounted at least once.
    pub mounted: bool,
    /// It could not be written to at the end.
    pub read_only: bool,
    /// Operations tried.
    pub tried: u32,
    /// Those that succeeded.
    pub worked: u32,
    /// The image at the end was unmounted by us, not left behind by a crash.
    pub unmounted: bool,
}

/// A base image, ready to be damaged.
struct BaseImage {
    anatomy: Anatomy,
    bench: Bench,
}

thread_local! {
    /// An image is unpacked and laid out once; afterwards only what an input changed is put back.
    static PLACES: RefCell<BTreeMap<u8, BaseImage>> = const { RefCell::new(BTreeMap::new()) };
}

/// Runs the input that `data` encodes.
///
/// # Panics
/// On every finding.
pub fn run(data: &[u8]) -> InputReport {
    run_input(&Input::decode(data), |_| ())
}

/// Does as [`run`], and returns the image as it was left, too.
///
/// # Panics
/// On every finding.
pub fn run_to_image(data: &[u8]) -> (InputReport, Vec<u8>) {
    let mut image = Vec::new();
    let report = run_input(&Input::decode(data), |bench| image = bench.bytes());
    (report, image)
}

fn run_input(input: &Input, at_end: impl FnOnce(&Bench)) -> InputReport {
    // Taken out while it is used: after a finding it is not put back.
    let place = PLACES.with_borrow_mut(|places| places.remove(&input.image));
    let place = place.unwrap_or_else(|| {
        let image = images::unpack(input.image);
        BaseImage { anatomy: Anatomy::of(&image), bench: Bench::new(image) }
    });
    let memory = meter::start();
    for patch in &input.patches {
        let (at, bytes) = damage::apply(patch, &place.anatomy, place.bench.original());
        place.bench.damage(at, &bytes);
    }
    // On a finding everything is left as it is: to let go of handles would only add to it.
    let mut session = ManuallyDrop::new(Session::new(&place.bench, &place.anatomy, input));
    let report = session.run();
    ManuallyDrop::into_inner(session);
    at_end(&place.bench);
    let most = memory.most();
    assert!(most <= MOST_MEMORY, "{most} bytes of memory were in use");
    place.bench.restore();
    PLACES.with_borrow_mut(|places| places.insert(input.image, place));
    report
}
