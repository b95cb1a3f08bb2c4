//! A state directory: 0700, its files 0600, each opened below the directory's descriptor and never through a link.
//!
//! The lock is `flock(2)` on the file `lock`, which holds the pid for people. It belongs to the open file: a child that
//! was forked and not executed keeps it, and must close all descriptors.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Advice, AtFlags, FallocateFlags, FlockOperation, Mode, OFlags};

use super::disk::{Disk, DiskFile, LockRefused};

const LOCK: &str = "lock";

/// A directory of the file system. Clones share it: one for the journal, one for who reads its history.
#[derive(Clone, Debug)]
pub struct RealDisk {
    dir: Arc<OwnedFd>,
}

impl RealDisk {
    /// Opens the directory; makes it, and its parents, if it is not there.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { dir: Arc::new(dir) })
    }

    fn file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        // Whatever lies there by that name: nothing is waited for.
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = rustix::fs::openat(self.dir.as_fd(), name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(File::from(file))
    }

    /// To write, or where that may not be, to read: what is there counts even if nothing can be added.
    fn file_or_read_only(&self, name: &str, flags: OFlags) -> io::Result<File> {
        match self.file(name, flags | OFlags::RDWR) {
            Err(error) if is_read_only(&error) => self.file(name, OFlags::RDONLY),
            result => result,
        }
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

impl Disk for RealDisk {
    type File = RealFile;
    type Lock = RealLock;

    fn open(&self, name: &str) -> io::Result<RealFile> {
        self.file_or_read_only(name, OFlags::APPEND).map(RealFile)
    }

    fn create(&self, name: &str) -> io::Result<RealFile> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::TRUNC;
        self.file(name, flags).map(RealFile)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(self.dir.as_fd(), from, self.dir.as_fd(), to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(self.dir.as_fd(), name, AtFlags::empty())?)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(self.dir.as_fd())? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(self.dir.as_fd())?)
    }

    fn lock(&self) -> Result<RealLock, LockRefused> {
        let mut file = match self.file_or_read_only(LOCK, OFlags::CREATE) {
            // Nobody could make it: the directory itself is what two agents would share.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.file(".", OFlags::RDONLY),
            result => result,
        }
        .map_err(LockRefused::Io)?;
        match rustix::fs::flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(LockRefused::Held(pid_in(&file))),
            Err(errno) => return Err(LockRefused::Io(errno.into())),
        }
        // The pid is for people; a full disk must not keep the agent from its start.
        let noted = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(error) = noted {
            log::warn!("note the pid in {LOCK}: {error}");
        }
        Ok(RealLock { _file: file })
    }
}

fn pid_in(file: &File) -> Option<u32> {
    let mut text = [0; 16];
    let len = file.read_at(&mut text, 0).ok()?;
    core::str::from_utf8(text.get(..len)?).ok()?.trim().parse().ok()
}

/// The lock of a state directory, until it is dropped.
#[derive(Debug)]
pub struct RealLock {
    _file: File,
}

/// A file of a state directory.
#[derive(Debug)]
pub struct RealFile(File);

impl DiskFile for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<usize> {
        let mut total = 0;
        while !buffer.is_empty() {
            match self.0.read_at(buffer, offset) {
                Ok(0) => break,
                Ok(len) => {
                    total += len;
                    offset += len as u64;
                    buffer = buffer.get_mut(len..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.0).write_all(bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        Ok(rustix::fs::fallocate(self.0.as_fd(), FallocateFlags::empty(), 0, len)?)
    }

    fn sync(&self) -> io::Result<()> {
        // The new length is synced with the data: nothing could be read without it.
        self.0.sync_data()
    }

    fn forget(&self, from: u64) -> io::Result<()> {
        Ok(rustix::fs::fadvise(self.0.as_fd(), from, None, Advice::DontNeed)?)
    }
}
