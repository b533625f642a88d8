//! What is said on a connection, and what comes of it.

use std::os::fd::RawFd;

use event_manager::{EventOps, EventSet, Events};
use observe::resident_bytes;
use protocol::service::{Registration, ServiceReply, ServiceRequest, decode_service_request};
use protocol::{Refusal, RefusalKind, VmName};

use super::answer::{Caller, answer};
use super::connection::{Connection, Fault, Received, Role};
use super::{Server, is_operator};
use crate::engine::Origin;

/// Lines a second from a VM: one is asked for each interval, of which there are ten a second at most.
const VM_LINES: u64 = 20;

/// Most commands of another user at a time. Each has its own budget of lines.
const COMMANDS_OF_A_USER: usize = 32;

impl Server {
    /// A connection can be read, or written to again.
    pub(super) fn serve(&mut self, fd: RawFd, events: EventSet, ops: &mut EventOps<'_>) {
        let now_ms = self.now_ms();
        let Some(connection) = self.connections.get_mut(&fd) else { return };
        let may_read = connection.wants().contains(EventSet::IN);
        if may_read && connection.receive(now_ms) == Received::End {
            return self.drop_connection(fd, ops);
        }
        // A VM that has ended is told by this alone where nothing is read.
        if !may_read && events.intersects(EventSet::HANG_UP | EventSet::ERROR) {
            return self.drop_connection(fd, ops);
        }
        loop {
            // First, for a line behind one whose answer was waited for is heard once that is sent: nothing else wakes us for it.
            self.push(fd, ops);
            let Some(connection) = self.connections.get_mut(&fd) else { return };
            match connection.next_line(now_ms) {
                Ok(Some(line)) => self.hear(fd, &line, now_ms, ops),
                Ok(None) => return,
                Err(fault) => {
                    self.blame(fd, fault);
                    return self.drop_connection(fd, ops);
                }
            }
        }
    }

    /// Does what a line asks for.
    fn hear(&mut self, fd: RawFd, line: &[u8], now_ms: u64, ops: &mut EventOps<'_>) {
        let request = match decode_service_request(line) {
            Ok(request) => request,
            Err(error) => {
                self.blame(fd, Fault::Malformed);
                return self.refuse(fd, Refusal::from(&error));
            }
        };
        let Some(connection) = self.connections.get_mut(&fd) else { return };
        match (&connection.role, request) {
            (Role::Vm(name), ServiceRequest::Report(counts)) => {
                let exaggerates = self.engine.count(name, counts, now_ms);
                if exaggerates && let Some(untold) = self.incidents.note("counts not believed", now_ms) {
                    let uid = connection.origin.uid;
                    tracing::warn!(%name, uid, untold, "a VM says to hold more than it can; it is not believed");
                }
            }
            (Role::Vm(_), _) => {
                self.blame(fd, Fault::Malformed);
                self.refuse(fd, Refusal::new(RefusalKind::Malformed, "a VM's connection carries reports alone"));
            }
            (Role::Unknown, ServiceRequest::Register(registration)) => self.register(fd, registration, ops),
            (Role::Unknown, request) => {
                let uid = connection.origin.uid;
                let is_command = |one: &&Connection| one.origin.uid == uid && one.role == Role::Command;
                let commands = self.connections.values().filter(is_command).count();
                if !is_operator(uid) && commands >= COMMANDS_OF_A_USER {
                    let message = format!("user {uid} has {commands} commands here already; ask again in a moment");
                    return self.refuse(fd, Refusal::new(RefusalKind::Failed, message));
                }
                self.answer(fd, &request, now_ms);
            }
            (Role::Command, request) => self.answer(fd, &request, now_ms),
        }
    }

    fn answer(&mut self, fd: RawFd, request: &ServiceRequest, now_ms: u64) {
        let Some(connection) = self.connections.get_mut(&fd) else { return };
        connection.role = Role::Command;
        let uid = connection.origin.uid;
        connection.reply(answer(&mut self.engine, Caller { uid, is_operator: is_operator(uid) }, request, now_ms));
    }

    fn register(&mut self, fd: RawFd, registration: Registration, ops: &mut EventOps<'_>) {
        let Some(host) = self.observe() else {
            return self.refuse(fd, Refusal::new(RefusalKind::Failed, "the host cannot be observed"));
        };
        let Some(connection) = self.connections.get_mut(&fd) else { return };
        let name = registration.name.clone();
        match self.engine.register(connection.origin.clone(), registration, host, resident_bytes) {
            Ok(admitted) => {
                connection.role = Role::Vm(name.clone());
                connection.limit_lines(VM_LINES, host.now_ms);
                connection.reply(ServiceReply::Registered { lease: admitted.lease, store: admitted.store });
                tracing::debug!(%name, uid = connection.origin.uid, "a VM registered");
                self.vms.insert(name, fd);
                self.flush(admitted.flush, ops);
            }
            Err(refusal) => {
                let uid = connection.origin.uid;
                if let Some(untold) = self.incidents.note("a VM not let in", host.now_ms) {
                    tracing::warn!(%name, uid, untold, %refusal, "a VM not let in");
                }
                self.refuse(fd, refusal);
            }
        }
    }

    /// Has VMs evict so much each.
    fn flush(&mut self, shares: Vec<(VmName, u64)>, ops: &mut EventOps<'_>) {
        for (name, bytes) in shares {
            let Some(fd) = self.vms.get(&name).copied() else { continue };
            if let Some(connection) = self.connections.get_mut(&fd) {
                connection.flush(bytes);
            }
            self.push(fd, ops);
        }
    }

    fn refuse(&mut self, fd: RawFd, refusal: Refusal) {
        if let Some(connection) = self.connections.get_mut(&fd) {
            connection.close_with(refusal);
        }
    }

    /// Logs what a connection did, unless its kind was just logged.
    pub(super) fn blame(&mut self, fd: RawFd, fault: Fault) {
        let now_ms = self.now_ms();
        let Some(connection) = self.connections.get(&fd) else { return };
        if fault == Fault::Silent {
            return tracing::debug!(role = ?connection.role, "a connection is closed: {}", fault.name());
        }
        if let Some(untold) = self.incidents.note(fault.name(), now_ms) {
            let Origin { uid, pid, .. } = &connection.origin;
            tracing::warn!(uid, pid, role = ?connection.role, untold, "a connection is closed: {}", fault.name());
        }
    }

    /// Sends what is due, and waits for what is left.
    pub(super) fn push(&mut self, fd: RawFd, ops: &mut EventOps<'_>) {
        let now_ms = self.now_ms();
        let Some(connection) = self.connections.get_mut(&fd) else { return };
        if !connection.send(now_ms) || connection.is_over() {
            return self.drop_connection(fd, ops);
        }
        let wants = connection.wants();
        if wants != connection.interest {
            connection.interest = wants;
            if ops.modify(Events::new(connection.stream(), wants)).is_err() {
                self.drop_connection(fd, ops);
            }
        }
    }

    /// Unwatched before it is closed: the number of a closed descriptor may be another one's at once.
    pub(super) fn drop_connection(&mut self, fd: RawFd, ops: &mut EventOps<'_>) {
        let Some(connection) = self.connections.remove(&fd) else { return };
        if let Err(error) = ops.remove(Events::empty(connection.stream())) {
            tracing::warn!(?error, "a connection cannot be unwatched");
        }
        if let Role::Vm(name) = &connection.role {
            self.vms.remove(name);
            self.engine.leave(name, self.now_ms());
            tracing::debug!(%name, "a VM left");
        }
    }
}
