//! The socket of the service, on an event loop: VMs and commands come in, leases go out.
//!
//! Nobody can make another wait. Nothing here blocks; an event reads a bounded number of bytes and answers the lines in
//! them; a connection that floods, stops in the middle of a line, does not read, or says nothing is closed; connections are
//! bounded in all, and for each user. The timer that decides is one of the events.

mod accept;
mod answer;
mod budget;
mod connection;
mod incident;
mod interval;
mod reload;
mod socket;
mod talk;

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Instant;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use observe::HostFiles;
use policy::law::observation::HostObservation;
use protocol::VmName;
use rustix::process::geteuid;
use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

use self::connection::Connection;
use self::incident::Incidents;
pub(crate) use self::reload::PolicySource;
pub(crate) use self::socket::Socket;
pub use self::socket::SocketError;
use crate::engine::Engine;
use crate::journal::Journal;
use crate::metrics::{Listener, Snapshot};
use crate::signals::Caught;

/// Most connections that one event accepts.
pub(crate) const ACCEPTS_PER_EVENT: usize = 32;

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
