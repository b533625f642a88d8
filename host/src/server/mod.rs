//! The socket of the service, on an event loop: VMs and commands come in, leases go out.
//!
//! Nobody can make another wait. Nothing here blocks; an event reads a bounded number of bytes and answers the lines in
//! them; a connection that floods, stops in the middle of a line, does not read, or says nothing is closed; connections are
//! bounded in all, and for each user. The timer that decides is one of the events.

mod answer;
mod budget;
mod connection;
mod incident;
mod socket;

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use observe::{Cgroup, Groups, HostFiles, Peer, peer, resident_bytes};
use policy::law::observation::HostObservation;
use protocol::service::{Registration, ServiceReply, ServiceRequest, decode_service_request};
use protocol::{Refusal, RefusalKind, VmName};
use rustix::process::geteuid;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use self::answer::{Caller, answer};
use self::budget::Budget;
use self::connection::{Connection, Fault, Received, Role};
use self::incident::Incidents;
pub(crate) use self::socket::Socket;
pub use self::socket::SocketError;
use crate::engine::{Engine, Objection, Origin};
use crate::journal::Journal;
use crate::metrics::{Listener, Snapshot};
use crate::settings::read_policy;
use crate::signals::Caught;
use crate::watch::Watch;

/// Most connections.
const CONNECTIONS_MAX: usize = 4096;

/// Of these so many are kept for root and the service's own user, so that a full house can be looked at.
const CONNECTIONS_KEPT: usize = 64;

/// Most connections of another user.
const CONNECTIONS_OF_A_USER: usize = 1024;

/// Lines a second from a VM: one is asked for each interval, of which there are ten a second at most.
const VM_LINES: u64 = 20;

/// Lines a second from a command of another user: `tmem top` asks for the host and a page of VMs in each, and there are 64
/// pages of VMs for as many as its user may have.
const USER_LINES: u64 = 100;

/// Lines a second from a command of root or the service's own user.
const OPERATOR_LINES: u64 = 1000;

/// Most commands of another user at a time. Each has its own budget of lines.
const COMMANDS_OF_A_USER: usize = 32;

/// Most connections that one event accepts.
pub(crate) const ACCEPTS_PER_EVENT: usize = 32;

/// VMs whose processes and control groups are looked at in an interval.
const PROCESSES_PER_DECISION: usize = 64;

/// The listening socket is watched by its edges: where the host is out of descriptors a connection stays pending, and a
/// level would wake the loop for it without end.
pub(crate) const LISTENER_EVENTS: EventSet = EventSet::IN.union(EventSet::EDGE_TRIGGERED);

/// What the service works with beside its socket.
#[derive(Debug)]
pub(crate) struct Outside {
    /// Where the policy comes from; absent: the built-in one.
    pub source: Option<PolicySource>,
    /// The decision log.
    pub journal: Option<Journal>,
    /// Whoever serves metrics.
    pub metrics: Option<Listener>,
    /// What signals asked for.
    pub caught: Rc<Caught>,
}

/// The policy's files, and whoever tells when they change.
#[derive(Debug)]
pub(crate) struct PolicySource {
    pub path: PathBuf,
    pub watch: Watch,
}

/// The service on its event loop.
#[derive(Debug)]
pub(crate) struct Server {
    engine: Engine,
    socket: Socket,
    timer: OwnedFd,
    host: HostFiles,
    began: Instant,
    outside: Outside,
    reloads_failed: u64,
    connections: HashMap<RawFd, Connection>,
    vms: HashMap<VmName, RawFd>,
    incidents: Incidents,
}

