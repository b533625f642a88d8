//! One connection, as a state machine that is pushed by readiness and never waits.
//!
//! ```text
//!             a line is complete: answered            all sent
//! Receiving ────────────────────────────► Sending ─────────────► Receiving, or closed where no line
//!     │  end of input, or an error           │ an error           boundary could be found again
//!     └───────────────► closed ◄─────────────┘
//! ```

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;

use event_manager::EventSet;
use protocol::{DecodeError, MESSAGE_MAX_BYTES, Refusal};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use super::ControlTarget;
use super::answer::{answer, refuse};

/// Most bytes that one event reads.
const CHUNK_BYTES: usize = 4096;

/// A client's connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Collecting a line. What is here can be more than one line where a client does not wait for replies.
    Receiving { buffer: Vec<u8> },
    /// A reply is on its way; nothing is read meanwhile.
    Sending { reply: Vec<u8>, sent: usize, then: Then },
    /// Nothing more will come of it.
    Closed,
}

#[derive(Debug)]
enum Then {
    /// Receive on; these bytes came behind the request.
    Receive(Vec<u8>),
    Close,
}

impl Connection {
    /// Of a non-blocking stream.
    pub fn new(stream: UnixStream) -> Self {
        Self { stream, state: State::Receiving { buffer: Vec::new() } }
    }

    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// What to wait for. A line that is here already waits for room for its reply, not for more input.
    pub fn interest(&self) -> EventSet {
        match &self.state {
            State::Receiving { buffer } if !has_line(buffer) => EventSet::IN,
            _ => EventSet::OUT,
        }
    }

    /// Goes on as far as possible without waiting: at most one read, one request and one write.
    pub fn advance(&mut self, target: &impl ControlTarget) {
        let state = std::mem::replace(&mut self.state, State::Closed);
        let state = state.receive(&mut self.stream, target);
        self.state = state.send(&self.stream);
    }
}

impl State {
    /// Takes what arrived, unless a request is here already or a reply is on its way, and answers the first request.
    fn receive(self, stream: &mut UnixStream, target: &impl ControlTarget) -> Self {
        let Self::Receiving { mut buffer } = self else { return self };
        if !has_line(&buffer) {
            let mut chunk = [0; CHUNK_BYTES];
            match stream.read(&mut chunk) {
                Ok(0) => return Self::Closed,
                Ok(count) => buffer.extend_from_slice(&chunk[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => return Self::Closed,
            }
        }
        respond(buffer, target)
    }

    /// Sends what there is room for.
    fn send(self, stream: &UnixStream) -> Self {
        let Self::Sending { reply, mut sent, then } = self else { return self };
        match send(stream, &reply[sent..], SendFlags::NOSIGNAL) {
            Ok(count) => sent += count,
            Err(Errno::WOULDBLOCK | Errno::INTR) => {}
            Err(_) => return Self::Closed,
        }
        match then {
            then if sent < reply.len() => Self::Sending { reply, sent, then },
            Then::Receive(buffer) => Self::Receiving { buffer },
            Then::Close => Self::Closed,
        }
    }
}

fn has_line(buffer: &[u8]) -> bool {
    buffer.contains(&b'\n')
}

/// Answers the first line, if it is complete. One that grows too long is answered before it is, and ends the
/// connection, as its end is not waited for.
fn respond(mut buffer: Vec<u8>, target: &impl ControlTarget) -> State {
    match buffer.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let rest = buffer.split_off(end + 1);
            State::Sending { reply: answer(&buffer, target), sent: 0, then: Then::Receive(rest) }
        }
        None if buffer.len() > MESSAGE_MAX_BYTES => {
            let reply = refuse(Refusal::from(&DecodeError::TooLong));
            State::Sending { reply, sent: 0, then: Then::Close }
        }
        None => State::Receiving { buffer },
    }
}
