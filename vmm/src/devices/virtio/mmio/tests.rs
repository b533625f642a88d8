use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use virtio_bindings::bindings::virtio_mmio as map;
use virtio_queue::QueueT;

use super::super::RING_FEATURES;
use super::super::test_driver::{RAM_BYTES, TestDriver};
use super::*;

const NEEDS_RESET: u32 = 0x40;

/// A device with two queues that only remembers whether it is active.
#[derive(Clone, Default)]
struct Recorder {
    active: Arc<AtomicUsize>,
    activations: Arc<AtomicUsize>,
    refuses: bool,
}

impl VirtioDevice for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn device_type(&self) -> u32 {
        42
    }

    fn features(&self) -> u64 {
        RING_FEATURES | 0b1
    }

    fn queue_max_sizes(&self) -> &[u16] {
        &[128, 64]
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        data.fill(u8::try_from(offset).unwrap_or(0xff));
    }

    fn activate(&mut self, activation: Activation) -> Result<(), ActivateError> {
        if self.refuses || !activation.queues.iter().any(|active| active.queue.ready()) {
            return Err(ActivateError::QueueMissing(0));
        }
        self.active.store(1, Ordering::SeqCst);
        self.activations.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn reset(&mut self) {
        self.active.store(0, Ordering::SeqCst);
    }
}

fn driver() -> (TestDriver, Recorder) {
    let recorder = Recorder::default();
    (TestDriver::new(recorder.clone()), recorder)
}

fn running() -> (TestDriver, Recorder) {
    let (mut driver, recorder) = driver();
    driver.start(RING_FEATURES);
    (driver, recorder)
}

#[test]
fn a_driver_recognises_the_device() {
    let (driver, _) = driver();
    assert_eq!(driver.read(map::VIRTIO_MMIO_MAGIC_VALUE), u32::from_le_bytes(*b"virt"));
    assert_eq!(driver.read(map::VIRTIO_MMIO_VERSION), 2);
    assert_eq!(driver.read(map::VIRTIO_MMIO_DEVICE_ID), 42);
    assert_eq!(driver.read(map::VIRTIO_MMIO_VENDOR_ID), u32::from_le_bytes(*b"TMEM"));
    assert_eq!(driver.read(map::VIRTIO_MMIO_SHM_LEN_LOW), u32::MAX);
    assert_eq!(driver.transport.driver_mistakes(), 0);
}

#[test]
fn features_are_read_32_at_a_time() {
    let (driver, _) = driver();
    let word = |select| {
        driver.write(map::VIRTIO_MMIO_DEVICE_FEATURES_SEL, select);
        driver.read(map::VIRTIO_MMIO_DEVICE_FEATURES)
    };
    assert_eq!(word(0), 0x3000_0001);
    assert_eq!(word(1), 0x1);
    assert_eq!(word(2), 0);
    assert_eq!(word(u32::MAX), 0);
}

#[test]
fn queues_that_do_not_exist_have_size_zero() {
    let (driver, _) = driver();
    let size = |select| {
        driver.write(map::VIRTIO_MMIO_QUEUE_SEL, select);
        driver.read(map::VIRTIO_MMIO_QUEUE_NUM_MAX)
    };
    assert_eq!([size(0), size(1), size(2), size(u32::MAX)], [128, 64, 0, 0]);
}

#[test]
fn a_good_driver_starts_and_resets_the_device() {
    let (mut driver, recorder) = running();
    assert_eq!(recorder.active.load(Ordering::SeqCst), 1);
    assert_eq!(driver.read(map::VIRTIO_MMIO_QUEUE_READY), 1);
    driver.reset();
    assert_eq!(recorder.active.load(Ordering::SeqCst), 0);
    assert_eq!((driver.status(), driver.read(map::VIRTIO_MMIO_QUEUE_READY)), (0, 0));
    driver.start(RING_FEATURES);
    assert_eq!(recorder.activations.load(Ordering::SeqCst), 2);
    assert_eq!(driver.transport.driver_mistakes(), 0);
}

#[test]
fn features_that_were_not_offered_leave_features_ok_clear() {
    let (driver, _) = driver();
    driver.negotiate(RING_FEATURES | 0b10);
    assert_eq!(driver.status(), 0x3);
    assert_eq!(driver.transport.driver_mistakes(), 1);
}

