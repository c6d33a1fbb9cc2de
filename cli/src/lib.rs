//! What a command line is made of: the parts of the kernel's serial shell that touch no hardware.
//!
//! Everything here is pure: text and numbers in, text and numbers out, so all of it is tested on the host.
//! The kernel brings the serial port, the clock and the commands. Input is typed by people and scripts, so no
//! function panics on any of it: mistakes are answers, and say where they are. There is no floating point
//! (the kernel has none): rates and sizes are exact fractions of integers.
//!
//! | module | what it does |
//! |---|---|
//! | [`edit`]  | the line editor: key bytes in, echo and finished lines out |
//! | [`words`] | a script into commands, a command into words; quoting; the word to complete |
//! | [`expand`] | variables and patterns in words |
//! | [`opts`]  | options and operands of one command |
//! | [`synopsis`] | what is being typed, by a command's help |
//! | [`size`]  | `4k`, `0x10`, `2b`: numbers with `xfs_io`'s suffixes |
//! | [`mode`]  | `-rw-r--r--`, octal permissions, `u+x` |
//! | [`owner`] | `USER:GROUP` |
//! | [`pattern`] | `*.rs` |
//! | [`regex`] | regular expressions |
//! | [`pager`] | a long text, a screenful at a time |
//! | [`find`]  | the expressions of find |
//! | [`format`] | the formats of `stat -c` |
//! | [`xattr`] | values of extended attributes |
//! | [`when`]  | moments as people type them |
//! | [`date`]  | seconds since the epoch, the PC's clock chip, `ls`'s dates |
//! | [`human`] | `xfs_io`'s report after reading and writing; sizes for people |
//! | [`dump`]  | bytes as `pread -v` and as `hexdump -C` show them |
//! | [`table`] | listings in columns |

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod date;
pub mod dump;
pub mod edit;
pub mod expand;
pub mod find;
pub mod format;
pub mod human;
pub mod mode;
pub mod opts;
pub mod owner;
pub mod pager;
pub mod pattern;
pub mod regex;
pub mod size;
pub mod synopsis;
pub mod table;
pub mod when;
pub mod words;
pub mod xattr;
