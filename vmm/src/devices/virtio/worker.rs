//! A thread with an event loop of its own, on which one device serves its queues.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use event_manager::{EventManager, Events, MutEventSubscriber, RemoteEndpoint, SubscriberId};

/// Why a worker did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The thread could not be started.
    #[error("the device's thread cannot be started")]
    Spawn(#[source] io::Error),
    /// The event loop refused.
    #[error("the device's event loop refused")]
    EventLoop(#[from] event_manager::Error),
}

/// What a worker serves; one of them an active queue.
type Subscriber = Box<dyn MutEventSubscriber + Send>;

/// The thread. It is started with the device, long before a guest runs, so that nothing a vCPU does starts a thread:
/// a new thread would inherit the vCPU's system call filter.
pub struct Worker {
    endpoint: RemoteEndpoint<Subscriber>,
    attached: Vec<SubscriberId>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("attached", &self.attached).finish_non_exhaustive()
    }
}

impl Worker {
    /// Starts a thread called `name`.
    ///
    /// # Errors
    /// If the host has no thread or file descriptor left.
    pub fn start(name: String) -> Result<Self, WorkerError> {
        let mut events = EventManager::<Subscriber>::new()?;
        let endpoint = events.remote_endpoint();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || {
                while !stopped.load(Ordering::Acquire) {
                    if let Err(error) = events.run() {
                        // The epoll descriptor itself is broken. Attaching fails from now on, which the guest is told.
                        tracing::error!(%error, "a device's event loop ended");
                        return;
                    }
                }
            })
            .map_err(WorkerError::Spawn)?;
        Ok(Self { endpoint, attached: Vec::new(), stop, thread: Some(thread) })
    }

    /// Serves `subscriber` whenever one of `watched` happens, until [`detach`](Self::detach). Their descriptors must be
    /// owned by the subscriber, so that neither outlives the other.
    ///
    /// # Errors
    /// If the thread is gone or cannot watch an event.
    pub fn attach(&mut self, subscriber: Subscriber, watched: &[Events]) -> Result<(), WorkerError> {
        let watched = watched.to_vec();
        let id = self.endpoint.call_blocking(move |events| -> Result<_, event_manager::Error> {
            let id = events.add_subscriber(subscriber);
            let mut ops = events.event_ops(id)?;
            let added = watched.into_iter().try_for_each(|event| ops.add(event));
            if let Err(error) = added {
                events.remove_subscriber(id)?;
                return Err(error);
            }
            Ok(id)
        })?;
        self.attached.push(id);
        Ok(())
    }

    /// Drops everything attached. Waits for what the thread is doing at the moment, and when this returns none of it
    /// runs again.
    pub fn detach(&mut self) {
        for id in self.attached.drain(..) {
            let removed = self.endpoint.call_blocking(move |events| events.remove_subscriber(id).map(drop));
            if let Err(error) = removed {
                // Only if the thread is gone, and with it all it served.
                tracing::error!(%error, "a device's thread does not answer");
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // If the thread cannot be woken it is gone already.
        let _ = self.endpoint.kick();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::event_latch::drain;
    use super::*;
    use event_manager::{EventOps, EventSet};
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;
    use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

    struct Echo {
        event: EventFd,
        seen: Sender<()>,
    }

    impl MutEventSubscriber for Echo {
        fn process(&mut self, _events: Events, _ops: &mut EventOps<'_>) {
            drain(&self.event);
            let _ = self.seen.send(());
        }

        fn init(&mut self, _ops: &mut EventOps<'_>) {}
    }

    #[test]
    fn an_attached_event_is_served_until_it_is_detached() {
        let event = EventFd::new(EFD_NONBLOCK).unwrap();
        let (seen, served) = channel();
        let mut worker = Worker::start("test".into()).unwrap();
        let echo = Echo { event: event.try_clone().unwrap(), seen };
        let watched = Events::new(&echo.event, EventSet::IN);
        worker.attach(Box::new(echo), &[watched]).unwrap();

        event.write(1).unwrap();
        served.recv_timeout(Duration::from_secs(10)).unwrap();

        worker.detach();
        event.write(1).unwrap();
        // The sender went with the subscriber.
        assert!(served.recv().is_err());
    }

    #[test]
    fn an_event_cannot_be_attached_twice() {
        let event = EventFd::new(EFD_NONBLOCK).unwrap();
        let (seen, served) = channel();
        let mut worker = Worker::start("test".into()).unwrap();
        let echo = |seen| Box::new(Echo { event: event.try_clone().unwrap(), seen });
        let watched = [Events::new(&event, EventSet::IN)];
        worker.attach(echo(seen.clone()), &watched).unwrap();
        assert!(worker.attach(echo(seen), &watched).is_err());
        worker.detach();
        assert!(served.recv().is_err(), "nothing is left behind");
    }
}
