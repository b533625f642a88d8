//! From the tap to the driver.
//!
//! A frame is read into memory of ours first: its length decides how many buffers it takes, and the kernel tells that
//! only with the frame. Where the driver has given no buffers the one frame waits here and the others in the tap, whose
//! queue the host bounds.

use std::sync::Arc;

use virtio_queue::{DescriptorChain, Error};

use super::super::ring::{Ring, Used};
use super::super::{Chain, ChainError, ChainLimits, GuestRam, Segments};
use super::cable::Cable;
use super::counters::{NetCounters, add};
use super::header::{HEADER_BYTES, LONGEST_BYTES, Offloads, SHORTEST_BYTES, set_buffers};
use super::room::{Fit, Room};
use super::{QUEUE_SIZE, STEPS_A_TURN, Turn};
use crate::mistakes::Mistakes;

/// A longer chain than a ring is a mistake; how many bytes it has is up to the driver.
const CHAIN_LIMITS: ChainLimits = ChainLimits { segments: QUEUE_SIZE as usize, bytes: u32::MAX };

/// The receive queue, and the frame on its way to it.
pub(super) struct Receiver {
    ring: Ring,
    room: Room,
    offloads: Offloads,
    frame: Box<[u8; LONGEST_BYTES as usize]>,
    state: State,
    mistakes: Arc<Mistakes>,
    counters: Arc<NetCounters>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The tap had nothing more when it was last asked.
    TapEmpty,
    /// The tap may have a frame.
    TapReadable,
    /// There is a frame of so many bytes, header included.
    Frame(usize),
    /// There is a frame, and it has been waiting for buffers.
    FrameWaits(usize),
}

/// Why a chain is no buffer for frames.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("a receive buffer is not there to be written to")]
    NotWritable,
}

impl Receiver {
    pub(super) fn new(
        ring: Ring,
        merges: bool,
        offloads: Offloads,
        mistakes: Arc<Mistakes>,
        counters: Arc<NetCounters>,
    ) -> Self {
        let room = Room::new(merges, ring.size());
        let frame = Box::new([0; LONGEST_BYTES as usize]);
        Self { ring, room, offloads, frame, state: State::TapEmpty, mistakes, counters }
    }

    /// The tap has frames.
    pub(super) fn tap_readable(&mut self) {
        if self.state == State::TapEmpty {
            self.state = State::TapReadable;
        }
    }

    /// Moves frames until the tap is empty, the driver's buffers are full, or the turn is over.
    ///
    /// # Errors
    /// Those of the rings.
    pub(super) fn turn(&mut self, cable: &Cable, ram: &GuestRam) -> Result<Turn, Error> {
        self.ring.mute(ram)?;
        let turn = self.steps(cable, ram)?;
        self.ring.announce(ram, &cable.interrupt)?;
        Ok(turn)
    }

    fn steps(&mut self, cable: &Cable, ram: &GuestRam) -> Result<Turn, Error> {
        for _ in 0..STEPS_A_TURN {
            match self.state {
                State::TapEmpty => return Ok(Turn::Done),
                State::TapReadable => match cable.read(self.frame.as_mut_slice()) {
                    Ok(len) => self.consider(len),
                    // Whatever it is: the tap is asked again when it says that it has something.
                    Err(_) => self.state = State::TapEmpty,
                },
                State::Frame(len) | State::FrameWaits(len) => match self.room.fit(len) {
                    Fit::In(buffers) => self.deliver(len, buffers, ram)?,
                    Fit::Nowhere => self.drop_frame(),
                    Fit::More => {
                        let Some(chain) = self.ring.take(ram)? else {
                            self.wait(len);
                            return Ok(Turn::Done);
                        };
                        self.add_room(chain, ram)?;
                    }
                },
            }
        }
        Ok(Turn::Over)
    }

    /// Looks at a frame that was read.
    fn consider(&mut self, len: usize) {
        let is_whole = u32::try_from(len).is_ok_and(|len| len >= SHORTEST_BYTES);
        if is_whole && self.frame.first_chunk().is_some_and(|header| self.offloads.take(header)) {
            self.state = State::Frame(len);
        } else {
            self.drop_frame();
        }
    }

    fn drop_frame(&mut self) {
        add(&self.counters.rx_dropped, 1);
        self.state = State::TapReadable;
    }

    /// Until the driver, which was asked to, notifies of more buffers.
    fn wait(&mut self, len: usize) {
        if self.state == State::Frame(len) {
            add(&self.counters.rx_waits, 1);
            self.state = State::FrameWaits(len);
        }
    }

    fn deliver(&mut self, len: usize, buffers: usize, ram: &GuestRam) -> Result<(), Error> {
        let frame = self.frame.get_mut(..len).unwrap_or_default();
        // There are no more than a room has.
        set_buffers(frame, u16::try_from(buffers).unwrap_or(u16::MAX));
        let used = self.room.fill(buffers, frame, ram);
        self.ring.give_back_together(ram, &used)?;
        add(&self.counters.rx_frames, 1);
        add(&self.counters.rx_bytes, u64::try_from(len - HEADER_BYTES).unwrap_or(0));
        self.state = State::TapReadable;
        Ok(())
    }

    /// Takes a chain for a buffer, or gives it back.
    fn add_room(&mut self, chain: DescriptorChain<&GuestRam>, ram: &GuestRam) -> Result<(), Error> {
        let head = chain.head_index();
        match buffer_of(chain, ram) {
            Ok(segments) => self.room.add(head, segments),
            Err(refusal) => {
                add(&self.counters.rx_rejected, 1);
                self.mistakes.note(refusal);
                self.ring.give_back(ram, Used { head, written: 0 })?;
            }
        }
        Ok(())
    }
}

fn buffer_of(chain: DescriptorChain<&GuestRam>, ram: &GuestRam) -> Result<Segments, Refusal> {
    let Chain { readable, writable } = Chain::read(chain, ram, CHAIN_LIMITS)?;
    if readable.is_empty() && !writable.is_empty() { Ok(writable) } else { Err(Refusal::NotWritable) }
}
