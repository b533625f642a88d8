//! A connection to the host service.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::service::{
    HostStatus, ServiceReply, ServiceRequest, VmStatus, decode_service_reply, encode_service_request,
};
use protocol::{DecodeError, EncodeError, Refusal, VmName};
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use serde_json::Value;

use crate::exchange::{Exchange, is_wait};

/// How long the service may take to answer: it decides about every VM between two answers, and its host may be busy.
const PATIENCE: Duration = Duration::from_secs(10);

/// A service that answers no request.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// there is none
    #[error("no host service listens on {0}; start one with `tmem host`, or name its --socket")]
    NotThere(PathBuf),
    /// its socket is not for us
    #[error("you may not talk to the host service on {0}: its socket is for its user and group")]
    Forbidden(PathBuf),
    /// no answer came in time
    #[error("the host service does not answer")]
    Silent,
    /// it refuses
    #[error("the host service refuses")]
    Refused(#[source] Refusal),
    /// its answer is not of the protocol
    #[error("the answer of the host service is not understood")]
    Answer(#[source] DecodeError),
    /// its answer is not one to this request
    #[error("the answer of the host service is not one to this request")]
    OtherAnswer,
    /// the request cannot be written
    #[error("the request cannot be written")]
    Request(#[from] EncodeError),
    /// the connection broke
    #[error("the connection to the host service broke")]
    Broken(#[source] io::Error),
}

/// A connection on which each request waits for its reply.
#[derive(Debug)]
pub struct Service(Exchange);

impl Service {
    /// Connects.
    pub fn open(socket: &Path) -> Result<Self, ServiceError> {
        let connected = SocketAddrUnix::new(socket).and_then(|address| Exchange::connect(&address, PATIENCE));
        connected.map(Self).map_err(|error| match error {
            Errno::NOENT | Errno::CONNREFUSED | Errno::NOTDIR => ServiceError::NotThere(socket.to_owned()),
            Errno::ACCESS | Errno::PERM => ServiceError::Forbidden(socket.to_owned()),
            Errno::WOULDBLOCK => ServiceError::Silent,
            error => ServiceError::Broken(error.into()),
        })
    }

    fn ask(&mut self, request: ServiceRequest) -> Result<ServiceReply, ServiceError> {
        let line = encode_service_request(request)?;
        let answer = self
            .0
            .exchange(&line)
            .map_err(|error| if is_wait(&error) { ServiceError::Silent } else { ServiceError::Broken(error) })?;
        match decode_service_reply(&answer) {
            Ok(ServiceReply::Error(refusal)) => Err(ServiceError::Refused(refusal)),
            Ok(reply) => Ok(reply),
            Err(source) => Err(ServiceError::Answer(source)),
        }
    }

    /// The host.
    pub fn host(&mut self) -> Result<HostStatus, ServiceError> {
        match self.ask(ServiceRequest::Host)? {
            ServiceReply::Host(host) => Ok(*host),
            _ => Err(ServiceError::OtherAnswer),
        }
    }

    /// All VMs that we may see, in the order of their names.
    pub fn vms(&mut self) -> Result<Vec<VmStatus>, ServiceError> {
        let mut vms: Vec<VmStatus> = Vec::new();
        loop {
            let after = vms.last().map(|vm| vm.name.clone());
            let ServiceReply::Vms(page) = self.ask(ServiceRequest::List { after })? else {
                return Err(ServiceError::OtherAnswer);
            };
            let is_last = !page.more || page.vms.is_empty();
            vms.extend(page.vms);
            if is_last {
                return Ok(vms);
            }
        }
    }

    /// What was last decided about a VM, and from what.
    pub fn explain(&mut self, vm: VmName) -> Result<Value, ServiceError> {
        match self.ask(ServiceRequest::Explain { vm })? {
            ServiceReply::Explained(decision) => Ok(decision),
            _ => Err(ServiceError::OtherAnswer),
        }
    }

    /// Sets a VM's weight; `None`: that of its class again.
    pub fn set_weight(&mut self, vm: VmName, weight: Option<u32>) -> Result<(), ServiceError> {
        match self.ask(ServiceRequest::SetWeight { vm, weight })? {
            ServiceReply::Done => Ok(()),
            _ => Err(ServiceError::OtherAnswer),
        }
    }
}
