//! SIGTERM and SIGINT end the service, SIGHUP has it read its policy again.

use std::cell::Cell;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::{pipe, unregister};

/// What signals asked for.
#[derive(Debug, Default)]
pub(crate) struct Caught {
    /// The service is to end.
    pub end: Cell<bool>,
    /// The policy is to be read again.
    pub reload: Cell<bool>,
}

/// Catches the signals while it lives.
#[derive(Debug)]
pub(crate) struct Signals {
    reader: UnixStream,
    ended: Arc<AtomicBool>,
    caught: Rc<Caught>,
    registered: Vec<signal_hook::SigId>,
}

impl Signals {
    pub(crate) fn new(caught: Rc<Caught>) -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        let ended = Arc::new(AtomicBool::new(false));
        let registered = vec![
            flag::register(SIGINT, Arc::clone(&ended))?,
            flag::register(SIGTERM, Arc::clone(&ended))?,
            pipe::register(SIGINT, writer.try_clone()?)?,
            pipe::register(SIGTERM, writer.try_clone()?)?,
            pipe::register(SIGHUP, writer)?,
        ];
        Ok(Self { reader, ended, caught, registered })
    }
}

impl MutEventSubscriber for Signals {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        if let Err(error) = ops.add(Events::new(&self.reader, EventSet::IN)) {
            tracing::error!(?error, "signals are not watched");
        }
    }

    fn process(&mut self, _: Events, _: &mut EventOps<'_>) {
        // An error means that nothing is there.
        let _ = (&self.reader).read(&mut [0; 64]);
        if self.ended.load(Ordering::Relaxed) {
            self.caught.end.set(true);
        } else {
            self.caught.reload.set(true);
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.registered.drain(..).for_each(|id| {
            unregister(id);
        });
    }
}
