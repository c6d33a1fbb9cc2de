#![no_std]
#![no_main]
use bootloader_api::*;
static C: BootloaderConfig = { let mut c = BootloaderConfig::new_default(); c.mappings.kernel_base = config::Mapping::FixedAddress(0xffff_ffff_8000_0000); c.mappings.physical_memory=Some(config::Mapping::FixedAddress(0xffff_8000_0000_0000)); c};
entry_point!(main, config=&C);
fn main(b: &'static mut BootInfo) -> ! { 
 use core::fmt::Write;
 let mut u = unsafe { uart_16550::Uart16550Tty::new_port(0x3f8, uart_16550::Config::default()).unwrap() };
 writeln!(u, "hello {:x} {:?}", main as *const () as usize, b.rsdp_addr).unwrap();
 for r in b.memory_regions.iter() { writeln!(u, "{:x?}", r).unwrap(); }
 unsafe { x86_64::instructions::port::Port::<u32>::new(0xf4).write(0x10) }; loop {} }
#[panic_handler] fn p(_: &core::panic::PanicInfo) -> ! { loop {} }
