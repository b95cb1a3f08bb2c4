//! The one timer: a timerfd on CLOCK_REALTIME, absolute, that is cancelled when the wall clock is set
//! (timerfd_create(2), `TFD_TIMER_CANCEL_ON_SET`). No tick: unarmed, nothing wakes.

use std::io;
use std::os::fd::OwnedFd;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use smol::Async;

use crate::job::WallTime;

/// The year 2255: far enough that it never rings, near enough for every kernel. The timer stays armed so that a step of the clock is
/// told even when nothing is due.
const NEVER_SECS: i64 = 9_000_000_000;

pub(super) struct Timer {
    fd: Async<OwnedFd>,
}

/// What arming came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Armed {
    /// Armed.
    Yes,
    /// Armed, and the wall clock was set meanwhile: what it was armed for may be out of date.
    ClockSet,
}

/// Why the timer woke the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ring {
    /// The instant has come.
    Due,
    /// The wall clock was set.
    ClockSet,
}

impl Timer {
    pub(super) fn new() -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        Ok(Self { fd: Async::new_nonblocking(fd)? })
    }

    /// Rings at `at`, or never; an instant that is past rings at once.
    pub(super) fn arm(&self, at: Option<WallTime>) -> io::Result<Armed> {
        // A zero time would disarm it.
        let at = at.map_or(WallTime::from_secs(NEVER_SECS), |at| at.max(WallTime::from_millis(1)));
        let millis = at.millis().rem_euclid(1_000);
        let value = Timespec {
            tv_sec: at.secs().min(NEVER_SECS),
            // Below 10^9: fits every width of tv_nsec.
            tv_nsec: i32::try_from(millis * 1_000_000).unwrap_or(0).into(),
        };
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        match timerfd_settime(self.fd.get_ref(), flags, &spec) {
            Ok(_) => Ok(Armed::Yes),
            // Armed, and told here what a read would have told.
            Err(rustix::io::Errno::CANCELED) => Ok(Armed::ClockSet),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for it to ring.
    pub(super) async fn ring(&self) -> io::Result<Ring> {
        let read = self.fd.read_with(|fd| {
            let mut expirations = [0; 8];
            rustix::io::read(fd, &mut expirations).map_err(io::Error::from)
        });
        match read.await {
            Ok(_) => Ok(Ring::Due),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::CANCELED.raw_os_error()) => {
                Ok(Ring::ClockSet)
            }
            Err(error) => Err(error),
        }
    }
}
