//! How a device interrupts its driver over MMIO.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use virtio_bindings::bindings::virtio_mmio::{VIRTIO_MMIO_INT_CONFIG, VIRTIO_MMIO_INT_VRING};
use vmm_sys_util::eventfd::EventFd;

use super::super::event_latch::signal;

/// A device's interrupt, shared between its worker and the transport's registers.
///
/// The line is edge-triggered: every cause writes the irqfd, also when the driver has not acknowledged the one
/// before. Nothing is lost by that: the driver acknowledges before it looks at the rings.
#[derive(Debug, Clone)]
pub struct Interrupt {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    irq: EventFd,
    /// The `InterruptStatus` register.
    status: AtomicU32,
    config_generation: AtomicU32,
    needs_reset: AtomicBool,
}

impl Interrupt {
    /// An interrupt that is raised through `irq` (an irqfd, edge-triggered, non-blocking).
    pub(super) fn new(irq: EventFd) -> Self {
        Self {
            shared: Arc::new(Shared {
                irq,
                status: AtomicU32::new(0),
                config_generation: AtomicU32::new(0),
                needs_reset: AtomicBool::new(false),
            }),
        }
    }

    /// The device has used buffers.
    pub fn used_buffers(&self) {
        self.raise(VIRTIO_MMIO_INT_VRING);
    }

    /// The device's configuration space reads differently from now on.
    pub fn config_changed(&self) {
        self.shared.config_generation.fetch_add(1, Ordering::Release);
        self.raise(VIRTIO_MMIO_INT_CONFIG);
    }

    /// The device cannot go on until the driver resets it (virtio 1.2, section 2.1.2).
    pub fn needs_reset(&self) {
        self.shared.needs_reset.store(true, Ordering::Release);
        self.config_changed();
    }

    fn raise(&self, cause: u32) {
        self.shared.status.fetch_or(cause, Ordering::SeqCst);
        signal(&self.shared.irq);
    }

    /// The `InterruptStatus` register.
    pub(super) fn status(&self) -> u32 {
        self.shared.status.load(Ordering::SeqCst)
    }

    /// The `InterruptACK` register.
    pub(super) fn acknowledge(&self, causes: u32) {
        self.shared.status.fetch_and(!causes, Ordering::SeqCst);
    }

    /// The `ConfigGeneration` register.
    pub(super) fn config_generation(&self) -> u32 {
        self.shared.config_generation.load(Ordering::Acquire)
    }

    /// Whether the device has asked for a reset.
    pub(super) fn is_reset_needed(&self) -> bool {
        self.shared.needs_reset.load(Ordering::Acquire)
    }

    /// Back to how it was, for a device that is stopped.
    pub(super) fn clear(&self) {
        self.shared.needs_reset.store(false, Ordering::Release);
        self.shared.status.store(0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmm_sys_util::eventfd::EFD_NONBLOCK;

    fn interrupt() -> Interrupt {
        Interrupt::new(EventFd::new(EFD_NONBLOCK).unwrap())
    }

    #[test]
    fn every_cause_is_an_edge_even_before_it_is_acknowledged() {
        let interrupt = interrupt();
        interrupt.used_buffers();
        interrupt.used_buffers();
        assert_eq!(interrupt.shared.irq.read().unwrap(), 2);
        assert_eq!(interrupt.status(), VIRTIO_MMIO_INT_VRING);
    }

    #[test]
    fn only_what_is_acknowledged_goes_away() {
        let interrupt = interrupt();
        interrupt.used_buffers();
        interrupt.config_changed();
        interrupt.acknowledge(VIRTIO_MMIO_INT_VRING);
        assert_eq!(interrupt.status(), VIRTIO_MMIO_INT_CONFIG);
    }

    #[test]
    fn a_needed_reset_is_a_configuration_change() {
        let interrupt = interrupt();
        interrupt.needs_reset();
        assert!(interrupt.is_reset_needed());
        assert_eq!((interrupt.status(), interrupt.config_generation()), (VIRTIO_MMIO_INT_CONFIG, 1));
        interrupt.clear();
        assert!(!interrupt.is_reset_needed());
        assert_eq!(interrupt.status(), 0);
    }
}
