//! A card's way to its tap, and what is done when the tap vanishes.

use std::io;
use std::sync::Arc;

use event_manager::{EventSet, Events};

use super::super::Interrupt;
use super::super::slices::Slices;
use super::counters::{NetCounters, add};
use super::link::Link;
use super::tap::{Tap, TapError};

/// The tap as an active card uses it. When the tap vanishes the driver sees its link go down, once; what it still sends
/// is dropped.
pub(super) struct Cable {
    pub(super) tap: Arc<Tap>,
    pub(super) link: Arc<Link>,
    pub(super) interrupt: Interrupt,
    pub(super) counters: Arc<NetCounters>,
}

impl Cable {
    /// What the event loop waits for. Edges, so that a tap with frames wakes nobody while there is no buffer for them.
    pub(super) fn events(&self, data: u32) -> Events {
        Events::with_data(&*self.tap, data, EventSet::IN | EventSet::OUT | EventSet::EDGE_TRIGGERED)
    }

    /// As [`Tap::read`].
    pub(super) fn read(&self, into: &mut [u8]) -> Result<usize, TapError> {
        self.tap.read(into).inspect_err(|error| self.note(error))
    }

    /// As [`Tap::write`].
    pub(super) fn write(&self, frame: &Slices<'_>) -> Result<(), TapError> {
        self.tap.write(frame).inspect_err(|error| self.note(error))
    }

    /// The tap is no more.
    pub(super) fn cut(&self) {
        if self.link.take_down() {
            add(&self.counters.tap_lost, 1);
            tracing::warn!("the tap of a network card has vanished; its link is down until the VM is started again");
            self.interrupt.config_changed();
        }
    }

    fn note(&self, error: &TapError) {
        match error {
            TapError::NotNow => {}
            TapError::Gone => self.cut(),
            TapError::Frame(error) => self.note_failure(error),
        }
    }

    /// A tap that is down refuses every frame; that is said ever more rarely.
    fn note_failure(&self, error: &io::Error) {
        let count = add(&self.counters.tap_errors, 1);
        if count.is_power_of_two() {
            tracing::warn!(%error, count, "a tap did not give or take a frame");
        }
    }
}
