//! One connection: bytes in, lines out; never waits, and holds no more than it must.
//!
//! ```text
//!  socket ──► inbox, one message at most ──► next_line
//!  socket ◄── outbox, one line at a time ◄── reply, or the newest lease
//! ```
//!
//! To a VM only the newest lease matters, so one that does not read costs the room of one line.

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;

use event_manager::EventSet;
use protocol::service::{Lease, REQUEST_MAX_BYTES, ServiceReply, encode_service_reply};
use protocol::{Refusal, RefusalKind, VmName};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use super::budget::Budget;
use crate::engine::Origin;

/// Most bytes that one event reads.
const CHUNK_BYTES: usize = REQUEST_MAX_BYTES;

/// What a connection is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It has said nothing yet.
    Unknown,
    /// It asks.
    Command,
    /// It is a VM's.
    Vm(VmName),
}

/// Why a connection is closed. Each kind is logged on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    /// More lines than anybody needs.
    Flood,
    /// A line longer than any request.
    TooLong,
    /// What is no request, or none that this connection may make.
    Malformed,
    /// A line that was begun and not ended.
    HalfMessage,
    /// What was sent is not read.
    NotReading,
    /// Nothing was said.
    Silent,
}

impl Fault {
    /// In words, for the log.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Flood => "it floods",
            Self::TooLong => "a line is too long",
            Self::Malformed => "what it says is no request that it may make",
            Self::HalfMessage => "it stopped in the middle of a line",
            Self::NotReading => "it does not read",
            Self::Silent => "it says nothing",
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    pub(super) origin: Origin,
    pub(super) role: Role,
    budget: Budget,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    sent: usize,
    lease_due: Option<Lease>,
    flush_due: u64,
    /// Nothing more is read, and the end comes when the outbox is empty.
    closing: bool,
    /// Since when the inbox holds the beginning of a line, and the outbox the rest of one.
    half_since_ms: Option<u64>,
    stuck_since_ms: Option<u64>,
    /// When it last said something.
    heard_ms: u64,
    /// What the event loop waits for.
    pub(super) interest: EventSet,
}

/// What came of reading.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Something, or nothing yet.
    Some,
    /// The other side has gone.
    End,
}

impl Connection {
    /// Of a non-blocking stream.
    pub(super) fn new(stream: UnixStream, origin: Origin, budget: Budget, now_ms: u64) -> Self {
        Self {
            stream,
            origin,
            role: Role::Unknown,
            budget,
            inbox: Vec::new(),
            outbox: Vec::new(),
            sent: 0,
            lease_due: None,
            flush_due: 0,
            closing: false,
            half_since_ms: None,
            stuck_since_ms: None,
            heard_ms: now_ms,
            interest: EventSet::IN,
        }
    }

    /// From now on so many lines a second are enough.
    pub(super) fn limit_lines(&mut self, per_second: u64, now_ms: u64) {
        self.budget = Budget::new(per_second, now_ms);
    }

    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// What to wait for.
    pub(super) fn wants(&self) -> EventSet {
        let out = if self.has_output() { EventSet::OUT } else { EventSet::empty() };
        let is_full = self.inbox.len() > REQUEST_MAX_BYTES;
        if self.closing || is_full || self.waits_to_answer() { out } else { out | EventSet::IN }
    }

    /// A command that does not read its answers is not heard; a VM's reports are.
    fn waits_to_answer(&self) -> bool {
        self.has_output() && !matches!(self.role, Role::Vm(_))
    }

    fn has_output(&self) -> bool {
        self.sent < self.outbox.len() || self.lease_due.is_some() || self.flush_due > 0
    }

    /// Whether all was said that there was to say.
    pub(super) fn is_over(&self) -> bool {
        self.closing && !self.has_output()
    }