impl Server {
    /// A service that begins when it is added to an event manager. `engine` is to have been made at the time 0.
    ///
    /// # Errors
    ///
    /// Where the kernel gives no timer.
    pub fn new(engine: Engine, socket: Socket, outside: Outside) -> std::io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let (connections, vms) = (HashMap::new(), HashMap::new());
        let (host, began, incidents) = (HostFiles::default(), Instant::now(), Incidents::default());
        let reloads_failed = 0;
        let server = Self { engine, socket, timer, host, began, outside, reloads_failed, connections, vms, incidents };
        server.set_timer()?;
        Ok(server)
    }

    fn set_timer(&self) -> std::io::Result<()> {
        let interval =
            Timespec::try_from(self.engine.in_force().policy.interval.duration()).map_err(std::io::Error::other)?;
        let times = Itimerspec { it_interval: interval, it_value: interval };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &times)?;
        Ok(())
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn observe(&mut self) -> Option<HostObservation> {
        let now_ms = self.now_ms();
        match self.host.observe(now_ms) {
            Ok(host) => Some(host),
            Err(error) => {
                if let Some(untold) = self.incidents.note("host not observed", now_ms) {
                    tracing::error!(%error, untold, "the host cannot be observed: leases stay as they are");
                }
                None
            }
        }
    }

    /// An interval has passed.
    fn tick(&mut self, ops: &mut EventOps<'_>) {
        // How often it expired does not matter: what is due is one decision.
        let mut expired = [0; 8];
        let _ = rustix::io::read(&self.timer, &mut expired);
        self.close_overdue(ops);
        let now_ms = self.now_ms();
        if let Some(metrics) = &mut self.outside.metrics {
            metrics.close_overdue(now_ms, ops);
        }
        self.reload_if_changed();
        let mut groups = Groups::default();
        self.engine.look_at_processes(PROCESSES_PER_DECISION, resident_bytes, |group| groups.room_bytes(group));
        let Some(host) = self.observe() else { return };
        let was = self.engine.level();
        let changed = self.engine.decide(host);
        let level = self.engine.level();
        if level != was {
            tracing::info!(?was, now = ?level, available_bytes = host.available_bytes, "the host's state changed");
        }
        if let Some(journal) = &mut self.outside.journal
            && let Some(line) = self.engine.log_line(unix_ms())
            && !journal.write(line)
            && let Some(untold) = self.incidents.note("a decision not logged", host.now_ms)
        {
            tracing::warn!(untold, "a decision is not in the log: its disk is too slow");
        }
        for (name, lease) in changed {
            let Some(fd) = self.vms.get(&name).copied() else { continue };
            if let Some(connection) = self.connections.get_mut(&fd) {
                connection.lease(lease);
            }
            self.push(fd, ops);
        }
    }

    /// Puts the policy that is on the disk now in force, if it changed and is valid. Else the last good one stays. Once an
    /// interval, so that a file that changes all the time costs no more than that.
    fn reload_if_changed(&mut self) {
        let Some(source) = &mut self.outside.source else { return };
        let asked = self.outside.caught.reload.take();
        if !source.watch.take() && !asked {
            return;
        }
        let outcome = match read_policy(Some(&source.path)) {
            Ok(found) if found.sha256 == self.engine.in_force().sha256 => Ok(false),
            Ok(found) => self.engine.change_policy(found.policy, found.sha256).map(|()| true).map_err(Objection::from),
            Err(error) => Err(Objection::of_files(&error)),
        };
        let error = match outcome {
            Ok(is_new) => {
                if is_new {
                    let generation = self.engine.in_force().generation;
                    tracing::info!(generation, "another policy is in force");
                    if let Err(error) = self.set_timer() {
                        tracing::error!(%error, "the interval stays as it was");
                    }
                }
                None
            }
            Err(error) => {
                self.reloads_failed += 1;
                Some(error)
            }
        };
        if self.engine.note_policy_error(error.clone())
            && let Some(error) = error
        {
            tracing::warn!(
                error = error.to(true),
                "the policy on the disk is not put in force; the last good one stays"
            );
        }
    }

    fn close_overdue(&mut self, ops: &mut EventOps<'_>) {
        let now_ms = self.now_ms();
        let overdue: Vec<(RawFd, Fault)> =
            self.connections.iter().filter_map(|(fd, one)| Some((*fd, one.overdue(now_ms)?))).collect();
        for (fd, fault) in overdue {
            self.blame(fd, fault);
            self.drop_connection(fd, ops);
        }
    }

    /// A descriptor of the metrics' listener is ready.
    fn scrape(&mut self, fd: RawFd, ops: &mut EventOps<'_>) {
        let now_ms = self.now_ms();
        let Self { engine, outside, incidents, connections, reloads_failed, .. } = self;
        let text = || {
            let snapshot = Snapshot {
                host: engine.host(true, now_ms),
                vms: engine.statuses(now_ms),
                interval_ms: engine.in_force().policy.interval.as_ms(),
                connections: connections.len() as u64,
                incidents: incidents.counts(),
                reloads_failed: *reloads_failed,
            };
            snapshot.text()
        };
        if let Some(metrics) = &mut outside.metrics {
            metrics.serve(fd, now_ms, text, ops);
        }
    }

    fn accept_waiting(&mut self, ops: &mut EventOps<'_>) {
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

    /// A connection can be read, or written to again.
    fn serve(&mut self, fd: RawFd, events: EventSet, ops: &mut EventOps<'_>) {
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
    fn blame(&mut self, fd: RawFd, fault: Fault) {
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
    fn push(&mut self, fd: RawFd, ops: &mut EventOps<'_>) {
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
    fn drop_connection(&mut self, fd: RawFd, ops: &mut EventOps<'_>) {
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

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Whether a user may see and change everything: root and the service's own.
fn is_operator(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}

impl MutEventSubscriber for Server {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        let watched = ops
            .add(Events::new(&self.socket, LISTENER_EVENTS))
            .and_then(|()| ops.add(Events::new(&self.timer, EventSet::IN)))
            .and_then(|()| match &self.outside.metrics {
                Some(metrics) => ops.add(Events::new(metrics, LISTENER_EVENTS)),
                None => Ok(()),
            });
        if let Err(error) = watched {
            tracing::error!(?error, "the socket or the timer cannot be watched");
        }
    }

    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        match events.fd() {
            fd if fd == self.socket.as_raw_fd() => self.accept_waiting(ops),
            fd if fd == self.timer.as_raw_fd() => self.tick(ops),
            fd if self.outside.metrics.as_ref().is_some_and(|metrics| metrics.owns(fd)) => self.scrape(fd, ops),
            fd => self.serve(fd, events.event_set(), ops),
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
