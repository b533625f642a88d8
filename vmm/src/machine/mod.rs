//! A whole machine: put together from its configuration, run until the guest ends, taken apart again.

mod assemble;
mod background;
mod lifecycle;
mod recording;
mod signals;
mod status;

use crate::arch::x86_64::boot::BootError;
use crate::config::{Console, Policy, ShareConfig, TmemConfig, VmConfig};
use crate::console::Stdin;
use crate::control::{BindError, Server, Socket};
use crate::devices::RangeError;
use crate::memory::MemoryError;
use crate::share::{Governor, Governs, LocalPolicy, LocalVm, ServiceLink, Share, StartError, StoreDefaults};
use crate::vcpu::VcpuError;
use crate::vm::{VmError, open_kvm};
use assemble::Machine;
use background::Background;
use event_manager::{EventManager, MutEventSubscriber, SubscriberOps};
use lifecycle::Lifecycle;
use protocol::ShareSource;
use signals::Signals;
use status::Status;
use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tmem::{Client, StoreError};
use trace::RecordedClient;

/// How long the end of a run waits for a slow reader of the console.
const CONSOLE_PATIENCE: Duration = Duration::from_secs(2);

/// How a guest's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The guest shut down.
    Shutdown,
    /// The guest asked for a reboot.
    Reboot,
    /// The guest's kernel panicked.
    Panic,
    /// The guest's processor gave up on a triple fault.
    TripleFault,
    /// The user ended it: a key at the console, or a signal.
    Quit,
}

/// How to run a VM.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Start the guest again when it reboots.
    pub restart: bool,
}

