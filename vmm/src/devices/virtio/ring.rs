//! A queue from the device's side: chains are taken from it, and given back alone or together.

use std::sync::atomic::{Ordering, fence};

use virtio_queue::{DescriptorChain, Error, Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress};

use super::{GuestRam, Interrupt};

/// Bytes of an element of the used ring, and those in front of the first (virtio 1.2, section 2.7.8).
const USED_ELEMENT_BYTES: u64 = 8;
const USED_HEADER_BYTES: u64 = 4;
/// Bytes of an element of the available ring, and those in front of the first; behind the last is `used_event`.
const AVAILABLE_ELEMENT_BYTES: u64 = 2;
const AVAILABLE_HEADER_BYTES: u64 = 4;

/// A chain that is given back: its head, and how many bytes of its writable part were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Index of the chain's first descriptor.
    pub head: u16,
    /// Bytes written.
    pub written: u32,
}

/// An active queue. An error of its methods is one of the rings, not of a chain: the device cannot go on.
#[derive(Debug)]
pub struct Ring {
    queue: Queue,
    event_idx: bool,
    /// The used index when the driver was last interrupted, or could have been.
    announced: u16,
}

impl Ring {
    /// The rings of `queue`, which is ready; with or without event indexes, as the driver accepted.
    #[must_use]
    pub fn new(mut queue: Queue, event_idx: bool) -> Self {
        queue.set_event_idx(event_idx);
        let announced = queue.next_used();
        Self { queue, event_idx, announced }
    }

    /// Most chains that the driver can have made available.
    #[must_use]
    pub fn size(&self) -> u16 {
        self.queue.size()
    }

    /// Asks the driver not to notify: we look ourselves.
    ///
    /// # Errors
    /// If the ring is not in RAM.
    pub fn mute(&mut self, ram: &GuestRam) -> Result<(), Error> {
        self.queue.disable_notification(ram)
    }

    /// The next chain. Where there is none, the driver is asked to notify when there is.
    ///
    /// # Errors
    /// If the driver claims chains that cannot be there.
    pub fn take<'m>(&mut self, ram: &'m GuestRam) -> Result<Option<DescriptorChain<&'m GuestRam>>, Error> {
        if let Some(chain) = self.next(ram)? {
            return Ok(Some(chain));
        }
        if !self.queue.enable_notification(ram)? {
            return Ok(None);
        }
        // It came in between. A driver that has taken it back meanwhile has nobody to blame but itself.
        self.mute(ram)?;
        self.next(ram)
    }

    fn next<'m>(&mut self, ram: &'m GuestRam) -> Result<Option<DescriptorChain<&'m GuestRam>>, Error> {
        let chain = self.queue.iter(ram)?.next();
        // `add_used` would refuse it as well, but not without an error in the log each time.
        match chain {
            Some(chain) if chain.head_index() >= self.queue.size() => Err(Error::InvalidDescriptorIndex),
            chain => Ok(chain),
        }
    }

    /// Gives one chain back.
    ///
    /// # Errors
    /// If the ring is not in RAM.
    pub fn give_back(&mut self, ram: &GuestRam, used: Used) -> Result<(), Error> {
        self.queue.add_used(ram, used.head, used.written)
    }

    /// Gives several chains back so that the driver sees all of them or none: the pieces of one frame.
    ///
    /// # Errors
    /// If the ring is not in RAM.
    pub fn give_back_together(&mut self, ram: &GuestRam, used: &[Used]) -> Result<(), Error> {
        let Some((last, others)) = used.split_last() else { return Ok(()) };
        for other in others {
            // `add_used` would move the index that the driver looks at; it does so for the last.
            let slot = u64::from(self.queue.next_used() % self.queue.size());
            let at = self.queue.used_ring() + USED_HEADER_BYTES + USED_ELEMENT_BYTES * slot;
            let element = u64::from(other.head) | u64::from(other.written) << u32::BITS;
            ram.write_obj(element.to_le(), GuestAddress(at)).map_err(Error::GuestMemory)?;
            self.queue.set_next_used(self.queue.next_used().wrapping_add(1));
        }
        self.give_back(ram, *last)
    }

    /// Interrupts the driver if it wants to know of what was given back since the last time.
    ///
    /// # Errors
    /// If the ring is not in RAM.
    pub fn announce(&mut self, ram: &GuestRam, interrupt: &Interrupt) -> Result<(), Error> {
        let (old, new) = (self.announced, self.queue.next_used());
        if new == old {
            return Ok(());
        }
        self.announced = new;
        if !self.event_idx || passes(self.used_event(ram)?, old, new) {
            interrupt.used_buffers();
        }
        Ok(())
    }

    /// The used index at which the driver wants to be interrupted.
    fn used_event(&self, ram: &GuestRam) -> Result<u16, Error> {
        // What was given back must be seen before the driver's wish is read: it writes its wish and then looks.
        fence(Ordering::SeqCst);
        let behind = AVAILABLE_ELEMENT_BYTES * u64::from(self.queue.size());
        let at = self.queue.avail_ring() + AVAILABLE_HEADER_BYTES + behind;
        ram.load(GuestAddress(at), Ordering::Relaxed).map(u16::from_le).map_err(Error::GuestMemory)
    }
}

/// Whether an index that went from `old` to `new` has passed `event` (virtio 1.2, section 2.7.10).
fn passes(event: u16, old: u16, new: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_event_is_passed_by_exactly_those_that_used_its_chain(old: u16, count in 1u16..300, event: u16) {
            let used = (0..count).any(|offset| old.wrapping_add(offset) == event);
            prop_assert_eq!(passes(event, old, old.wrapping_add(count)), used);
        }
    }
}
