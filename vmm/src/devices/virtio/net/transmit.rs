//! From the driver to the tap.
//!
//! The kernel copies a frame straight out of the guest's memory. Whatever the guest writes there meanwhile, the kernel
//! looks at its own copy; nothing of ours depends on a frame's content.

use std::sync::Arc;

use virtio_queue::{DescriptorChain, Error};

use super::super::ring::{Ring, Used};
use super::super::slices::Slices;
use super::super::{Chain, ChainError, ChainLimits, GuestRam, Segments};
use super::cable::Cable;
use super::counters::{NetCounters, add};
use super::header::{HEADER_BYTES, LONGEST_BYTES, SHORTEST_BYTES};
use super::tap::TapError;
use super::{QUEUE_SIZE, STEPS_A_TURN, Turn};
use crate::mistakes::Mistakes;

const CHAIN_LIMITS: ChainLimits = ChainLimits { segments: QUEUE_SIZE as usize, bytes: LONGEST_BYTES };

/// The transmit queue.
pub(super) struct Transmitter {
    ring: Ring,
    /// The next frame, where the tap did not take it yet.
    frame: Option<Frame>,
    mistakes: Arc<Mistakes>,
    counters: Arc<NetCounters>,
}

/// A frame in the guest's memory, header included.
struct Frame {
    head: u16,
    bytes: Segments,
}

/// Why a chain is no frame.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("{0} bytes are no header and frame")]
    Short(u32),
    #[error("a frame to be sent has a part to write to")]
    Writable,
}

impl Transmitter {
    pub(super) fn new(ring: Ring, mistakes: Arc<Mistakes>, counters: Arc<NetCounters>) -> Self {
        Self { ring, frame: None, mistakes, counters }
    }

    /// Sends frames until there are none, the tap is full, or the turn is over.
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
            let Some(frame) = self.frame.take() else {
                let Some(chain) = self.ring.take(ram)? else { return Ok(Turn::Done) };
                self.consider(chain, ram)?;
                continue;
            };
            match send(&frame, cable, ram) {
                Ok(()) => {
                    add(&self.counters.tx_frames, 1);
                    add(&self.counters.tx_bytes, u64::from(frame.bytes.len()) - HEADER_BYTES as u64);
                }
                Err(TapError::NotNow) => {
                    add(&self.counters.tx_waits, 1);
                    self.frame = Some(frame);
                    return Ok(Turn::TapFull);
                }
                Err(TapError::Gone | TapError::Frame(_)) => {
                    add(&self.counters.tx_dropped, 1);
                }
            }
            self.ring.give_back(ram, Used { head: frame.head, written: 0 })?;
        }
        Ok(Turn::Over)
    }

    /// Takes a chain for the next frame, or gives it back.
    fn consider(&mut self, chain: DescriptorChain<&GuestRam>, ram: &GuestRam) -> Result<(), Error> {
        let head = chain.head_index();
        match frame_of(chain, ram) {
            Ok(bytes) => self.frame = Some(Frame { head, bytes }),
            Err(refusal) => {
                add(&self.counters.tx_rejected, 1);
                self.mistakes.note(refusal);
                self.ring.give_back(ram, Used { head, written: 0 })?;
            }
        }
        Ok(())
    }
}

fn frame_of(chain: DescriptorChain<&GuestRam>, ram: &GuestRam) -> Result<Segments, Refusal> {
    let Chain { readable, writable } = Chain::read(chain, ram, CHAIN_LIMITS)?;
    if !writable.is_empty() {
        return Err(Refusal::Writable);
    }
    if readable.len() < SHORTEST_BYTES {
        return Err(Refusal::Short(readable.len()));
    }
    Ok(readable)
}

fn send(frame: &Frame, cable: &Cable, ram: &GuestRam) -> Result<(), TapError> {
    let memory = Slices::of(ram, &frame.bytes).map_err(|error| TapError::Frame(std::io::Error::other(error)))?;
    cable.write(&memory)
}
