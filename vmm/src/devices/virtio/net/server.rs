//! An active card on its worker's event loop.

use std::sync::Arc;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use virtio_queue::Error;
use vmm_sys_util::eventfd::EventFd;

use super::super::super::event_latch::{drain, signal};
use super::super::GuestRam;
use super::Turn;
use super::cable::Cable;
use super::receive::Receiver;
use super::transmit::Transmitter;
use crate::mistakes::Mistakes;

const RECEIVE: u32 = 0;
const TRANSMIT: u32 = 1;
const TAP: u32 = 2;

/// An active card.
pub(super) struct Server {
    pub(super) ram: Arc<GuestRam>,
    pub(super) cable: Cable,
    pub(super) mistakes: Arc<Mistakes>,
    /// Signalled when the driver has made receive buffers available, or there is more to do with them.
    pub(super) receive: EventFd,
    /// Signalled when the driver has made frames available, or there are more.
    pub(super) transmit: EventFd,
    pub(super) state: State,
}

pub(super) enum State {
    Serving {
        receiver: Box<Receiver>,
        transmitter: Transmitter,
    },
    /// The rings made no sense. Nothing is served until the driver resets the device.
    Broken,
}

impl Server {
    /// What it waits for.
    pub(super) fn events(&self) -> [Events; 3] {
        [
            Events::with_data(&self.receive, RECEIVE, EventSet::IN),
            Events::with_data(&self.transmit, TRANSMIT, EventSet::IN),
            self.cable.events(TAP),
        ]
    }

    /// Serves one event: a turn for one direction or both.
    fn serve(&mut self, event: u32, set: EventSet, ops: &EventOps<'_>) -> Result<(), Error> {
        let State::Serving { receiver, transmitter } = &mut self.state else { return Ok(()) };
        if event == TAP && set.intersects(EventSet::ERROR | EventSet::HANG_UP) {
            self.cable.cut();
        }
        if event == TAP && set.contains(EventSet::IN) {
            receiver.tap_readable();
        }
        if event != TRANSMIT && receiver.turn(&self.cable, &self.ram)? == Turn::Over {
            signal(&self.receive);
        }
        if event != RECEIVE {
            match transmitter.turn(&self.cable, &self.ram)? {
                Turn::Done => {}
                Turn::Over => signal(&self.transmit),
                // The kernel tells of room only to who has asked since it ran out, and this asks.
                Turn::TapFull => {
                    if let Err(error) = ops.modify(self.cable.events(TAP)) {
                        tracing::error!(%error, "the event loop does not watch a tap");
                    }
                }
            }
        }
        Ok(())
    }
}

impl MutEventSubscriber for Server {
    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        match events.data() {
            RECEIVE => drain(&self.receive),
            TRANSMIT => drain(&self.transmit),
            _ => {}
        }
        if let Err(error) = self.serve(events.data(), events.event_set(), ops) {
            self.mistakes.note(error);
            self.state = State::Broken;
            self.cable.interrupt.needs_reset();
        }
    }

    /// Nothing: the worker adds the events, where a failure can be reported.
    fn init(&mut self, _ops: &mut EventOps<'_>) {}
}
