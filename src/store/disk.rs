//! The file layer below the journal: one flat directory. [`RealDisk`](super::RealDisk) is one;
//! [`MemDisk`](super::MemDisk) is one that fails, fills up and loses power on demand.
//!
//! What an implementation promises is what POSIX and the kernel promise, no more: data is durable after
//! [`DiskFile::sync`], a name after [`Disk::sync_dir`], a rename is one step. A failed sync says nothing about what
//! reached the disk, and a later one that succeeds does not make up for it (`fsync(2)`, the "fsyncgate" thread).

use std::io;

/// A directory of files.
pub trait Disk {
    /// An open file.
    type File: DiskFile;
    /// What holds the directory's lock until it is dropped.
    type Lock;

    /// Opens a file for reading and appending.
    ///
    /// # Errors
    /// `NotFound`, or what the system says.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Makes an empty file for reading and appending; what had the name before loses its content.
    ///
    /// # Errors
    /// What the system says.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Gives a file another name, in one step; what had that name before is gone.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; whoever has it open can go on reading.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names in the directory, in no order.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes the names durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self) -> io::Result<()>;

    /// Takes the directory's lock, without waiting.
    ///
    /// # Errors
    /// Another process has it, or what the system says.
    fn lock(&self) -> Result<Self::Lock, LockRefused>;
}

/// An open file.
pub trait DiskFile {
    /// Its length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn size(&self) -> io::Result<u64>;

    /// Reads at a position; fewer bytes than asked for only at the end of the file.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of it at the end. After an error any part of it may be there.
    ///
    /// # Errors
    /// What the system says.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file off, or extends it with zeros.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Takes this much space of the disk without writing it.
    ///
    /// # Errors
    /// What the system says.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Makes its content durable.
    ///
    /// # Errors
    /// What the system says: from then on nothing is known of what was written since the last success.
    fn sync(&self) -> io::Result<()>;

    /// Forgets what memory holds of it from here on, where that was synced: what is read then comes from the disk. Without
    /// it, bytes that a failed sync lost can be read until the power goes. As far as the system does it (`posix_fadvise(2)`).
    ///
    /// # Errors
    /// What the system says.
    fn forget(&self, from: u64) -> io::Result<()>;
}

/// Why the lock was not given.
#[derive(Debug)]
pub enum LockRefused {
    /// Another process holds it: its id, if it could be read.
    Held(Option<u32>),
    /// The lock file could not be used.
    Io(io::Error),
}
