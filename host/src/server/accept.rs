//! Connections that come in.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use event_manager::{EventOps, Events};
use observe::{Cgroup, Peer, peer};

use super::budget::Budget;
use super::connection::Connection;
use super::{ACCEPTS_PER_EVENT, LISTENER_EVENTS, Server, is_operator};
use crate::engine::Origin;

/// Most connections.
const CONNECTIONS_MAX: usize = 4096;

/// Of these so many are kept for root and the service's own user, so that a full house can be looked at.
const CONNECTIONS_KEPT: usize = 64;

/// Most connections of another user.
const CONNECTIONS_OF_A_USER: usize = 1024;

/// Lines a second from a command of another user: `tmem top` asks for the host and a page of VMs in each, and there are 64
/// pages of VMs for as many as its user may have.
const USER_LINES: u64 = 100;

/// Lines a second from a command of root or the service's own user.
const OPERATOR_LINES: u64 = 1000;

impl Server {
    pub(super) fn accept_waiting(&mut self, ops: &mut EventOps<'_>) {
        for _ in 0..ACCEPTS_PER_EVENT {
            match self.socket.accept() {
                Ok(Some(stream)) => self.admit(stream, ops),
                Ok(None) => return,
                // It stays pending until the next one comes.
                Err(error) => {
                    if let Some(untold) = self.incidents.note("no connection accepted", self.now_ms()) {
                        tracing::warn!(%error, untold, "no connection accepted");
                    }
                    return;
                }
            }
        }
        // More may be waiting, and an edge is only told once: setting the same events again tells it again.
        if let Err(error) = ops.modify(Events::new(&self.socket, LISTENER_EVENTS)) {
            tracing::error!(?error, "the socket is not watched any longer");
        }
    }

    fn admit(&mut self, stream: UnixStream, ops: &mut EventOps<'_>) {
        let now_ms = self.now_ms();
        let Ok(Peer { uid, pid }) = peer(&stream) else { return };
        let is_operator = is_operator(uid);
        let of_user = self.connections.values().filter(|one| one.origin.uid == uid).count();
        let room = if is_operator { CONNECTIONS_MAX } else { CONNECTIONS_MAX - CONNECTIONS_KEPT };
        if self.connections.len() >= room || (!is_operator && of_user >= CONNECTIONS_OF_A_USER) {
            if let Some(untold) = self.incidents.note("too many connections", now_ms) {
                tracing::warn!(uid, of_user, all = self.connections.len(), untold, "a connection refused: too many");
            }
            return;
        }
        let origin = Origin { uid, pid, cgroup: Cgroup::of(pid) };
        let lines = if is_operator { OPERATOR_LINES } else { USER_LINES };
        let connection = Connection::new(stream, origin, Budget::new(lines, now_ms), now_ms);
        match ops.add(Events::new(connection.stream(), connection.interest)) {
            Ok(()) => {
                self.connections.insert(connection.stream().as_raw_fd(), connection);
            }
            Err(error) => tracing::warn!(?error, "a connection cannot be watched"),
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::service::VMS_PER_PAGE;

    use super::*;

    #[test]
    fn a_user_may_look_at_all_of_its_vms_once_a_second() {
        let lines = 1 + CONNECTIONS_OF_A_USER.div_ceil(VMS_PER_PAGE);
        let mut budget = Budget::new(USER_LINES, 0);
        assert!((0..10).all(|second| (0..lines).all(|_| budget.take(second * 1000))));
    }
}
