//! The journal of ext3 and ext4, which Linux calls jbd2: changes of many blocks that a crash shows all of, or
//! none of.
//!
//! Whoever changes metadata has whole blocks written to a *log* first: a ring of blocks inside the file
//! system. A *transaction* in the log is the blocks as they are to be, behind descriptors that say where each
//! belongs, and a commit block at its end. Only then may a block be stored at home. After a crash, recovery
//! writes home what whole transactions hold; a transaction without its commit block never happened.
//!
//! ```text
//! | superblock | … | revokes | descriptor | image | image | commit | descriptor | image | commit | … |
//!   s_start ────────┘ transaction s_sequence ────────────┘ └─ s_sequence + 1 ────────────┘
//! ```
//!
//! A *revoke* takes back images that are in the log: a block of metadata was freed, may hold a file's bytes
//! by now, and no replay may write over them.
//!
//! | file | what it holds |
//! |---|---|
//! | `format` | blocks of the log: headers, tags, revoke records, their checksums |
//! | `log` | where the log's blocks are |
//! | `superblock` | the journal's superblock, and how a crash cannot tear it |
//! | `info` | the same in words |
//! | `recover` | what a crash left in the log, read through or written home |
//! | `buffer` | a block in memory, from its first change to the commit |
//! | `transaction` | the transaction that runs, and the one that is being committed |
//! | `handle` | an operation's part in the running transaction |
//! | `journal` | who may join, who waits for whom |
//! | `space` | how much of the log is free |
//! | `commit` | from memory to the log, and home |
//!
//! It knows no file system: who mounts one says where the log is, and what else the superblock of the file
//! system has to remember. All numbers in the log are big-endian.
//!
//! References: Linux, Documentation/filesystems/ext4/journal.rst.

mod buffer;
mod commit;
mod format;
mod handle;
mod info;
mod journal;
mod log;
mod recover;
mod space;
mod superblock;
mod transaction;

pub use buffer::{BlockBuffer, BufferMut};
pub use handle::Handle;
pub use info::describe;
pub use journal::{Journal, JournalOwner};
pub use log::{LogMap, LogRun};
pub use recover::{Recovery, scan};
pub use superblock::{JournalSuper, LogFeatures};
