//! A connection to a running VM.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use observe::{Peer, peer};
use protocol::{DecodeError, EncodeError, Refusal, Reply, Request, VmName, VmReport, decode_reply, encode_request};
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use rustix::process::{Pid, PidfdFlags, geteuid, pidfd_open};

use crate::exchange::{Exchange, is_wait};

/// A VM that answers no request.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// no VM of this name runs
    #[error("no VM named {0} runs")]
    NotRunning(VmName),
    /// the socket belongs to somebody who could have taken any name
    #[error("the socket of {name} belongs to user {uid}, who is neither you nor root")]
    Stranger {
        /// The VM that was meant.
        name: VmName,
        /// Who answered instead.
        uid: u32,
    },
    /// no answer came in time
    #[error("{0} does not answer")]
    Silent(VmName),
    /// the VM refuses
    #[error("{name} refuses")]
    Refused {
        /// The VM.
        name: VmName,
        /// Why.
        source: Refusal,
    },
    /// the VM's answer is not of the protocol
    #[error("the answer of {name} is not understood")]
    Answer {
        /// The VM.
        name: VmName,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// the VM's answer is not one to this request
    #[error("the answer of {0} is not one to this request")]
    OtherAnswer(VmName),
    /// the request cannot be written
    #[error("the request cannot be written")]
    Request(#[from] EncodeError),
    /// the VM's process cannot be waited for
    #[error("the process of {name} cannot be waited for")]
    Process {
        /// The VM.
        name: VmName,
        /// The host's error.
        source: io::Error,
    },
    /// the connection broke
    #[error("the connection to {name} broke")]
    Broken {
        /// The VM.
        name: VmName,
        /// The host's error.
        source: io::Error,
    },
}

/// A connection to one VM, on which each request waits for its reply.
#[derive(Debug)]
pub struct Connection {
    name: VmName,
    exchange: Exchange,
    pid: i32,
}

impl Connection {
    /// Connects to the VM of this name, and makes sure that it is ours or root's. Neither this nor a later request
    /// waits longer than `patience`.
    pub fn open(name: &VmName, patience: Duration) -> Result<Self, AskError> {
        let address = SocketAddrUnix::new_abstract_name(name.socket_name().as_bytes());
        let connected = address.and_then(|address| Exchange::connect(&address, patience));
        let exchange = connected.map_err(|error| match error {
            Errno::CONNREFUSED => AskError::NotRunning(name.clone()),
            Errno::WOULDBLOCK => AskError::Silent(name.clone()),
            error => AskError::Broken { name: name.clone(), source: error.into() },
        })?;
        let own = geteuid().as_raw();
        let Peer { uid, pid } =
            peer(exchange.stream()).map_err(|source| AskError::Broken { name: name.clone(), source })?;
        // Root may ask anybody's VM; what it answers is shown, and never obeyed.
        if uid != own && uid != 0 && own != 0 {
            return Err(AskError::Stranger { name: name.clone(), uid });
        }
        Ok(Self { name: name.clone(), exchange, pid })
    }

    /// Asks for the report.
    pub fn show(&mut self) -> Result<VmReport, AskError> {
        match self.ask(Request::Show)? {
            Reply::Show(report) => Ok(*report),
            _ => Err(AskError::OtherAnswer(self.name.clone())),
        }
    }

    /// Sends a request that is only ever done or refused.
    pub fn tell(&mut self, request: Request) -> Result<(), AskError> {
        match self.ask(request)? {
            Reply::Done => Ok(()),
            _ => Err(AskError::OtherAnswer(self.name.clone())),
        }
    }

    /// Drops ephemeral pages, and returns how many bytes came back.
    pub fn flush(&mut self, bytes: Option<u64>) -> Result<u64, AskError> {
        match self.ask(Request::Flush { bytes })? {
            Reply::Flushed { bytes } => Ok(bytes),
            _ => Err(AskError::OtherAnswer(self.name.clone())),
        }
    }

    /// The VM's process, to wait for its end (pidfd_open(2)). While the connection is open the process has not ended,
    /// so it is this one and no other that has come to its id.
    pub fn process(&self) -> Result<OwnedFd, AskError> {
        Pid::from_raw(self.pid)
            .ok_or(Errno::SRCH)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()))
            .map_err(|error| AskError::Process { name: self.name.clone(), source: error.into() })
    }

    fn ask(&mut self, request: Request) -> Result<Reply, AskError> {
        let line = encode_request(request)?;
        let answer = self.exchange.exchange(&line).map_err(|error| {
            if is_wait(&error) {
                AskError::Silent(self.name.clone())
            } else {
                AskError::Broken { name: self.name.clone(), source: error }
            }
        })?;
        match decode_reply(&answer) {
            Ok(Reply::Error(source)) => Err(AskError::Refused { name: self.name.clone(), source }),
            Ok(reply) => Ok(reply),
            Err(source) => Err(AskError::Answer { name: self.name.clone(), source }),
        }
    }
}
