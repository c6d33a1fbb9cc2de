//! `pack IMAGE PACKED`: packs an image for verify/fuzz/exec/images; images.sh calls it.

fn main() -> std::io::Result<()> {
    let names: Vec<_> = std::env::args_os().skip(1).collect();
    let [image, packed] = &names[..] else {
        eprintln!("usage: pack IMAGE PACKED");
        std::process::exit(2);
    };
    std::fs::write(packed, fuzz_exec::images::pack(&std::fs::read(image)?))
}