#[test]
fn features_cannot_change_once_they_are_agreed() {
    let (driver, _) = driver();
    driver.negotiate(RING_FEATURES);
    driver.write(map::VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    driver.write(map::VIRTIO_MMIO_DRIVER_FEATURES, 0b1);
    assert_eq!(driver.transport.driver_mistakes(), 1);
}

#[test]
fn features_beyond_the_64th_cannot_be_accepted() {
    let (driver, _) = driver();
    driver.write(map::VIRTIO_MMIO_STATUS, 0x3);
    driver.write(map::VIRTIO_MMIO_DRIVER_FEATURES_SEL, 2);
    driver.write(map::VIRTIO_MMIO_DRIVER_FEATURES, 0);
    assert_eq!(driver.transport.driver_mistakes(), 0);
    driver.write(map::VIRTIO_MMIO_DRIVER_FEATURES, 1);
    assert_eq!(driver.transport.driver_mistakes(), 1);
}

#[test]
fn a_queue_outside_of_ram_needs_a_reset() {
    let (mut driver, recorder) = driver();
    driver.negotiate(RING_FEATURES);
    driver.write(map::VIRTIO_MMIO_QUEUE_DESC_LOW, u32::try_from(RAM_BYTES).unwrap());
    driver.write(map::VIRTIO_MMIO_QUEUE_READY, 1);
    driver.write(map::VIRTIO_MMIO_STATUS, 0xf);
    assert_eq!(driver.status(), 0xf | NEEDS_RESET);
    assert_eq!(driver.read(map::VIRTIO_MMIO_INTERRUPT_STATUS), map::VIRTIO_MMIO_INT_CONFIG);
    assert_eq!(driver.irq.read().unwrap(), 1);
    assert_eq!(recorder.activations.load(Ordering::SeqCst), 0);

    driver.reset();
    assert_eq!((driver.status(), driver.read(map::VIRTIO_MMIO_INTERRUPT_STATUS)), (0, 0));
    driver.start(RING_FEATURES);
}

#[test]
fn a_device_that_cannot_start_needs_a_reset() {
    let driver = TestDriver::new(Recorder { refuses: true, ..Recorder::default() });
    driver.negotiate(RING_FEATURES);
    driver.describe_queue();
    driver.write(map::VIRTIO_MMIO_STATUS, 0xf);
    assert_eq!(driver.status(), 0xf | NEEDS_RESET);
}

#[test]
fn queues_cannot_be_set_up_before_the_features_are_agreed() {
    let (driver, _) = driver();
    driver.describe_queue();
    assert_eq!(driver.read(map::VIRTIO_MMIO_QUEUE_READY), 0);
    assert_eq!(driver.transport.driver_mistakes(), 5);
}

#[test]
fn queues_cannot_be_changed_while_the_device_runs() {
    let (driver, _) = running();
    driver.write(map::VIRTIO_MMIO_QUEUE_READY, 0);
    driver.write(map::VIRTIO_MMIO_QUEUE_USED_LOW, 0);
    assert_eq!(driver.read(map::VIRTIO_MMIO_QUEUE_READY), 1);
    assert_eq!(driver.transport.driver_mistakes(), 2);
}

#[test]
fn a_notification_that_reaches_the_register_signals_the_queue() {
    let (driver, _) = running();
    driver.write(map::VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    assert_eq!(driver.transport.queue_events()[1].read().unwrap(), 1);
    assert!(driver.transport.queue_events()[0].read().is_err());
    driver.write(map::VIRTIO_MMIO_QUEUE_NOTIFY, 2);
    driver.write(map::VIRTIO_MMIO_QUEUE_NOTIFY, u32::MAX);
    assert_eq!(driver.transport.driver_mistakes(), 2);
}

#[test]
fn a_notification_before_the_device_runs_is_a_mistake() {
    let (driver, _) = driver();
    driver.write(map::VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    assert!(driver.transport.queue_events()[0].read().is_err());
    assert_eq!(driver.transport.driver_mistakes(), 1);
}

#[test]
fn interrupts_are_acknowledged_bit_by_bit() {
    let (driver, _) = running();
    driver.transport.interrupt.used_buffers();
    driver.transport.interrupt.config_changed();
    driver.write(map::VIRTIO_MMIO_INTERRUPT_ACK, map::VIRTIO_MMIO_INT_VRING);
    assert_eq!(driver.read(map::VIRTIO_MMIO_INTERRUPT_STATUS), map::VIRTIO_MMIO_INT_CONFIG);
    assert_eq!(driver.read(map::VIRTIO_MMIO_CONFIG_GENERATION), 1);
}

#[test]
fn the_configuration_space_may_be_read_at_any_width_and_not_written() {
    let (driver, _) = driver();
    assert_eq!(driver.config(0x10), 0x1010_1010_1010_1010);
    let mut byte = [0];
    driver.transport.read(0x101, &mut byte);
    assert_eq!(byte, [1]);
    driver.transport.write(0x100, &[1]);
    assert_eq!(driver.transport.driver_mistakes(), 1);
}

#[test]
fn odd_accesses_read_as_zero_and_change_nothing() {
    let (driver, _) = running();
    for offset in [0x70, 0x72, 0xfc, 0xffff_ffff_ffff_fff0] {
        driver.transport.write(offset, &[0]);
        driver.transport.write(offset, &[0; 8]);
    }
    let mut wide = [0xaa; 8];
    driver.transport.read(0x70, &mut wide);
    assert_eq!(wide, [0; 8]);
    assert_eq!(driver.status(), 0xf);
}

/// An access a hostile driver might make: anywhere, but more often where something is.
fn access() -> impl Strategy<Value = (u64, Vec<u8>)> {
    let offset = prop_oneof![4 => (0u64..0x108).prop_map(|offset| offset & !3), 1 => 0u64..0x1000];
    let data = prop_oneof![
        6 => prop_oneof![Just(0u32), Just(1), Just(3), Just(0xb), Just(0xf), Just(0x1000), any::<u32>()]
            .prop_map(|word| word.to_le_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..=8),
    ];
    (offset, data)
}

proptest! {
    #[test]
    fn a_driver_that_does_everything_in_wrong_order_gets_a_device_only_by_the_rules(
        accesses in prop::collection::vec(access(), 0..200)
    ) {
        let (mut driver, recorder) = driver();
        for (offset, data) in accesses {
            let mut read = vec![0; data.len()];
            driver.transport.read(offset, &mut read);
            driver.transport.write(offset, &data);
            let (active, status) = (recorder.active.load(Ordering::SeqCst), driver.status());
            // An active device has gone through every step; one whose driver gave up runs until it is reset.
            prop_assert!(active == 0 || status & 0xf == 0xf, "active in status {status:#x}");
        }
        driver.reset();
        driver.start(RING_FEATURES);
    }
}
