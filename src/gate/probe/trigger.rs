//! Asks the kernel to tell of pressure: `Documentation/accounting/psi.rst`, "Monitoring for pressure thresholds".
//!
//! A trigger tells that pressure goes on, once per window, and never that it is over: that is what its silence for a
//! whole window says.

use core::time::Duration;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use rustix::event::epoll;
use rustix::fs::OFlags;

use super::Probe;
use crate::job::Resource;

/// The longest that the kernel allows, and one that it grants to anybody (a multiple of 2 s).
pub const WINDOW: Duration = Duration::from_secs(10);

/// The kernel's promise to tell of pressure, while this lives.
///
/// Of the file itself `poll` says at any time that it is readable; what counts is POLLPRI alone, and each look takes it away.
/// So the file lies in an epoll that asks for nothing else, and that is what is waited on.
#[derive(Debug)]
pub struct Trigger {
    told: OwnedFd,
    _file: File,
}

/// Readable when the kernel tells.
impl AsFd for Trigger {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.told.as_fd()
    }
}

impl Probe {
    /// A descriptor that becomes readable once in each [`WINDOW`] in which some task waited for more than `percent` of it.
    ///
    /// # Errors
    /// This kernel serves no PSI, or grants no trigger to this user.
    pub fn trigger(&self, pressure: Resource, percent: f32) -> io::Result<Trigger> {
        let name = match pressure {
            Resource::CpuPressure => "cpu",
            Resource::MemoryPressure => "memory",
            Resource::IoPressure => "io",
            other => return Err(io::Error::other(format!("{} has no trigger", other.field()))),
        };
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        let path = self.root.below("/proc/pressure").join(name);
        let mut file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
        // A bound of 0 % is passed by the shortest stall that can be named.
        let stall = WINDOW.mul_f32((percent / 100.0).clamp(0.0, 1.0)).as_micros().max(1);
        file.write_all(format!("some {stall} {}\0", WINDOW.as_micros()).as_bytes())?;
        let told = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&told, &file, epoll::EventData::new_u64(0), epoll::EventFlags::PRI)?;
        Ok(Trigger { told, _file: file })
    }
}
