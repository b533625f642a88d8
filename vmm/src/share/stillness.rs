//! Whether the guest leaves its store alone: then nobody has to look at it.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use protocol::service::Counts;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::Share;

/// How long nobody looks at a store that is still, as long as it does not ring.
pub(super) const REST: Duration = Duration::from_secs(60);

/// Rings at a call to the store.
#[derive(Debug)]
struct Bell(EventFd);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        // It fails only where the counter is full, that is, where it is readable already.
        let _ = self.0.write(1);
    }
}

/// Compares a store with what it was before, and rings when it is called after that.
#[derive(Debug)]
pub(super) struct Stillness {
    bell: Arc<Bell>,
    waker: Waker,
    counts: Option<Counts>,
}

impl Stillness {
    pub(super) fn new() -> io::Result<Self> {
        let bell = Arc::new(Bell(EventFd::new(EFD_NONBLOCK)?));
        Ok(Self { waker: Waker::from(Arc::clone(&bell)), bell, counts: None })
    }

    /// Returns whether the store is as it was the last time. If so, its next call rings.
    pub(super) fn listen(&mut self, share: &Share) -> bool {
        let counts = Some(share.counts());
        if std::mem::replace(&mut self.counts, counts) != counts {
            return false;
        }
        share.store.client().wake_at_next_call(&self.waker);
        // Of a load that ends at this very moment neither may tell; the call behind it does.
        Some(share.counts()) == counts
    }

    /// It rang, and is no longer readable: the store is not as it was, whatever its counts say.
    pub(super) fn end(&mut self) {
        let _ = self.bell.0.read();
        self.counts = None;
    }
}

impl AsRawFd for Stillness {
    fn as_raw_fd(&self) -> RawFd {
        self.bell.0.as_raw_fd()
    }
}
