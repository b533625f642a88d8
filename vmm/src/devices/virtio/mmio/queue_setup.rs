//! What a driver says about a queue before it uses it.

use virtio_queue::{Queue, QueueT};
use vm_memory::{GuestAddress, GuestMemoryBackend};

use super::super::GuestRam;
use super::registers::QueueRegister;

/// A queue as the driver has described it so far; anything at all, until [`QueueSetup::build`] has looked at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueueSetup {
    max_size: u16,
    size: u32,
    ready: bool,
    descriptors: u64,
    available: u64,
    used: u64,
}

/// What is wrong with a queue.
#[derive(Debug, thiserror::Error)]
pub(super) enum QueueError {
    #[error("a size of {0} descriptors is not a power of two up to the most the queue can have")]
    Size(u32),
    #[error("a ring is misaligned: {0}")]
    Alignment(virtio_queue::Error),
    #[error("the {part} at {address:#x} is not wholly in RAM")]
    NotRam { part: &'static str, address: u64 },
}

impl QueueSetup {
    pub(super) fn new(max_size: u16) -> Self {
        Self { max_size, size: u32::from(max_size), ready: false, descriptors: 0, available: 0, used: 0 }
    }

    pub(super) fn max_size(&self) -> u16 {
        self.max_size
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// The driver writes one of the queue's registers. `false` if it may not: a queue that is ready is the device's.
    pub(super) fn write(&mut self, register: QueueRegister, value: u32) -> bool {
        if self.ready && register != QueueRegister::Ready {
            return false;
        }
        match register {
            QueueRegister::Size => self.size = value,
            QueueRegister::Ready => self.ready = value & 1 != 0,
            QueueRegister::DescriptorsLow => set_low(&mut self.descriptors, value),
            QueueRegister::DescriptorsHigh => set_high(&mut self.descriptors, value),
            QueueRegister::AvailableLow => set_low(&mut self.available, value),
            QueueRegister::AvailableHigh => set_high(&mut self.available, value),
            QueueRegister::UsedLow => set_low(&mut self.used, value),
            QueueRegister::UsedHigh => set_high(&mut self.used, value),
        }
        true
    }

    /// The queue, if what the driver said makes sense. One that it did not set up is returned as not `ready()`.
    ///
    /// `Queue::is_valid` checks the same, but logs an error for each thing a guest got wrong.
    pub(super) fn build(&self, ram: &GuestRam) -> Result<Queue, QueueError> {
        let mut queue = Queue::new(self.max_size).map_err(|_| QueueError::Size(u32::from(self.max_size)))?;
        if !self.ready {
            return Ok(queue);
        }
        let size = u16::try_from(self.size).map_err(|_| QueueError::Size(self.size))?;
        queue.try_set_size(size).map_err(|_| QueueError::Size(self.size))?;
        queue.try_set_desc_table_address(GuestAddress(self.descriptors)).map_err(QueueError::Alignment)?;
        queue.try_set_avail_ring_address(GuestAddress(self.available)).map_err(QueueError::Alignment)?;
        queue.try_set_used_ring_address(GuestAddress(self.used)).map_err(QueueError::Alignment)?;
        // Sizes of the three parts (virtio 1.2, section 2.7), with the event fields at the end of both rings.
        let size = usize::from(size);
        check_in_ram(ram, "descriptor table", self.descriptors, 16 * size)?;
        check_in_ram(ram, "available ring", self.available, 6 + 2 * size)?;
        check_in_ram(ram, "used ring", self.used, 6 + 8 * size)?;
        queue.set_ready(true);
        Ok(queue)
    }
}

fn check_in_ram(ram: &GuestRam, part: &'static str, address: u64, len: usize) -> Result<(), QueueError> {
    if ram.check_range(GuestAddress(address), len) { Ok(()) } else { Err(QueueError::NotRam { part, address }) }
}

fn set_low(address: &mut u64, value: u32) {
    *address = (*address & !u64::from(u32::MAX)) | u64::from(value);
}

fn set_high(address: &mut u64, value: u32) {
    *address = (*address & u64::from(u32::MAX)) | (u64::from(value) << 32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use QueueRegister::{AvailableHigh, AvailableLow, DescriptorsHigh, DescriptorsLow, Ready, Size, UsedLow};

    const RAM_BYTES: u32 = 0x10_0000;

    fn ram() -> GuestRam {
        GuestRam::from_ranges(&[(GuestAddress(0), RAM_BYTES as usize)]).unwrap()
    }

    fn good() -> QueueSetup {
        let mut setup = QueueSetup::new(256);
        for (register, value) in [(Size, 128), (DescriptorsLow, 0x1000), (AvailableLow, 0x2000), (UsedLow, 0x3000)] {
            assert!(setup.write(register, value));
        }
        setup
    }

    /// Builds the good queue with one register changed.
    fn with(register: QueueRegister, value: u32) -> Result<Queue, QueueError> {
        let mut setup = good();
        setup.write(register, value);
        setup.write(Ready, 1);
        setup.build(&ram())
    }

    #[test]
    fn a_good_queue_is_built_as_described() {
        let queue = with(Ready, 0).unwrap();
        assert!(queue.ready());
        assert_eq!(
            (queue.size(), queue.desc_table(), queue.avail_ring(), queue.used_ring()),
            (128, 0x1000, 0x2000, 0x3000)
        );
    }

    #[test]
    fn a_queue_that_was_not_set_up_is_not_ready() {
        assert!(!good().build(&ram()).unwrap().ready());
    }

    #[test]
    fn a_ready_queue_cannot_be_changed() {
        let mut setup = good();
        assert!(setup.write(Ready, 1));
        let before = setup;
        assert!(!setup.write(Size, 1));
        assert!(!setup.write(UsedLow, 0));
        assert_eq!(setup, before);
    }

    #[test]
    fn odd_sizes_are_refused() {
        for size in [0, 3, 257, 512, 0x8000, 0x1_0001, u32::MAX] {
            assert!(matches!(with(Size, size), Err(QueueError::Size(_))), "size {size}");
        }
        assert!(with(Size, 1).is_ok());
        assert!(with(Size, 256).is_ok());
    }

    #[test]
    fn misaligned_rings_are_refused() {
        assert!(matches!(with(DescriptorsLow, 0x1008), Err(QueueError::Alignment(_))));
        assert!(matches!(with(AvailableLow, 0x2001), Err(QueueError::Alignment(_))));
        assert!(matches!(with(UsedLow, 0x3002), Err(QueueError::Alignment(_))));
    }

    #[test]
    fn rings_outside_of_ram_are_refused() {
        assert!(matches!(with(DescriptorsLow, RAM_BYTES), Err(QueueError::NotRam { .. })));
        assert!(matches!(with(AvailableLow, RAM_BYTES - 128), Err(QueueError::NotRam { .. })));
        assert!(matches!(with(UsedLow, RAM_BYTES - 16), Err(QueueError::NotRam { .. })));
        assert!(matches!(with(DescriptorsHigh, u32::MAX), Err(QueueError::NotRam { .. })));
        assert!(matches!(with(AvailableHigh, 1), Err(QueueError::NotRam { .. })));
    }
}
