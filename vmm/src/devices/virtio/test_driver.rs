//! A guest's driver for tests: it knows a device only by its registers and its ring, as a real one does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use virtio_bindings::bindings::virtio_mmio as map;
use virtio_bindings::bindings::virtio_ring::{VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::super::bus::BusDevice;
use super::{GuestRam, MmioTransport, RING_FEATURES, VirtioDevice};

/// Bytes of RAM, in two regions with no gap in between.
pub const RAM_BYTES: u64 = 2 * REGION_BYTES;
/// Where the second region begins.
pub const REGION_BYTES: u64 = 1 << 20;
/// Where RAM is free for buffers.
pub const BUFFERS: u64 = 0x1_0000;

const QUEUE_SIZE: u16 = 64;
/// Where the rings of queue 0 are; those of the next one are so much further up.
const DESCRIPTORS: u64 = 0x1000;
const AVAILABLE: u64 = 0x2000;
const USED: u64 = 0x3000;
const QUEUE_STRIDE: u64 = 0x4000;
const QUEUES_MAX: usize = 2;
const PATIENCE: Duration = Duration::from_secs(20);

/// A piece of memory for the device to read.
pub fn readable(address: u64, len: u32) -> (u64, u32, u16) {
    (address, len, 0)
}

/// A piece of memory for the device to write.
pub fn writable(address: u64, len: u32) -> (u64, u32, u16) {
    (address, len, u16::try_from(VRING_DESC_F_WRITE).unwrap())
}

pub struct TestDriver {
    pub ram: Arc<GuestRam>,
    pub transport: MmioTransport,
    pub irq: EventFd,
    /// The queue that what follows is about.
    queue: usize,
    positions: [Position; QUEUES_MAX],
}

/// How far the driver is in the rings of a queue.
#[derive(Clone, Copy, Default)]
struct Position {
    available: u16,
    used: u16,
}

impl TestDriver {
    /// A driver that has not yet said anything to `device`.
    pub fn new(device: impl VirtioDevice + 'static) -> Self {
        let region = usize::try_from(REGION_BYTES).unwrap();
        let ranges = [(GuestAddress(0), region), (GuestAddress(REGION_BYTES), region)];
        let ram = Arc::new(GuestRam::from_ranges(&ranges).unwrap());
        let irq = EventFd::new(EFD_NONBLOCK).unwrap();
        let transport = MmioTransport::new(Box::new(device), Arc::clone(&ram), irq.try_clone().unwrap()).unwrap();
        Self { ram, transport, irq, queue: 0, positions: [Position::default(); QUEUES_MAX] }
    }

    /// A driver that has taken `device` over, with all features it offers.
    pub fn started(device: impl VirtioDevice + 'static) -> Self {
        let features = device.features();
        let mut driver = Self::new(device);
        driver.start(features);
        driver
    }

    /// What follows is about this queue; at first it is the first.
    pub fn select(&mut self, queue: usize) -> &mut Self {
        self.queue = queue;
        self
    }

    /// The address of a part of the selected queue's rings.
    fn ring(&self, part: u64) -> u64 {
        part + QUEUE_STRIDE * u64::try_from(self.queue).unwrap()
    }

    fn position(&mut self) -> &mut Position {
        &mut self.positions[self.queue]
    }

    pub fn read(&self, register: u32) -> u32 {
        let mut data = [0; 4];
        self.transport.read(u64::from(register), &mut data);
        u32::from_le_bytes(data)
    }

    pub fn write(&self, register: u32, value: u32) {
        self.transport.write(u64::from(register), &value.to_le_bytes());
    }

    pub fn status(&self) -> u32 {
        self.read(map::VIRTIO_MMIO_STATUS)
    }

    pub fn config(&self, offset: u64) -> u64 {
        let mut data = [0; 8];
        self.transport.read(u64::from(map::VIRTIO_MMIO_CONFIG) + offset, &mut data);
        u64::from_le_bytes(data)
    }

    pub fn negotiate(&self, features: u64) {
        self.write(map::VIRTIO_MMIO_STATUS, 0x1);
        self.write(map::VIRTIO_MMIO_STATUS, 0x3);
        for (select, word) in [(0, features), (1, features >> 32)] {
            self.write(map::VIRTIO_MMIO_DRIVER_FEATURES_SEL, select);
            self.write(map::VIRTIO_MMIO_DRIVER_FEATURES, u32::try_from(word & 0xffff_ffff).unwrap());
        }
        self.write(map::VIRTIO_MMIO_STATUS, 0xb);
    }

    pub fn describe_queue(&self) {
        let register = |value: u64| u32::try_from(value).unwrap();
        self.write(map::VIRTIO_MMIO_QUEUE_SEL, u32::try_from(self.queue).unwrap());
        self.write(map::VIRTIO_MMIO_QUEUE_NUM, u32::from(QUEUE_SIZE));
        self.write(map::VIRTIO_MMIO_QUEUE_DESC_LOW, register(self.ring(DESCRIPTORS)));
        self.write(map::VIRTIO_MMIO_QUEUE_AVAIL_LOW, register(self.ring(AVAILABLE)));
        self.write(map::VIRTIO_MMIO_QUEUE_USED_LOW, register(self.ring(USED)));
        self.write(map::VIRTIO_MMIO_QUEUE_READY, 1);
    }

    /// All the steps from a reset to a running device.
    pub fn start(&mut self, features: u64) {
        self.negotiate(features);
        assert_eq!(self.status(), 0xb, "the features were not agreed to");
        for queue in (0..self.transport.queue_events().len()).rev() {
            self.select(queue).describe_queue();
        }
        self.write(map::VIRTIO_MMIO_STATUS, 0xf);
        assert_eq!(self.status(), 0xf, "the device did not start");
    }

    pub fn reset(&mut self) {
        self.write(map::VIRTIO_MMIO_STATUS, 0);
        for queue in (0..QUEUES_MAX).rev() {
            self.select(queue);
            for part in [AVAILABLE, USED] {
                self.ram.write_slice(&[0; 0x400], GuestAddress(self.ring(part))).unwrap();
            }
        }
        self.positions = [Position::default(); QUEUES_MAX];
    }

    /// Makes a chain at descriptor 0 and tells nobody.
    pub fn make_chain(&self, pieces: &[(u64, u32, u16)]) {
        let last = pieces.len() - 1;
        for (index, (address, len, flags)) in pieces.iter().enumerate() {
            let link = if index == last { 0 } else { u16::try_from(VRING_DESC_F_NEXT).unwrap() };
            self.write_descriptor(u16::try_from(index).unwrap(), *address, *len, flags | link);
        }
    }

    /// Writes one descriptor that links to the one after it.
    pub fn write_descriptor(&self, index: u16, address: u64, len: u32, flags: u16) {
        let at = self.ring(DESCRIPTORS) + 16 * u64::from(index);
        self.ram.write_obj(address, GuestAddress(at)).unwrap();
        self.ram.write_obj(len, GuestAddress(at + 8)).unwrap();
        self.ram.write_obj(flags, GuestAddress(at + 12)).unwrap();
        self.ram.write_obj(index + 1, GuestAddress(at + 14)).unwrap();
    }

    /// Makes a descriptor link to another than the one after it.
    pub fn link_descriptor(&self, index: u16, next: u16) {
        let at = self.ring(DESCRIPTORS) + 16 * u64::from(index);
        self.ram.write_obj(next, GuestAddress(at + 14)).unwrap();
    }

    /// Makes the chain at descriptor 0 available, and notifies.
    pub fn offer_chain(&mut self) {
        self.offer_chain_at(0);
    }

    /// Makes the chain at descriptor `head` available, and notifies.
    pub fn offer_chain_at(&mut self, head: u16) {
        let slot = self.ring(AVAILABLE) + 4 + 2 * u64::from(self.position().available % QUEUE_SIZE);
        self.ram.write_obj(head, GuestAddress(slot)).unwrap();
        let available = self.position().available.wrapping_add(1);
        self.position().available = available;
        self.claim_available(available);
        self.transport.queue_events()[self.queue].write(1).unwrap();
    }

    /// Says that there are `index` chains in all.
    pub fn claim_available(&self, index: u16) {
        self.ram.write_obj(index, GuestAddress(self.ring(AVAILABLE) + 2)).unwrap();
    }

    /// Sends a chain through, and returns how many bytes the device says it wrote.
    pub fn send(&mut self, pieces: &[(u64, u32, u16)]) -> u32 {
        self.make_chain(pieces);
        self.offer_chain();
        self.used()
    }

    /// Waits for the next chain to come back, and returns how many bytes the device says it wrote.
    pub fn used(&mut self) -> u32 {
        self.used_chain().1
    }

    /// Waits for the next chain to come back, and returns its head and how many bytes the device says it wrote.
    pub fn used_chain(&mut self) -> (u32, u32) {
        let next = self.position().used;
        self.wait_for("a used chain", |driver| driver.used_index() != next);
        let slot = self.ring(USED) + 4 + 8 * u64::from(next % QUEUE_SIZE);
        self.position().used = next.wrapping_add(1);
        // used_event, at the end of the available ring: interrupt for the next one.
        let used_event = self.ring(AVAILABLE) + 4 + 2 * u64::from(QUEUE_SIZE);
        self.ram.write_obj(next.wrapping_add(1), GuestAddress(used_event)).unwrap();
        let field = |at| self.ram.read_obj::<u32>(GuestAddress(at)).unwrap();
        (field(slot), field(slot + 4))
    }

    /// How many chains the device says it has given back.
    pub fn used_index(&self) -> u16 {
        self.ram.read_obj(GuestAddress(self.ring(USED) + 2)).unwrap()
    }

    /// Waits until `done`.
    pub fn wait_for(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "no {what}");
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    pub fn fill(&self, address: u64, bytes: &[u8]) {
        self.ram.write_slice(bytes, GuestAddress(address)).unwrap();
    }

    pub fn content(&self, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.ram.read_slice(&mut bytes, GuestAddress(address)).unwrap();
        bytes
    }
}

/// The least a driver must accept.
pub const LEAST_FEATURES: u64 = RING_FEATURES & !((1 << 28) | (1 << 29));
