//! A timer that the event loop watches.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// Goes off once each time that it is set.
#[derive(Debug)]
pub(super) struct Timer(OwnedFd);

impl Timer {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?))
    }

    /// Goes off after this time and at no other.
    pub(super) fn set(&self, after: Duration) {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        // 0 would be never.
        let value =
            Timespec::try_from(after.max(Duration::from_millis(1))).unwrap_or(Timespec { tv_sec: 60, tv_nsec: 0 });
        let times = Itimerspec { it_interval: zero, it_value: value };
        if let Err(error) = timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &times) {
            tracing::error!(%error, "a timer cannot be set");
        }
    }

    /// It went off, and is no longer readable.
    pub(super) fn take(&self) {
        let mut expired = [0; 8];
        let _ = rustix::io::read(&self.0, &mut expired);
    }
}

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
