//! REMEMBER: the journal, what it adds up to after a restart, and its compaction. Knows entries, not what they mean:
//! [`Image::apply`](crate::job::Image::apply) says that. Reads no clock.
//!
//! ```text
//! state directory, 0700          journal-7 = one segment, complete in itself
//!   lock        pid, flock         header, twice: magic version number epoch next_seq acked_through machine
//!   journal-7   in use             frame | frame | frame …
//!   journal-8.new  being written   frame = len u32 | crc32c u32 | body, little-endian, at most 1 MiB of body
//!   damaged-5   set aside          body, postcard:
//!   newer-4     set aside           0 Commit { first seq, entries }          what one turn became
//!   reserve     256 KiB             1 Image [entries]             \
//!                                   2 Kept [{ seq, last, fact }]   > of a compacted segment: its head
//!                                   3 Base { newest, last_run, commands } /
//! ```
//! The checksum starts from the header and the frame's offset and covers the length: a frame of another segment, or
//! one that a job printed into its output, is no frame. Numbered facts (records and events) take consecutive numbers
//! from `first` on. Body variants and fields, like those of the entries, are append-only; format 1 has golden bytes in
//! `tests/golden`. Magic and version stay where they are: a newer journal is set aside untouched. A release reads a version
//! before any release writes it (`header`). Definitions are kept as the JSON text that was given.
//!
//! *Commit.* One write, one sync. *Compaction is recovery into a new file*: read the old segment, write image and kept
//! facts as `journal-<n+1>.new`, sync, rename, sync the directory, remove the old one. There is one segment; the
//! highest number wins, for it holds all that lower ones held.
//!
//! *A failed sync latches.* Nothing is known then of what was written since the last good one, so the segment is given
//! up: the same turn goes, with all that was durable and the unsynced entries held in memory, into a fresh segment. If
//! that fails too, commit says so; the segment is cut back to before the turn if the disk lets us, nothing more is
//! written to it, and the next commit starts with a fresh one that does not hold the failed turn. Only a crash before
//! that next commit may find the failed turn: whole or a prefix of its frames, as with any turn that was never
//! acknowledged. So whoever could not commit an intent must not start it, and after a crash may meet the intent
//! without its end.
//!
//! *Recovery.* Bytes that are no frame, with a good frame behind them, are damage: reported, the whole segment is kept
//! as `damaged-<n>`, and the first commit writes a clean one that also holds the report. Without one behind them they
//! are a torn tail and are cut off. A start on a sound journal writes nothing to it. (A power cut may spare a later
//! unsynced frame and lose an earlier one. Such a hole looks like damage and is reported as such; what was acknowledged
//! is not in it.)
//!
//! Nor is what can be read trusted after a sync that an earlier agent saw fail: the kernel calls such pages clean, and the
//! next sync pretends that all is well. So a start syncs the segment and lets the kernel forget its end before it reads
//! it. (A directory sync that failed is only asked again: a file system with a journal does it, or turns read-only.) What
//! cannot be synced at a start is read and acted on, but not sent (`durable`), until a commit has made it durable.
//!
//! A read-only directory is read; a name that is no segment is set aside; a journal that is gone while its reserve is there
//! is reported missing. *Another machine's journal, and a restored copy,* go on in a new epoch: see `takeover`.
//!
//! *Weighed*, in `docs/store.md`: redb, fjall and SQLite with the same workload, by bytes, syncs, size and start.
//!
//! Sources: `fsync(2)`, `posix_fadvise(2)`, `rename(2)`, `flock(2)`; the fsync discussion of PostgreSQL (2018); redb and TigerBeetle for
//! the tests.

mod compact;
mod disk;
mod error;
mod frame;
mod header;
mod history;
mod journal;
pub mod mem;
mod outbox;
mod real;
mod recover;
mod replay;
mod takeover;

pub use disk::{Disk, DiskFile, LockRefused};
pub use error::StoreError;
pub use history::{events, history};
pub use journal::{Committed, Durability, Journal, Options, Recovered, Renewed, Unsent};
pub use mem::MemDisk;
pub use outbox::{Outbox, Survey};
pub use real::{RealDisk, RealFile, RealLock};
pub use takeover::{Delivered, Renewal};
