//! The buffer between the UART and whoever reads the console, and the thread that empties it.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::super::lock;

/// From here on the guest's driver is told to wait.
const BUSY_BYTES: usize = 64 * 1024;
/// From here on bytes are dropped. Linux's kernel log writes after 10 ms a byte even though it was told to wait, so it
/// takes a reader that has stopped for some three hours to lose a byte.
const LIMIT_BYTES: usize = 1024 * 1024;

#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// The thread has taken bytes and not yet written them.
    writing: bool,
    closed: bool,
    lost: u64,
}

/// Output on its way. Bounded, and none of its methods but [`wait_written`](Self::wait_written) waits.
#[derive(Default)]
pub(super) struct Output {
    buffer: Mutex<Buffer>,
    changed: Condvar,
}

impl Output {
    /// Takes `bytes`, or drops them where the guest has filled a whole MiB against our advice.
    pub(super) fn push(&self, bytes: &[u8]) {
        let mut buffer = lock(&self.buffer);
        let taken = bytes.len().min(LIMIT_BYTES.saturating_sub(buffer.bytes.len()));
        let (kept, dropped) = bytes.split_at(taken);
        buffer.bytes.extend_from_slice(kept);
        buffer.count_lost(dropped);
        drop(buffer);
        self.changed.notify_all();
    }

    /// Whether the guest may send more.
    pub(super) fn has_room(&self) -> bool {
        lock(&self.buffer).bytes.len() < BUSY_BYTES
    }

    /// Ends the thread once it has written what it holds.
    pub(super) fn close(&self) {
        lock(&self.buffer).closed = true;
        self.changed.notify_all();
    }

    pub(super) fn lost_bytes(&self) -> u64 {
        lock(&self.buffer).lost
    }

    /// Waits until everything is written; `false` if `patience` ended first.
    pub(super) fn wait_written(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut buffer = lock(&self.buffer);
        while buffer.writing || !buffer.bytes.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            (buffer, _) = self.changed.wait_timeout(buffer, left).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    /// Waits for bytes and takes them all, with whether the guest was being held back; `None` at the end.
    fn take(&self) -> Option<(Vec<u8>, bool)> {
        let mut buffer = lock(&self.buffer);
        buffer.writing = false;
        self.changed.notify_all();
        while buffer.bytes.is_empty() {
            if buffer.closed {
                return None;
            }
            buffer = self.changed.wait(buffer).unwrap_or_else(PoisonError::into_inner);
        }
        buffer.writing = true;
        let held_back = buffer.bytes.len() >= BUSY_BYTES;
        Some((std::mem::take(&mut buffer.bytes), held_back))
    }
}

impl Buffer {
    fn count_lost(&mut self, bytes: &[u8]) {
        self.lost = self.lost.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }
}

/// Starts the thread that writes the buffer to `out`. It calls `room_again` after it has emptied a buffer that was
/// holding the guest back, and ends after [`Output::close`].
pub(super) fn spawn_writer(
    output: Arc<Output>,
    mut out: Box<dyn Write + Send>,
    room_again: impl Fn() + Send + 'static,
) -> io::Result<()> {
    // Detached: a thread stuck in a write to a terminal that was stopped could never be joined.
    thread::Builder::new().name("serial-out".into()).spawn(move || {
        let mut reader_lives = true;
        while let Some((bytes, held_back)) = output.take() {
            if held_back {
                room_again();
            }
            if reader_lives && let Err(error) = out.write_all(&bytes).and_then(|()| out.flush()) {
                tracing::warn!(%error, "the console's output cannot be written any more and is dropped");
                reader_lives = false;
            }
            if !reader_lives {
                lock(&output.buffer).count_lost(&bytes);
            }
        }
    })?;
    Ok(())
}