/// Why a VM does not start, or cannot go on: conditions of the host. What a guest does is an [`Ending`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// KVM does not give us a machine.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// No guest memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The kernel does not load.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The host service does not let the VM in.
    #[error(transparent)]
    Share(#[from] StartError),
    /// No store.
    #[error("tmem: {0}")]
    Store(#[from] StoreError),
    /// The ACPI tables and the reset vector do not fit.
    #[error("the firmware tables do not fit into guest memory")]
    Firmware(#[source] vm_memory::GuestMemoryError),
    /// Two devices at one address: a bug of ours.
    #[error("the machine's layout is wrong")]
    Layout(#[from] RangeError),
    /// A vCPU cannot go on.
    #[error(transparent)]
    Vcpu(#[from] VcpuError),
    /// Another VM has the name.
    #[error(transparent)]
    Control(#[from] BindError),
    /// The file of the trace cannot be made.
    #[error("{path} cannot be created for the trace")]
    Trace {
        /// The file.
        path: PathBuf,
        /// What the host says.
        #[source]
        source: io::Error,
    },
    /// The host lacks a resource.
    #[error("{what}")]
    Host {
        /// What was wanted.
        what: &'static str,
        /// What the host says.
        #[source]
        source: io::Error,
    },
    /// The event loop failed.
    #[error("the event loop failed")]
    EventLoop(#[from] event_manager::Error),
}

/// Names what was wanted of the host when it failed.
fn host(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Host { what, source }
}

/// Runs a VM until its guest ends. With [`RunOptions::restart`] a reboot starts it again; nothing that the store held
/// survives that.
///
/// # Errors
/// Where the host does not give what the VM needs. Nothing is left behind then.
pub fn run(config: &VmConfig, options: RunOptions) -> Result<Ending, Error> {
    let mut store = config.tmem.as_ref().map(|tmem| Store::new(config, tmem)).transpose()?;
    let _background = match (&config.tmem, &store) {
        (Some(tmem), Some(store)) => start_background(tmem, store)?,
        _ => Vec::new(),
    };
    let signals = Signals::new().map_err(host("no signal handlers"))?;
    let mut stdin = match config.console {
        Console::Stdio => Some(Stdin::open().map_err(host("standard input cannot be used"))?),
        Console::File(_) | Console::None => None,
    };
    loop {
        let ending = run_once(config, store.as_mut(), &signals, stdin.as_mut())?;
        if ending != Ending::Reboot || !options.restart {
            return Ok(ending);
        }
        tracing::info!("the guest reboots");
        if let Some(store) = &store {
            store.client.hello();
        }
    }
}

/// The threads that work on what the store holds, until they are dropped.
fn start_background(tmem: &TmemConfig, store: &Store) -> Result<Vec<Background>, Error> {
    let client = store.client.client();
    let compress = (tmem.staging_bytes > 0).then(|| Background::compress(client));
    let recompress = store.recompress_after.map(|after| Background::recompress(client, after));
    let threads = [compress, recompress].into_iter().flatten();
    threads.collect::<io::Result<_>>().map_err(host("no thread for the store's background work"))
}

/// The store of a VM, and whoever says what it may hold.
#[derive(Debug)]
struct Store {
    client: RecordedClient,
    share: Arc<Share>,
    governor: Governor,
    recompress_after: Option<Duration>,
}

impl Store {
    fn new(config: &VmConfig, tmem: &TmemConfig) -> Result<Self, Error> {
        match &tmem.share {
            ShareConfig::Service(path) => Self::of_service(config, tmem, path),
            ShareConfig::Policy(policy) => Self::of_policy(config, tmem, (**policy).clone()),
            ShareConfig::Alone => Self::of_policy(config, tmem, LocalPolicy::alone()),
        }
    }

    /// The service is asked before there is a store: it may refuse, and says how the store is to work.
    fn of_service(config: &VmConfig, tmem: &TmemConfig, path: &Path) -> Result<Self, Error> {
        let (path, name, label) = (path.to_owned(), config.name.clone(), tmem.label.clone());
        let mut link = ServiceLink::new(path, name, label, config.memory_bytes, tmem.limit_bytes);
        let defaults = link.start()?.map_or_else(|| StoreDefaults::from(&Policy::default()), StoreDefaults::from);
        let (client, share) = Self::client(config, tmem, &defaults, ShareSource::Service)?;
        let governor = Governor::service(link, Arc::clone(&share)).map_err(host("no timer"))?;
        Ok(Self { client, share, governor, recompress_after: defaults.recompress_after(tmem) })
    }

    fn of_policy(config: &VmConfig, tmem: &TmemConfig, policy: Policy) -> Result<Self, Error> {
        let defaults = StoreDefaults::from(&policy);
        let (client, share) = Self::client(config, tmem, &defaults, ShareSource::Policy)?;
        let vm = LocalVm {
            name: config.name.to_string(),
            label: tmem.label.clone(),
            memory_bytes: config.memory_bytes,
            reservation_bytes: tmem.reservation_bytes,
        };
        let governor = Governor::local(LocalPolicy::new(policy, vm, Arc::clone(&share)));
        let governor = governor.map_err(host("no timer"))?;
        Ok(Self { client, share, governor, recompress_after: defaults.recompress_after(tmem) })
    }

    /// A store, whose operations go to the file of the trace where there is to be one.
    fn client(
        config: &VmConfig,
        tmem: &TmemConfig,
        defaults: &StoreDefaults,
        source: ShareSource,
    ) -> Result<(RecordedClient, Arc<Share>), Error> {
        let client = defaults.client_config(tmem, random()?);
        let recorder = config.trace.as_deref().map(|path| recording::start(path, &client)).transpose()?;
        let client = RecordedClient::new(Arc::new(Client::new(client)?), recorder.map(Arc::new));
        let share = Arc::new(Share::new(client.clone(), tmem.limit_bytes, source));
        Ok((client, share))
    }
}

/// A key that no guest can guess.
fn random() -> Result<[u64; 2], Error> {
    let mut key = [0; 16];
    rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| host("no random numbers")(error.into()))?;
    Ok([0, 1].map(|half| key.as_chunks::<8>().0[half]).map(u64::from_le_bytes))
}

/// One life of the guest, from power-on to its end.
fn run_once(
    config: &VmConfig,
    store: Option<&mut Store>,
    signals: &Signals,
    stdin: Option<&mut Stdin>,
) -> Result<Ending, Error> {
    let kvm = open_kvm()?;
    let socket = Socket::bind(&config.name)?;
    let machine = Machine::assemble(&kvm, config, store.as_ref().map(|store| &store.client))?;
    let status = Arc::new(Status::new(config, &machine, store.as_deref()));

    let outcome = Rc::new(RefCell::new(None));
    let running = machine.start()?;
    let mut events = EventManager::<Box<dyn MutEventSubscriber + '_>>::new()?;
    events.add_subscriber(Box::new(Server::new(socket, Arc::clone(&status))));
    events.add_subscriber(Box::new(Lifecycle::new(&running, signals, stdin, status, Rc::clone(&outcome))));
    if let Some(store) = store {
        events.add_subscriber(Box::new(Governs(&mut store.governor)));
    }
    let ending = loop {
        if let Some(outcome) = outcome.borrow_mut().take() {
            break outcome;
        }
        events.run()?;
    };
    drop(events);
    running.stop();
    ending
}
