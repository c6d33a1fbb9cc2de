//! `seeds FOLDER [COUNT]`: writes the inputs from which a fuzzer starts, the same ones each time.

use fuzz_exec::input::{Input, Mount, Op};
use fuzz_exec::{images, mutate, session};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().expect("usage: seeds FOLDER [COUNT]");
    let count = arguments.next().map_or(400, |count| count.parse().expect("a number of inputs"));
    std::fs::create_dir_all(&folder)?;
    for image in 0..images::COUNT {
        let walk = Op { code: session::code("walk the tree"), ..Op::default() };
        let input = Input { image, mount: Mount::Plain, patches: Vec::new(), ops: vec![walk] };
        std::fs::write(format!("{folder}/walk-{}", images::name(image)), input.encode())?;
    }
    for seed in 0..count {
        std::fs::write(format!("{folder}/seed-{seed}"), mutate::generate(seed).encode())?;
    }
    Ok(())
}
