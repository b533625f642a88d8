//! The host service: one process a machine, which leases memory to the stores of its VMs by the policy.
//!
//! ```text
//!  observe ──► engine ──► server ──► the VMs' processes
//!   kernel      laws       socket     keep to their lease
//! ```
//!
//! It holds no page of any guest, and may be killed at any moment: each VM keeps its last lease, and tells it to the
//! next service. One thread runs it all; a second one writes the decision log, if there is one, so that no disk delays a
//! decision.

mod engine;
mod journal;
mod logged;
mod metrics;
mod server;
mod settings;
mod signals;
mod watch;

pub use engine::{Admitted, Engine, InForce, Origin, SETTLE_MS};
pub use logged::LoggedDecision;
pub use metrics::{Address, AddressError};
pub use server::SocketError;
pub use settings::{PolicyError, judge_policy, read_policy, read_policy_for};

use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use event_manager::{EventManager, MutEventSubscriber, SubscriberOps};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::journal::Journal;
use self::metrics::Listener;
use self::server::{Outside, PolicySource, Server, Socket};
use self::signals::{Caught, Signals};
use self::watch::Watch;

/// How the service is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The policy: a file, or a folder; absent: the empty policy, which is all defaults.
    pub policy: Option<PathBuf>,
    /// Where to listen.
    pub socket: PathBuf,
    /// Where each decision is logged with its inputs, if anywhere.
    pub log: Option<PathBuf>,
    /// Where metrics are served, if anywhere.
    pub metrics: Option<Address>,
}

/// Why the service does not run, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// There is no socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The host lacks a resource.
    #[error("{what}")]
    Host {
        /// What was wanted.
        what: &'static str,
        /// What the host says.
        source: io::Error,
    },
    /// The decision log cannot be written.
    #[error("the decision log {path} cannot be opened")]
    Log {
        /// The file.
        path: PathBuf,
        /// What the host says.
        source: io::Error,
    },
    /// Metrics cannot be served.
    #[error("metrics cannot be served on {address}")]
    Metrics {
        /// The address.
        address: Address,
        /// What the host says.
        source: io::Error,
    },
    /// The event loop failed.
    #[error("the event loop failed")]
    EventLoop(#[from] event_manager::Error),
}

/// Runs the service until SIGTERM or SIGINT.
///
/// # Errors
///
/// [`Error`]; nothing is left behind then.
pub fn run(options: &Options) -> Result<(), Error> {
    let host = |what| move |source| Error::Host { what, source };
    let in_force = read_policy(options.policy.as_deref())?;
    let socket = Socket::bind(&options.socket)?;
    raise_file_limit();
    let journal = match &options.log {
        Some(path) => Some(Journal::start(path).map_err(|source| Error::Log { path: path.clone(), source })?),
        None => None,
    };
    let metrics = match &options.metrics {
        Some(address) => {
            let failed = |source| Error::Metrics { address: address.clone(), source };
            Some(Listener::bind(address).map_err(failed)?)
        }
        None => None,
    };
    let watch = options.policy.as_deref().map(Watch::start).transpose();
    let watch = watch.map_err(host("the policy's folder cannot be watched"))?;
    let caught = Rc::new(Caught::default());
    let signals = Signals::new(Rc::clone(&caught)).map_err(host("no signal handlers"))?;
    let policy = in_force.path.clone().unwrap_or_else(|| "the built-in one".to_owned());
    let source = options.policy.clone().zip(watch).map(|(path, watch)| PolicySource { path, watch });
    let outside = Outside { source, journal, metrics, caught: Rc::clone(&caught) };
    let server = Server::new(Engine::new(in_force, 0), socket, outside).map_err(host("no timer"))?;
    let mut events = EventManager::<Box<dyn MutEventSubscriber>>::new()?;
    events.add_subscriber(Box::new(server));
    events.add_subscriber(Box::new(signals));
    tracing::info!(socket = %options.socket.display(), policy, "the host service runs");
    while !caught.end.get() {
        events.run()?;
    }
    Ok(())
}

/// Each VM is a connection: as many files as the host lets us have.
fn raise_file_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        tracing::warn!(?current, "the limit of open files stays: there can be no more VMs than that");
    }
}
