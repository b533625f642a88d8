//! As much of HTTP/1.1 as a scrape needs: `GET /metrics`, answered once, then closed.
//!
//! By hand, because that is all of it: there is one resource, no body comes in, and a server library would bring threads
//! or a runtime of its own beside the event loop.

use std::os::fd::OwnedFd;

use rustix::io::{Errno, read};
use rustix::net::{SendFlags, send};

/// Longest request in bytes, its headers included.
const REQUEST_MAX_BYTES: usize = 8192;

/// A request that comes in, or its answer that goes out.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) stream: OwnedFd,
    request: Vec<u8>,
    pub(super) answer: Vec<u8>,
    sent: usize,
    pub(super) began_ms: u64,
}

impl Scrape {
    /// Of a non-blocking stream.
    pub(super) fn new(stream: OwnedFd, began_ms: u64) -> Self {
        Self { stream, request: Vec::new(), answer: Vec::new(), sent: 0, began_ms }
    }

    /// One read or one write. Returns whether it is over.
    pub(super) fn advance(&mut self, text: impl FnOnce() -> String) -> Result<bool, Errno> {
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