    /// Reads once.
    pub(super) fn receive(&mut self, now_ms: u64) -> Received {
        let mut chunk = [0; CHUNK_BYTES];
        match self.stream.read(&mut chunk) {
            Ok(0) => return Received::End,
            Ok(count) => {
                self.inbox.extend_from_slice(&chunk[..count]);
                self.heard_ms = now_ms;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return Received::End,
        }
        Received::Some
    }

    /// The next whole line, if it may be answered now.
    pub(super) fn next_line(&mut self, now_ms: u64) -> Result<Option<Vec<u8>>, Fault> {
        if self.closing || self.waits_to_answer() {
            return Ok(None);
        }
        let Some(end) = self.inbox.iter().position(|byte| *byte == b'\n') else {
            if self.inbox.len() >= REQUEST_MAX_BYTES {
                return Err(Fault::TooLong);
            }
            self.half_since_ms = (!self.inbox.is_empty()).then(|| self.half_since_ms.unwrap_or(now_ms));
            return Ok(None);
        };
        self.half_since_ms = None;
        if end >= REQUEST_MAX_BYTES {
            return Err(Fault::TooLong);
        }
        if !self.budget.take(now_ms) {
            return Err(Fault::Flood);
        }
        let rest = self.inbox.split_off(end + 1);
        Ok(Some(std::mem::replace(&mut self.inbox, rest)))
    }

    /// Answers.
    pub(super) fn reply(&mut self, reply: ServiceReply) {
        let line = encode_service_reply(reply).or_else(|error| {
            encode_service_reply(ServiceReply::Error(Refusal::new(RefusalKind::Failed, error.to_string())))
        });
        // A short text can be expressed.
        self.outbox.extend(line.unwrap_or_default());
    }

    /// Tells a VM what holds from now on; an older lease that was not sent yet is not sent any more.
    pub(super) fn lease(&mut self, lease: Lease) {
        self.lease_due = Some(lease);
    }

    /// Tells a VM to evict.
    pub(super) fn flush(&mut self, bytes: u64) {
        self.flush_due = self.flush_due.saturating_add(bytes);
    }

    /// Says why, and ends the connection once that is sent.
    pub(super) fn close_with(&mut self, refusal: Refusal) {
        self.reply(ServiceReply::Error(refusal));
        self.closing = true;
    }

    /// Sends what there is room for. `false`: the other side has gone.
    pub(super) fn send(&mut self, now_ms: u64) -> bool {
        loop {
            if self.sent == self.outbox.len() && !self.fill_outbox() {
                self.stuck_since_ms = None;
                return true;
            }
            match send(&self.stream, &self.outbox[self.sent..], SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(count) => {
                    self.sent += count;
                    self.stuck_since_ms = None;
                }
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => {
                    self.stuck_since_ms.get_or_insert(now_ms);
                    return true;
                }
                Err(_) => return false,
            }
        }
    }

    /// Puts the next line into the empty outbox, if there is one.
    fn fill_outbox(&mut self) -> bool {
        self.outbox.clear();
        self.sent = 0;
        if let Some(lease) = self.lease_due.take() {
            self.reply(ServiceReply::Lease(lease));
        } else if self.flush_due > 0 {
            let bytes = std::mem::take(&mut self.flush_due);
            self.reply(ServiceReply::Flush { bytes });
        }
        !self.outbox.is_empty()
    }

    /// Whether it keeps us waiting for longer than anybody needs.
    pub(super) fn overdue(&self, now_ms: u64) -> Option<Fault> {
        const HALF_MS: u64 = 5_000;
        const STUCK_MS: u64 = 10_000;
        const UNKNOWN_MS: u64 = 5_000;
        const COMMAND_MS: u64 = 120_000;
        let since = |since: Option<u64>, most| since.is_some_and(|since| now_ms.saturating_sub(since) > most);
        if since(self.half_since_ms, HALF_MS) {
            return Some(Fault::HalfMessage);
        }
        if since(self.stuck_since_ms, STUCK_MS) {
            return Some(Fault::NotReading);
        }
        let silent = match self.role {
            Role::Unknown => since(Some(self.heard_ms), UNKNOWN_MS),
            Role::Command => since(Some(self.heard_ms), COMMAND_MS),
            // A VM whose process stands still is a VM; its counts get stale, which the laws know of.
            Role::Vm(_) => false,
        };
        silent.then_some(Fault::Silent)
    }
}
