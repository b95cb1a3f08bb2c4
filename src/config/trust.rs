//! Files that may say what is executed: read only if nobody but root or the agent's own user can have written them.
//! All is checked on the opened descriptor, so that nothing can be put in its place between check and reading.

use core::fmt;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::host::{Host, User};
use crate::job::units::format_size;

/// Why a file is not read. Each text says what to do.
#[derive(Debug)]
pub(super) enum Refused {
    /// There is none.
    Absent,
    /// The system says no.
    Io(io::Error),
    /// It is not what it should be.
    Kind(&'static str),
    /// Somebody else owns it: its uid, and the file.
    Owner(u32, PathBuf),
    /// Others can write it.
    Writable(PathBuf),
    /// Too large; the bound.
    Size(u64),
    /// Not UTF-8; the line.
    Text(usize),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("there is no such file"),
            Self::Io(error) => write!(f, "cannot be read: {error}"),
            Self::Kind(wanted) => write!(f, "is not a {wanted}"),
            Self::Owner(uid, path) => {
                let own = rustix::process::geteuid().as_raw();
                let (who, to) = match own {
                    0 => ("root".to_owned(), "root".to_owned()),
                    own => (format!("root or uid {own}"), own.to_string()),
                };
                write!(f, "belongs to uid {uid}, not to {who}; mend it with: chown {to} {}", Quoted(path))
            }
            Self::Writable(path) => {
                write!(f, "can be written by others; mend it with: chmod go-w {}", Quoted(path))
            }
            Self::Size(most) => write!(f, "is larger than {}", format_size(*most)),
            Self::Text(line) => write!(f, "line {line} is not UTF-8"),
        }
    }
}

/// A path as an argument for a shell.
struct Quoted<'a>(&'a Path);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
        if text.chars().all(plain) {
            f.write_str(&text)
        } else {
            write!(f, "'{}'", text.replace('\'', "'\\''"))
        }
    }
}

impl From<Errno> for Refused {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT => Self::Absent,
            Errno::ISDIR => Self::Kind("regular file"),
            // A socket cannot be opened.
            Errno::NXIO => Self::Kind("regular file"),
            error => Self::Io(error.into()),
        }
    }
}

/// Opens a directory whose entries nobody else can exchange.
pub(super) fn open_directory(path: &Path) -> Result<OwnedFd, Refused> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| match error {
        Errno::NOTDIR => Refused::Kind("directory"),
        error => error.into(),
    })?;
    check(&rustix::fs::fstat(&dir)?, path)?;
    Ok(dir)
}

/// Reads the file `name` of `dir`, whose path is only for messages. A symbolic link is followed: what it leads to is
/// checked, and only who may write `dir` can have made it.
pub(super) fn read_at(dir: impl AsFd, name: &OsStr, path: &Path, most: u64) -> Result<String, Refused> {
    // Not blocking: nobody may ever write to a FIFO.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    check_regular(&file)?;
    check(&rustix::fs::fstat(&file)?, path)?;
    text_of(file, most)
}

/// Reads the agent's configuration. Only a root agent has more to lose than who can write it.
pub(super) fn read_config(path: &Path, most: u64, host: &Host) -> Result<String, Refused> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    check_regular(&file)?;
    if host.user == User::Root {
        check(&rustix::fs::fstat(&file)?, path)?;
    }
    text_of(file, most)
}

fn check_regular(file: &OwnedFd) -> Result<(), Refused> {
    match FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode) {
        FileType::RegularFile => Ok(()),
        _ => Err(Refused::Kind("regular file")),
    }
}

fn check(stat: &Stat, path: &Path) -> Result<(), Refused> {
    if stat.st_uid != 0 && stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(Refused::Owner(stat.st_uid, path.to_owned()));
    }
    if Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH) {
        return Err(Refused::Writable(path.to_owned()));
    }
    Ok(())
}

fn text_of(file: OwnedFd, most: u64) -> Result<String, Refused> {
    let mut bytes = Vec::new();
    File::from(file).take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(Refused::Io)?;
    if !u64::try_from(bytes.len()).is_ok_and(|length| length <= most) {
        return Err(Refused::Size(most));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        Refused::Text(good.filter(|byte| **byte == b'\n').count() + 1)
    })
}
