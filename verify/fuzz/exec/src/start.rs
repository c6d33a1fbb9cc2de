//! The inputs from which a fuzzer starts: the same ones each time.

use crate::input::{Input, MountMode, Op};
use crate::{images, mutate, ops};
use std::path::Path;

/// Inputs of the generator.
const COUNT: u64 = 400;

/// Writes them into `folder`, which is made.
///
/// # Errors
/// The folder or a file cannot be written.
pub fn write_to(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for image in 0..images::COUNT {
        let walk = Op { code: ops::code("walk the tree"), ..Op::default() };
        let input = Input { image, mount: MountMode::Plain, patches: Vec::new(), ops: vec![walk] };
        std::fs::write(folder.join(format!("walk-{}", images::name(image))), input.encode())?;
    }
    for seed in 0..COUNT {
        std::fs::write(folder.join(format!("seed-{seed}")), mutate::generate(seed).encode())?;
    }
    Ok(())
}
