//! Tables as QEMU 7.2 makes them (`data/README.md` says how they were taken): accepted, and printed
//! as users see them.

use nfit::{Contents, Nfit};

const ONE: &[u8] = include_bytes!("data/qemu72-one.bin");
const TWO: &[u8] = include_bytes!("data/qemu72-two.bin");
const UNARMED: &[u8] = include_bytes!("data/qemu72-unarmed.bin");
const PERSIST_CPU: &[u8] = include_bytes!("data/qemu72-persist-cpu.bin");
const PERSIST_MEMCTRL: &[u8] = include_bytes!("data/qemu72-persist-memctrl.bin");

/// What a table says that has nothing wrong.
fn contents(bytes: &[u8]) -> Contents<'_> {
    let contents = Nfit::parse(bytes).unwrap().contents().unwrap();
    assert_eq!(contents.problems, []);
    contents
}

/// All that the kernel's `nfit` command has to print: table, structures, regions with their DIMMs.
fn listing(bytes: &[u8]) -> String {
    let nfit = Nfit::parse(bytes).unwrap();
    let mut lines = vec![nfit.to_string()];
    lines.extend(nfit.structures().map(|structure| structure.unwrap().to_string()));
    for region in contents(bytes).regions {
        lines.push(region.to_string());
        lines.extend(region.dimms.iter().map(ToString::to_string));
    }
    lines.join("\n")
}

#[test]
fn one_nvdimm() {
    let expected = "\
nfit: oem BOCHS table BXPC revision 1 length 224
spa 2: persistent memory 0x100000000..0x104000000 (64 MiB) proximity 0 attribute WB|NV hot-add-only
mapping: handle 0x1 (dimm 1 channel 0 controller 0 socket 0 node 0) physical id 0 region id 0 spa 2 \
control region 3 size 64 MiB offset 0x0 dpa 0x0 interleave none ways 1 state none
control region 3: vendor 0x8086 device 0x1 revision 0x1 subsystem 0x0:0x0:0x0 serial 0x123456 format 0x301 \
(byte-addressable not-energy-backed) block windows 0
region 2: 0x100000000..0x104000000 (64 MiB) proximity 0 attribute WB|NV armed state none dimms 1
dimm: handle 0x1 (dimm 1 channel 0 controller 0 socket 0 node 0) spa 2 vendor 0x8086 serial 0x123456 \
flush hints 0 state none";
    assert_eq!(listing(ONE), expected);
    assert_eq!(contents(ONE).capabilities, None);
}

#[test]
fn two_nvdimms_are_two_regions_by_address() {
    // QEMU lists the second one first.
    let regions = contents(TWO).regions;
    let lines: Vec<_> = regions.iter().map(ToString::to_string).collect();
    let expected = [
        "region 2: 0x100000000..0x104000000 (64 MiB) proximity 0 attribute WB|NV armed state none dimms 1",
        "region 4: 0x104000000..0x10c000000 (128 MiB) proximity 0 attribute WB|NV armed state none dimms 1",
    ];
    assert_eq!(lines, expected);
    assert_eq!(regions[0].dimms[0].mapping.device_handle.0, 1);
    assert_eq!(regions[1].dimms[0].mapping.device_handle.0, 2);
    assert_eq!(Nfit::parse(TWO).unwrap().structures().count(), 6);
}

#[test]
fn an_unarmed_nvdimm_is_read_only() {
    let regions = contents(UNARMED).regions;
    assert!(!regions[0].armed);
    let text = "region 2: 0x100000000..0x104000000 (64 MiB) proximity 0 attribute WB|NV \
                read-only state not-armed dimms 1";
    assert_eq!(regions[0].to_string(), text);
    assert!(contents(ONE).regions[0].armed);
}

#[test]
fn persistence_options_are_capabilities() {
    let cpu = contents(PERSIST_CPU).capabilities.unwrap();
    assert!(cpu.cpu_cache_flush() && cpu.memory_controller_flush() && !cpu.memory_mirroring());
    assert_eq!(cpu.to_string(), "capabilities: cpu cache flush, memory controller flush");
    let memctrl = contents(PERSIST_MEMCTRL).capabilities.unwrap();
    assert!(!memctrl.cpu_cache_flush() && memctrl.memory_controller_flush());
    assert_eq!(memctrl.to_string(), "capabilities: memory controller flush");
    assert!(listing(PERSIST_CPU).contains("\nregion 2: "));
}
