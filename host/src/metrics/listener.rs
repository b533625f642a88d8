//! The listening socket of the metrics, and the scrapes that it accepted.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use event_manager::{EventOps, EventSet, Events};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

use super::address::Address;
use super::http::Scrape;
use crate::server::{ACCEPTS_PER_EVENT, LISTENER_EVENTS};

/// Most scrapes at a time; each holds the text of its answer.
const SCRAPES_MAX: usize = 8;

/// How long a scrape may take in all.
const PATIENCE_MS: u64 = 10_000;

/// Serves metrics on the event loop of whoever owns it.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    /// The socket's file, which goes with it.
    path: Option<PathBuf>,
    scrapes: HashMap<RawFd, Scrape>,
}

impl Listener {
    /// Listens. A Unix socket that is there and answers nobody is replaced; what is no socket is left alone.
    ///
    /// # Errors
    ///
    /// Where the address is taken, or may not be had.
    pub fn bind(address: &Address) -> io::Result<Self> {
        let (socket, path) = match address {
            Address::Loopback(address) => {
                let listener = TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                (listener.into(), None)
            }
            Address::Unix(path) => {
                if is_left_behind(path) {
                    fs::remove_file(path)?;
                }
                let listener = UnixListener::bind(path)?;
                listener.set_nonblocking(true)?;
                (listener.into(), Some(path.clone()))
            }
        };
        Ok(Self { socket, path, scrapes: HashMap::new() })
    }

    /// Whether this descriptor is the listener's or a scrape's.
    #[must_use]
    pub fn owns(&self, fd: RawFd) -> bool {
        fd == self.as_raw_fd() || self.scrapes.contains_key(&fd)
    }

    /// A descriptor of ours is ready. `text` makes the metrics.
    pub fn serve(&mut self, fd: RawFd, now_ms: u64, text: impl FnOnce() -> String, ops: &mut EventOps<'_>) {
        if fd == self.as_raw_fd() {
            return self.accept(now_ms, ops);
        }
        let Some(scrape) = self.scrapes.get_mut(&fd) else { return };
        let is_over = match scrape.advance(text) {
            Ok(is_over) => is_over,
            Err(error) => !matches!(error, Errno::WOULDBLOCK | Errno::INTR),
        };
        if is_over {
            return self.end(fd, ops);
        }
        let wants = if scrape.answer.is_empty() { EventSet::IN } else { EventSet::OUT };
        if ops.modify(Events::new(&scrape.stream, wants)).is_err() {
            self.end(fd, ops);
        }
    }

    /// Ends scrapes that take too long.
    pub fn close_overdue(&mut self, now_ms: u64, ops: &mut EventOps<'_>) {
        let is_overdue = |scrape: &Scrape| now_ms.saturating_sub(scrape.began_ms) > PATIENCE_MS;
        let overdue: Vec<RawFd> =
            self.scrapes.iter().filter(|(_, scrape)| is_overdue(scrape)).map(|(fd, _)| *fd).collect();
        overdue.into_iter().for_each(|fd| self.end(fd, ops));
    }

    fn accept(&mut self, now_ms: u64, ops: &mut EventOps<'_>) {
        for _ in 0..ACCEPTS_PER_EVENT {
            match accept_with(&self.socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(stream) => self.begin(stream, now_ms, ops),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                // None waits, or one stays pending until the next one comes.
                Err(_) => return,
            }
        }
        // More may be waiting, and an edge is only told once: setting the same events again tells it again.
        if let Err(error) = ops.modify(Events::new(&self.socket, LISTENER_EVENTS)) {
            tracing::error!(?error, "metrics are not served any longer");
        }
    }

    /// One that finds no place is closed at once: a scraper comes again.
    fn begin(&mut self, stream: OwnedFd, now_ms: u64, ops: &mut EventOps<'_>) {
        if self.scrapes.len() < SCRAPES_MAX && ops.add(Events::new(&stream, EventSet::IN)).is_ok() {
            let scrape = Scrape::new(stream, now_ms);
            self.scrapes.insert(scrape.stream.as_raw_fd(), scrape);
        }
    }

    /// Unwatched before it is closed: the number of a closed descriptor may be another one's at once.
    fn end(&mut self, fd: RawFd, ops: &mut EventOps<'_>) {
        if let Some(scrape) = self.scrapes.remove(&fd) {
            // It is closed next, which unwatches it too.
            let _ = ops.remove(Events::empty(&scrape.stream));
        }
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Where it stays, the next service replaces it.
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether a service that was killed left its socket there. Another kind of file refuses a connection, too.
fn is_left_behind(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|there| there.file_type().is_socket());
    is_socket && UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_service_left_is_replaced_and_what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.sock");
        drop(UnixListener::bind(&path).unwrap());
        let address = Address::Unix(path.clone());
        let listener = Listener::bind(&address).unwrap();
        assert!(Listener::bind(&address).is_err(), "it is listened on");
        drop(listener);
        assert!(!path.exists());
        fs::write(&path, "precious").unwrap();
        assert!(Listener::bind(&address).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
