//! `minimise FILE SMALLER`: takes out of a finding whatever its complaint does not need. Numbers in the
//! complaint may change, its words may not: libFuzzer's own minimising takes any other finding for the same.

use fuzz_exec::input::{Input, MountMode, Op, Patch};
use fuzz_exec::run;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The words of what `input` does wrong.
fn complaint(input: &Input) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(|| run(&input.encode()))).err()?;
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
    Some(text.chars().filter(|letter| !letter.is_ascii_digit()).collect())
}

/// Everything that is one step simpler.
fn simpler(input: &Input) -> Vec<Input> {
    let mut list = Vec::new();
    let mut add = |change: &dyn Fn(&mut Input)| {
        let mut new = input.clone();
        change(&mut new);
        if new != *input {
            list.push(new);
        }
    };
    for at in (0..input.ops.len()).rev() {
        add(&|new| new.ops.truncate(at));
        add(&|new| {
            new.ops.remove(at);
        });
    }
    for at in 0..input.patches.len() {
        add(&|new| {
            new.patches.remove(at);
        });
    }
    add(&|new| new.mount = MountMode::Plain);
    add(&|new| new.image = 0);
    add(&|new| new.image = new.image.min(1));
    for at in 0..input.ops.len() {
        let changes: [fn(&mut Op); 5] = [
            |op| op.other = 0,
            |op| op.how = 0,
            |op| op.offset = 0,
            |op| op.len = op.len.min(0x40),
            |op| op.len = 1,
        ];
        changes.iter().for_each(|change| add(&|new| change(&mut new.ops[at])));
    }
    for at in 0..input.patches.len() {
        let changes: [fn(&mut Patch); 5] = [
            |patch| patch.object = 0,
            |patch| patch.field = 0,
            |patch| patch.how &= 7,
            |patch| patch.extra = 0,
            |patch| patch.value = 0,
        ];
        changes.iter().for_each(|change| add(&|new| change(&mut new.patches[at])));
    }
    list
}

fn main() -> std::io::Result<()> {
    let names: Vec<_> = std::env::args_os().skip(1).collect();
    let [from, to] = &names[..] else {
        eprintln!("usage: minimise FILE SMALLER");
        std::process::exit(2);
    };
    std::panic::set_hook(Box::new(|_| ()));
    let mut input = Input::decode(&std::fs::read(from)?);
    let Some(words) = complaint(&input) else {
        eprintln!("minimise: {}: nothing is wrong", from.display());
        std::process::exit(1);
    };
    while let Some(new) = simpler(&input).into_iter().find(|new| complaint(new).as_ref() == Some(&words)) {
        input = new;
    }
    std::fs::write(to, input.encode())?;
    print!("{words}\n{input}");
    Ok(())
}
