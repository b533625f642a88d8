//! The loop around a queue whose chains are requests, each with its answer: take chains, have them served, give them back.

use std::sync::Arc;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use virtio_bindings::bindings::virtio_ring::VIRTIO_RING_F_EVENT_IDX;
use virtio_queue::{DescriptorChain, QueueT};
use vmm_sys_util::eventfd::EventFd;

use super::super::event_latch::{drain, signal};
use super::ring::{Ring, Used};
use super::{ActivateError, Activation, ActiveQueue, GuestRam, Interrupt, Worker};
use crate::mistakes::Mistakes;

/// Chains served before the worker looks at what else it has to do. Bounds how long a reset waits for a driver that
/// adds requests without end.
const CHAINS_A_ROUND: usize = 16;

/// What a device does with one chain of descriptors.
pub trait ServeChain: Send {
    /// Serves `chain`, and returns how many bytes of its writable part were written. May sleep.
    fn serve(&mut self, chain: DescriptorChain<&GuestRam>, ram: &GuestRam) -> u32;
}

/// An active queue on a worker's event loop.
pub struct ServedQueue<S> {
    ram: Arc<GuestRam>,
    notify: EventFd,
    interrupt: Interrupt,
    mistakes: Arc<Mistakes>,
    server: S,
    state: State,
}

enum State {
    Serving(Ring),
    /// The rings made no sense. Nothing is served until the driver resets the device.
    Broken,
}

/// Whether a round left something to do.
#[derive(PartialEq)]
enum Round {
    Idle,
    More,
}

impl<S: ServeChain + 'static> ServedQueue<S> {
    /// Puts the only queue of a device on `worker`, served by `server`.
    ///
    /// # Errors
    /// If the driver did not set up the queue, or the worker does not take it.
    pub fn attach_only(activation: Activation, server: S, worker: &mut Worker) -> Result<(), ActivateError> {
        let event_idx = activation.has_feature(VIRTIO_RING_F_EVENT_IDX);
        let Activation { ram, queues, interrupt, mistakes, .. } = activation;
        let only = queues.into_iter().next().filter(|only| only.queue.ready());
        let ActiveQueue { queue, notify } = only.ok_or(ActivateError::QueueMissing(0))?;
        let watched = Events::new(&notify, EventSet::IN);
        let state = State::Serving(Ring::new(queue, event_idx));
        worker.attach(Box::new(Self { ram, notify, interrupt, mistakes, server, state }), &[watched])?;
        Ok(())
    }
}

impl<S: ServeChain> ServedQueue<S> {
    fn serve(&mut self) {
        let State::Serving(ring) = &mut self.state else { return };
        match round(ring, &self.ram, &mut self.server, &self.interrupt) {
            Ok(Round::Idle) => {}
            Ok(Round::More) => signal(&self.notify),
            Err(error) => {
                self.mistakes.note(error);
                self.state = State::Broken;
                self.interrupt.needs_reset();
            }
        }
    }
}

/// Serves some chains. An error is one of the rings, not of a request.
fn round(
    ring: &mut Ring,
    ram: &GuestRam,
    server: &mut impl ServeChain,
    interrupt: &Interrupt,
) -> Result<Round, virtio_queue::Error> {
    ring.mute(ram)?;
    for _ in 0..CHAINS_A_ROUND {
        let Some(chain) = ring.take(ram)? else { return Ok(Round::Idle) };
        let head = chain.head_index();
        let written = server.serve(chain, ram);
        ring.give_back(ram, Used { head, written })?;
        // After every chain, not every round: the driver may be waiting for this one, and the next may take long.
        ring.announce(ram, interrupt)?;
    }
    Ok(Round::More)
}

impl<S: ServeChain> MutEventSubscriber for ServedQueue<S> {
    fn process(&mut self, _events: Events, _ops: &mut EventOps<'_>) {
        drain(&self.notify);
        self.serve();
    }

    /// Nothing: [`Worker::attach`] adds the event, where a failure can be reported.
    fn init(&mut self, _ops: &mut EventOps<'_>) {}
}
