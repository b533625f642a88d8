//! As much of HTTP/1.1 as a scrape needs: `GET /metrics`, answered once, then closed.
//!
//! By hand, because that is all of it: there is one resource, no body comes in, and a server library would bring threads
//! or a runtime of its own beside the event loop.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use event_manager::{EventOps, EventSet, Events};
use rustix::io::{Errno, read};
use rustix::net::{SendFlags, SocketFlags, accept_with, send};

use crate::server::{ACCEPTS_PER_EVENT, LISTENER_EVENTS};

/// Longest request in bytes, its headers included.
const REQUEST_MAX_BYTES: usize = 8192;

/// Most scrapes at a time; each holds the text of its answer.
const SCRAPES_MAX: usize = 8;

/// How long a scrape may take in all.
const PATIENCE_MS: u64 = 10_000;

/// Where metrics are served: loopback, or a Unix socket. Who may see every VM is not for the network to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address of this host's loopback.
    Loopback(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Why a text is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// it is neither an address with a port nor a path
    #[error("{0:?} is no address; write 127.0.0.1:9464, [::1]:9464 or unix:/run/tmem/metrics.sock")]
    Form(String),
    /// it is not of this host alone
    #[error("{0} is no loopback address; a proxy in front of 127.0.0.1 can decide who may see metrics")]
    NotLoopback(IpAddr),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        let address: SocketAddr = text.parse().map_err(|_| AddressError::Form(text.to_owned()))?;
        if address.ip().is_loopback() {
            Ok(Self::Loopback(address))
        } else {
            Err(AddressError::NotLoopback(address.ip()))
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A request that comes in, or its answer that goes out.
#[derive(Debug)]
struct Scrape {
    stream: OwnedFd,
    request: Vec<u8>,
    answer: Vec<u8>,
    sent: usize,
    began_ms: u64,
}

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
            let scrape = Scrape { stream, request: Vec::new(), answer: Vec::new(), sent: 0, began_ms: now_ms };
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

impl Scrape {
    /// One read or one write. Returns whether it is over.
    fn advance(&mut self, text: impl FnOnce() -> String) -> Result<bool, Errno> {
        if self.answer.is_empty() {
            let mut chunk = [0; 2048];
            let count = read(&self.stream, &mut chunk)?;
            if count == 0 {
                return Ok(true);
            }
            self.request.extend_from_slice(&chunk[..count]);
            let is_whole = self.request.windows(4).any(|end| end == b"\r\n\r\n");
            if is_whole {
                self.answer = answer(&self.request, text);
            } else if self.request.len() > REQUEST_MAX_BYTES {
                self.answer = refusal("431 Request Header Fields Too Large");
            }
            return Ok(false);
        }
        self.sent += send(&self.stream, &self.answer[self.sent..], SendFlags::NOSIGNAL)?;
        Ok(self.sent == self.answer.len())
    }
}

/// The answer to a request whose headers are whole.
fn answer(request: &[u8], text: impl FnOnce() -> String) -> Vec<u8> {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next(), words.next().unwrap_or_default(), words.next());
    if !version.is_some_and(|version| version.starts_with(b"HTTP/1.")) || words.next().is_some() {
        return refusal("400 Bad Request");
    }
    let path = target.split(|byte| *byte == b'?').next();
    match (method, path) {
        (Some(b"GET"), Some(b"/metrics")) => {
            let body = text();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            [head.into_bytes(), body.into_bytes()].concat()
        }
        (Some(b"GET"), _) => refusal("404 Not Found"),
        _ => refusal("405 Method Not Allowed"),
    }
}

fn refusal(status: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_stay_on_the_host() {
        assert_eq!("127.0.0.1:9464".parse(), Ok(Address::Loopback("127.0.0.1:9464".parse().unwrap())));
        assert!("[::1]:9464".parse::<Address>().is_ok());
        assert_eq!("unix:/run/m.sock".parse(), Ok(Address::Unix("/run/m.sock".into())));
        let message = |text: &str| text.parse::<Address>().unwrap_err().to_string();
        assert!(message("0.0.0.0:9464").contains("is no loopback address"));
        assert!(message("[2001:db8::1]:1").contains("is no loopback address"));
        for text in ["", "9464", "localhost:9464", "unix:", "/run/m.sock"] {
            assert!(message(text).contains("is no address; write 127.0.0.1:9464"), "{text}");
        }
    }

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

    #[test]
    fn one_resource_is_there_and_one_method() {
        let status = |request: &str| {
            let answer = String::from_utf8(answer(request.as_bytes(), || "# EOF\n".into())).unwrap();
            answer.split("\r\n").next().unwrap().to_owned()
        };
        for (request, wanted) in [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK"),
            ("GET /metrics?name[]=a HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK"),
            ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found"),
            ("GET /metrics/../x HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed"),
            ("GET /metrics\r\n\r\n", "HTTP/1.1 400 Bad Request"),
            ("\0\u{fffd}\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        ] {
            assert_eq!(status(request), wanted, "{request:?}");
        }
        let whole = answer(b"GET /metrics HTTP/1.1\r\n\r\n", || "# EOF\n".into());
        assert!(whole.ends_with(b"Content-Length: 6\r\nConnection: close\r\n\r\n# EOF\n"));
    }
}
