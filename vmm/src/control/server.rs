//! The subscriber that serves a control socket on the event loop.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use observe::peer;
use protocol::{Refusal, RefusalKind};
use rustix::net::{SendFlags, send};
use rustix::process::geteuid;

use super::ControlTarget;
use super::answer::refuse;
use super::connection::Connection;
use super::socket::Socket;

/// Most connections at a time.
pub const CONNECTIONS_MAX: usize = 16;

/// Most connections that one event accepts.
const ACCEPTS_PER_EVENT: usize = 16;

/// The listening socket is watched by its edges: where the host is out of descriptors a connection stays pending, and a
/// level would wake the loop for it without end.
const LISTENER_EVENTS: EventSet = EventSet::IN.union(EventSet::EDGE_TRIGGERED);

/// Serves the control socket of one VM.
#[derive(Debug)]
pub struct Server<T> {
    socket: Socket,
    target: T,
    connections: HashMap<RawFd, Served>,
    /// Counts events, to tell which connection was silent for longest.
    clock: u64,
}

#[derive(Debug)]
struct Served {
    connection: Connection,
    last_event: u64,
    /// What the event loop waits for.
    interest: EventSet,
}

impl<T: ControlTarget> Server<T> {
    /// A server that starts when it is added to an event manager.
    pub fn new(socket: Socket, target: T) -> Self {
        Self { socket, target, connections: HashMap::new(), clock: 0 }
    }

    fn accept_waiting(&mut self, ops: &mut EventOps<'_>) {
        for _ in 0..ACCEPTS_PER_EVENT {
            match self.socket.accept() {
                Ok(Some(stream)) => self.admit(stream, ops),
                Ok(None) => return,
                // It stays pending until the next one comes.
                Err(error) => return tracing::warn!(%error, "control socket: no connection accepted"),
            }
        }
        // More may be waiting, and an edge is only told once: setting the same events again tells it again.
        if let Err(error) = ops.modify(Events::new(&self.socket, LISTENER_EVENTS)) {
            tracing::warn!(?error, "control socket: not watched any longer");
        }
    }

    /// Serves a connection of our own user or root; others are told once that they are refused.
    fn admit(&mut self, stream: UnixStream, ops: &mut EventOps<'_>) {
        match peer(&stream) {
            Ok(peer) if may_control(peer.uid, geteuid().as_raw()) => {}
            Ok(peer) => return turn_away(&stream, peer.uid),
            Err(error) => return tracing::warn!(%error, "control socket: a connection of an unknown user dropped"),
        }
        if self.connections.len() >= CONNECTIONS_MAX
            && let Some((&longest_silent, _)) = self.connections.iter().min_by_key(|(_, served)| served.last_event)
        {
            self.drop_connection(longest_silent, ops);
        }
        let connection = Connection::new(stream);
        let interest = connection.interest();
        match ops.add(Events::new(connection.stream(), interest)) {
            Ok(()) => {
                let served = Served { connection, last_event: self.clock, interest };
                self.connections.insert(served.connection.stream().as_raw_fd(), served);
            }
            Err(error) => tracing::warn!(?error, "control socket: a connection cannot be watched"),
        }
    }

    fn serve(&mut self, fd: RawFd, ops: &mut EventOps<'_>) {
        let Some(served) = self.connections.get_mut(&fd) else { return };
        served.last_event = self.clock;
        served.connection.advance(&self.target);
        if served.connection.is_closed() {
            return self.drop_connection(fd, ops);
        }
        let interest = served.connection.interest();
        if interest != served.interest {
            served.interest = interest;
            if ops.modify(Events::new(served.connection.stream(), interest)).is_err() {
                self.drop_connection(fd, ops);
            }
        }
    }

    /// Unwatched before it is closed: the number of a closed descriptor may be another one's at once.
    fn drop_connection(&mut self, fd: RawFd, ops: &mut EventOps<'_>) {
        if let Some(served) = self.connections.remove(&fd)
            && let Err(error) = ops.remove(Events::empty(served.connection.stream()))
        {
            tracing::warn!(?error, "control socket: a connection cannot be unwatched");
        }
    }
}

/// Whether a user may control a VM of `own_uid`: that user and root.
fn may_control(peer_uid: u32, own_uid: u32) -> bool {
    peer_uid == own_uid || peer_uid == 0
}

/// Tells a stranger once, if there is room, and gives it no place among the connections.
fn turn_away(stream: &UnixStream, uid: u32) {
    tracing::debug!(uid, "control socket: a user refused");
    let refusal = Refusal::new(RefusalKind::Denied, format!("user {uid} may not control this VM"));
    let _ = send(stream, &refuse(refusal), SendFlags::NOSIGNAL);
}

impl<T: ControlTarget> MutEventSubscriber for Server<T> {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        if let Err(error) = ops.add(Events::new(&self.socket, LISTENER_EVENTS)) {
            tracing::error!(?error, "control socket: cannot be watched");
        }
    }

    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        self.clock += 1;
        if events.fd() == self.socket.as_raw_fd() {
            self.accept_waiting(ops);
        } else {
            self.serve(events.fd(), ops);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::may_control;

    #[test]
    fn a_vm_obeys_its_user_and_root_and_nobody_else() {
        assert!(may_control(1000, 1000));
        assert!(may_control(0, 1000));
        assert!(!may_control(1001, 1000));
        assert!(!may_control(1000, 0), "not even a user whose own VMs root could control");
    }
}
