//! New inputs: from nothing but a seed, and from another input. Both know where patches and operations begin,
//! which libFuzzer's own mutations don't.

use crate::input::{HEAD, Input, MOST_OPS, MOST_PATCHES, MountMode, OP, Op, PATCH, Patch};
use crate::{damage, images, ops};

/// Random numbers of 32 bits.
struct Draws(fsx::Rng);

impl Draws {
    fn new(seed: u64) -> Self {
        Self(fsx::Rng::new(seed))
    }

    fn number(&mut self) -> u32 {
        (self.0.draw() >> 32) as u32
    }

    fn below(&mut self, limit: usize) -> usize {
        self.number() as usize % limit
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// Makes the input of seed `seed`: one in three is undamaged, so that what it leaves can be judged.
pub fn generate(seed: u64) -> Input {
    let rng = &mut Draws::new(seed);
    let patches = if rng.one_in(3) { 0 } else { 1 + rng.below(4) };
    let mount = match rng.below(20) {
        0 => MountMode::ReadOnly,
        1 => MountMode::Protected,
        2 => MountMode::Copy(rng.below(4) as u8),
        _ => MountMode::Plain,
    };
    Input {
        image: rng.below(images::COUNT.into()) as u8,
        mount,
        patches: (0..patches).map(|_| patch(rng)).collect(),
        ops: (0..1 + rng.below(24)).map(|_| op(rng)).collect(),
    }
}

/// Changes one or a few things of `input`.
pub fn mutate(input: &mut Input, seed: u64) {
    let rng = &mut Draws::new(seed);
    for _ in 0..1 + rng.below(3) {
        match rng.below(10) {
            0 => input.image = rng.below(images::COUNT.into()) as u8,
            1 => change_list(rng, &mut input.patches, MOST_PATCHES, patch),
            2 | 3 => change_patch(rng, &mut input.patches),
            4..=6 => change_list(rng, &mut input.ops, MOST_OPS, op),
            7 | 8 => change_op(rng, &mut input.ops),
            _ if rng.one_in(4) => *input = Input { ops: input.ops.clone(), ..generate(rng.number().into()) },
            _ => {
                input.mount =
                    if rng.one_in(2) { MountMode::Plain } else { generate(rng.number().into()).mount }
            }
        }
    }
}

/// Does as [`mutate`], on an encoded input in a buffer of its own length or more: libFuzzer's `fuzz_mutator`.
/// Returns the new length.
pub fn mutate_bytes(data: &mut [u8], len: usize, most: usize, seed: u32) -> usize {
    let mut input = Input::decode(&data[..len]);
    mutate(&mut input, seed.into());
    while HEAD + input.patches.len() * PATCH + input.ops.len() * OP > most && input.ops.pop().is_some() {}
    let bytes = input.encode();
    let len = bytes.len().min(most);
    data[..len].copy_from_slice(&bytes[..len]);
    len
}

fn change_list<T: Copy>(rng: &mut Draws, list: &mut Vec<T>, most: usize, new: fn(&mut Draws) -> T) {
    let at = rng.below(list.len() + 1);
    match rng.below(5) {
        0 if at < list.len() => {
            list.remove(at);
        }
        1 if at < list.len() => {
            let other = rng.below(list.len());
            list.swap(at, other);
        }
        2 if at < list.len() => list[at] = new(rng),
        3 if at < list.len() && list.len() < most => list.insert(at, list[rng.below(list.len())]),
        _ if list.len() < most => list.insert(at, new(rng)),
        _ => list.truncate(at),
    }
}

fn change_patch(rng: &mut Draws, patches: &mut [Patch]) {
    if patches.is_empty() {
        return;
    }
    let at = rng.below(patches.len());
    let (patch, new) = (&mut patches[at], patch(rng));
    match rng.below(6) {
        0 => patch.object = new.object,
        1 => patch.field = new.field,
        2 => patch.how = new.how,
        3 => patch.extra = new.extra,
        4 => patch.value = new.value,
        _ => patch.object = patch.object.wrapping_add(1),
    }
}

fn change_op(rng: &mut Draws, ops: &mut [Op]) {
    if ops.is_empty() {
        return;
    }
    let at = rng.below(ops.len());
    let (old, new) = (&mut ops[at], op(rng));
    match rng.below(7) {
        0 => old.what = new.what,
        1 => old.other = new.other,
        2 => old.how = new.how,
        3 => old.offset = new.offset,
        4 => old.len = new.len,
        5 => old.code = new.code,
        _ => old.offset = old.offset.wrapping_add(1).wrapping_sub(rng.number() & 2),
    }
}

fn patch(rng: &mut Draws) -> Patch {
    Patch {
        kind: rng.below(damage::COUNT.into()) as u8,
        object: if rng.one_in(2) { rng.below(64) as u16 } else { rng.number() as u16 },
        field: if rng.one_in(2) { rng.below(24) as u8 } else { rng.number() as u8 },
        how: rng.number() as u8,
        extra: rng.number() as u8,
        value: rng.number() >> (8 * rng.below(4)),
    }
}

fn op(rng: &mut Draws) -> Op {
    Op {
        code: rng.below(ops::COUNT.into()) as u8,
        what: name(rng),
        other: name(rng),
        how: rng.number() as u8,
        offset: place(rng),
        len: place(rng),
    }
}

/// An open file, or a name of the first 32.
fn name(rng: &mut Draws) -> u8 {
    if rng.one_in(4) { 0x80 | rng.below(4) as u8 } else { rng.below(32) as u8 }
}

/// Any place: whole blocks, and small numbers, more often.
fn place(rng: &mut Draws) -> u32 {
    let any = rng.number();
    match rng.below(3) {
        0 => any,
        1 => 7 << 29 | any & 0x1F,
        _ => 1 << 29 | any & 0x7FFF,
    }
}
