use std::io::{Read, Write};
use std::time::Duration;

use proptest::prelude::*;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use virtio_bindings::bindings::virtio_mmio as map;
use virtio_bindings::bindings::virtio_ring::{VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};

use super::super::test_driver::{BUFFERS, LEAST_FEATURES, RAM_BYTES, REGION_BYTES, TestDriver, readable, writable};
use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
const HEADER: [u8; HEADER_BYTES] = [0; HEADER_BYTES];
/// Where frames to be sent are.
const OUT: u64 = BUFFERS + 0x8_0000;
/// Long enough for a thread to do what it must not.
const A_WHILE: Duration = Duration::from_millis(50);

/// A driver, and the other end of what its card takes for a tap: a pair of sockets keeps messages apart as a tap keeps
/// frames.
struct Rig {
    driver: TestDriver,
    wire: File,
    counters: Arc<NetCounters>,
}

/// A frame of `len` bytes behind a header of zeroes.
fn frame(len: usize) -> Vec<u8> {
    let content = (0..len).map(|index| u8::try_from(index % 251).unwrap());
    HEADER.into_iter().chain(content).collect()
}

/// As the driver gets it in `buffers` buffers.
fn in_buffers(frame: &[u8], buffers: u8) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[10] = buffers;
    frame
}

fn rig_with(features: u64) -> Rig {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (tap, wire) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    let device = NetDevice::new("test", tap.into(), MAC).unwrap();
    let counters = device.counters();
    let offered = device.features();
    let mut driver = TestDriver::new(device);
    driver.start(offered & features);
    Rig { driver, wire: wire.into(), counters }
}

fn rig() -> Rig {
    rig_with(u64::MAX)
}

impl Rig {
    /// Gives the card a receive buffer, descriptor `index`.
    fn give_buffer(&mut self, index: u16, address: u64, len: u32) {
        self.driver.select(RECEIVE);
        let flags = u16::try_from(VRING_DESC_F_WRITE).unwrap();
        self.driver.write_descriptor(index, address, len, flags);
        self.driver.offer_chain_at(index);
    }

    fn send(&mut self, pieces: &[(u64, u32, u16)]) -> u32 {
        self.driver.select(TRANSMIT).send(pieces)
    }

    /// Sends a frame in one piece, and returns whether it came out at the other end.
    fn passes(&mut self, bytes: &[u8]) -> bool {
        self.driver.fill(OUT, bytes);
        self.send(&[readable(OUT, u32::try_from(bytes.len()).unwrap())]);
        self.on_wire().is_some_and(|frame| frame == bytes)
    }

    fn on_wire(&mut self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 1 << 17];
        let len = self.wire.read(&mut bytes).ok()?;
        bytes.truncate(len);
        Some(bytes)
    }

    fn counter(&self, name: &str) -> u64 {
        self.counters.counters().find(|(found, _)| *found == name).unwrap().1
    }

    fn wait_for_counter(&self, name: &str, value: u64) {
        self.driver.wait_for(name, |_| self.counter(name) == value);
    }
}

#[test]
fn the_driver_sees_its_address_and_a_link_that_is_up() {
    let rig = rig();
    assert_eq!(rig.driver.config(0).to_le_bytes(), [2, 0, 0, 0, 0, 1, 1, 0]);
    assert_eq!(rig.driver.read(map::VIRTIO_MMIO_DEVICE_ID), 1);
}

#[test]
fn a_frame_is_sent_as_it_is_however_it_is_cut() {
    let mut rig = rig();
    let frame = frame(1000);
    assert!(rig.passes(&frame));
    rig.driver.fill(REGION_BYTES - 500, &frame);
    rig.send(&[readable(REGION_BYTES - 500, 1), readable(REGION_BYTES - 499, 1011)]);
    assert_eq!(rig.on_wire(), Some(frame));
    assert_eq!((rig.counter("tx_frames"), rig.counter("tx_bytes")), (2, 2000));
}

#[test]
fn the_longest_and_the_shortest_frame_are_sent_and_no_others() {
    let mut rig = rig();
    assert!(rig.passes(&frame(65_550)));
    assert!(!rig.passes(&frame(65_551)));
    assert!(rig.passes(&frame(14)));
    assert!(!rig.passes(&frame(13)));
    assert_eq!((rig.counter("tx_frames"), rig.counter("tx_rejected")), (2, 2));
}

#[test]
fn frames_go_out_in_their_order() {
    let mut rig = rig();
    for number in 0..40u8 {
        rig.driver.fill(OUT + 64 * u64::from(number), &[number; 30]);
        rig.driver.select(TRANSMIT).write_descriptor(number.into(), OUT + 64 * u64::from(number), 30, 0);
        rig.driver.offer_chain_at(number.into());
    }
    (0..40).for_each(|_| assert_eq!(rig.driver.used(), 0));
    let numbers: Vec<_> = std::iter::from_fn(|| rig.on_wire()).map(|frame| frame[29]).collect();
    assert_eq!(numbers, (0..40).collect::<Vec<_>>());
}

#[test]
fn a_frame_that_the_tap_has_no_room_for_waits_and_is_not_lost() {
    let mut rig = rig();
    let frame = frame(60_000);
    rig.driver.fill(OUT, &frame);
    // More than a pair of sockets holds.
    let sent = 60;
    for number in 0..sent {
        rig.driver.select(TRANSMIT).write_descriptor(number, OUT, 60_012, 0);
        rig.driver.offer_chain_at(number);
    }
    rig.driver.wait_for("a full tap", |_| rig.counter("tx_waits") > 0);
    let mut arrived = 0;
    while arrived < sent {
        match rig.on_wire() {
            Some(bytes) => {
                assert!(bytes == frame, "frame {arrived}");
                arrived += 1;
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    (0..sent).for_each(|_| assert_eq!(rig.driver.used(), 0));
    assert_eq!((rig.counter("tx_frames"), rig.counter("tx_dropped")), (sent.into(), 0));
}

#[test]
fn a_received_frame_arrives_in_one_buffer() {
    let mut rig = rig();
    rig.give_buffer(0, BUFFERS, 2000);
    let frame = frame(1000);
    rig.wire.write_all(&frame).unwrap();
    assert_eq!(rig.driver.used_chain(), (0, 1012));
    assert_eq!(rig.driver.content(BUFFERS, 1012), in_buffers(&frame, 1));
    assert_eq!(rig.driver.content(BUFFERS + 1012, 4), [0; 4], "nothing is written behind the frame");
    assert_eq!((rig.counter("rx_frames"), rig.counter("rx_bytes")), (1, 1000));
}

#[test]
fn a_long_frame_arrives_in_several_buffers_that_come_back_together() {
    let mut rig = rig();
    let frame = frame(50_000);
    for index in 0..40u16 {
        rig.give_buffer(index, BUFFERS + 0x1000 * u64::from(index), 1500);
    }
    rig.wire.write_all(&frame).unwrap();
    rig.driver.wait_for("used chains", |driver| driver.used_index() != 0);
    assert_eq!(rig.driver.used_index(), 34, "all at once");
    let arrived: Vec<u8> = (0..34u16)
        .flat_map(|index| {
            let (head, written) = rig.driver.used_chain();
            assert_eq!(head, u32::from(index));
            rig.driver.content(BUFFERS + 0x1000 * u64::from(index), written.try_into().unwrap())
        })
        .collect();
    assert_eq!(arrived, in_buffers(&frame, 34));
    rig.driver.wait_for("an interrupt", |driver| driver.irq.read().is_ok());
}

#[test]
fn a_frame_waits_for_buffers_and_is_not_lost() {
    let mut rig = rig();
    rig.wire.write_all(&frame(100)).unwrap();
    rig.wire.write_all(&frame(200)).unwrap();
    rig.wait_for_counter("rx_waits", 1);
    rig.give_buffer(0, BUFFERS, 100);
    rig.give_buffer(1, BUFFERS + 0x1000, 2000);
    rig.give_buffer(2, BUFFERS + 0x2000, 2000);
    assert_eq!(rig.driver.used_chain(), (0, 100));
    assert_eq!(rig.driver.used_chain(), (1, 12));
    assert_eq!(rig.driver.used_chain(), (2, 212));
    assert_eq!((rig.counter("rx_frames"), rig.counter("rx_dropped")), (2, 0));
}

#[test]
fn without_merging_a_frame_that_does_not_fit_is_dropped_and_the_next_one_arrives() {
    let mut rig = rig_with(LEAST_FEATURES);
    rig.give_buffer(0, BUFFERS, 500);
    rig.wire.write_all(&frame(1000)).unwrap();
    rig.wire.write_all(&frame(300)).unwrap();
    assert_eq!(rig.driver.used_chain(), (0, 312));
    assert_eq!(rig.driver.content(BUFFERS, 312), in_buffers(&frame(300), 1));
    assert_eq!((rig.counter("rx_frames"), rig.counter("rx_dropped")), (1, 1));
}

#[test]
fn a_frame_that_needs_what_the_driver_did_not_accept_is_dropped() {
    let mut rig = rig_with(LEAST_FEATURES);
    rig.give_buffer(0, BUFFERS, 2000);
    let mut unchecked = frame(100);
    unchecked[0] = 1;
    rig.wire.write_all(&unchecked).unwrap();
    rig.wire.write_all(&frame(60)).unwrap();
    assert_eq!(rig.driver.used_chain(), (0, 72));
    assert_eq!(rig.counter("rx_dropped"), 1);
}

#[test]
fn hostile_chains_come_back_and_the_card_goes_on() {
    let mut rig = rig();
    // To send: outside of RAM, longer than a u32 adds up, to be written to, an order that cannot be.
    for pieces in [
        vec![readable(RAM_BYTES - 1, 100)],
        vec![readable(u64::MAX, 100)],
        vec![readable(OUT, u32::MAX), readable(OUT, u32::MAX)],
        vec![readable(OUT, 100), writable(OUT, 1)],
        vec![writable(OUT, 1), readable(OUT, 100)],
        vec![readable(OUT, 0)],
    ] {
        assert_eq!(rig.send(&pieces), 0, "{pieces:?}");
    }
    assert!(rig.passes(&frame(100)));
    assert_eq!((rig.counter("tx_rejected"), rig.counter("tx_frames")), (6, 1));

    // To receive: not to be written to, empty, outside of RAM.
    rig.driver.select(RECEIVE).make_chain(&[readable(BUFFERS, 2000)]);
    rig.driver.offer_chain();
    rig.wire.write_all(&frame(100)).unwrap();
    assert_eq!(rig.driver.used_chain(), (0, 0));
    rig.give_buffer(1, BUFFERS, 0);
    assert_eq!(rig.driver.used_chain(), (1, 0));
    rig.give_buffer(2, RAM_BYTES - 10, 2000);
    assert_eq!(rig.driver.used_chain(), (2, 0));
    rig.give_buffer(3, BUFFERS, 2000);
    assert_eq!(rig.driver.used_chain(), (3, 112));
    assert_eq!((rig.counter("rx_rejected"), rig.counter("rx_frames")), (3, 1));
    assert_eq!(rig.driver.transport.driver_mistakes(), 9);
}

#[test]
fn chains_that_loop_come_back() {
    let mut rig = rig();
    let next = u16::try_from(VRING_DESC_F_NEXT).unwrap();
    let write = u16::try_from(VRING_DESC_F_WRITE).unwrap();
    for (queue, flags) in [(RECEIVE, next | write), (TRANSMIT, next)] {
        rig.driver.select(queue);
        (0..64).for_each(|index| rig.driver.write_descriptor(index, OUT, 1, flags));
        rig.driver.offer_chain();
    }
    assert_eq!(rig.driver.select(TRANSMIT).used(), 0);
    rig.wire.write_all(&frame(100)).unwrap();
    assert_eq!(rig.driver.select(RECEIVE).used(), 0);
    assert!(rig.passes(&frame(100)));
}

#[test]
fn impossible_rings_need_a_reset_and_a_reset_helps() {
    for queue in [RECEIVE, TRANSMIT] {
        let mut rig = rig();
        rig.driver.select(queue).claim_available(1000);
        rig.wire.write_all(&frame(100)).unwrap();
        rig.driver.transport.queue_events()[queue].write(1).unwrap();
        rig.driver.wait_for("needs reset", |driver| driver.status() == 0x4f);
        rig.driver.reset();
        rig.driver.start(RING_FEATURES);
        assert!(rig.passes(&frame(100)), "queue {queue}");
    }
}

#[test]
fn a_head_outside_of_the_table_needs_a_reset() {
    let mut rig = rig();
    rig.driver.select(TRANSMIT).offer_chain_at(u16::MAX);
    rig.driver.wait_for("needs reset", |driver| driver.status() == 0x4f);
}

#[test]
fn a_flood_of_bad_chains_does_not_keep_the_other_direction_waiting() {
    let mut rig = rig();
    rig.give_buffer(0, BUFFERS, 2000);
    // One descriptor, available over and over: a turn ends, and the frame in between arrives.
    rig.driver.select(TRANSMIT).write_descriptor(0, u64::MAX, 1, 0);
    for _ in 0..20 {
        (0..60).for_each(|_| rig.driver.offer_chain());
        (0..60).for_each(|_| assert_eq!(rig.driver.used(), 0));
    }
    rig.wire.write_all(&frame(100)).unwrap();
    assert_eq!(rig.driver.select(RECEIVE).used_chain(), (0, 112));
    assert_eq!(rig.counter("tx_rejected"), 1200);
}

#[test]
fn a_tap_that_vanishes_takes_the_link_down_and_nothing_else() {
    let mut rig = rig();
    let wire = std::mem::replace(&mut rig.wire, tempfile::tempfile().unwrap());
    drop(wire);
    rig.wait_for_counter("tap_lost", 1);
    assert_eq!(rig.driver.config(6) & 0xffff, 0, "the link is down");
    let cause = map::VIRTIO_MMIO_INT_CONFIG;
    rig.driver.wait_for("an interrupt", |driver| driver.read(map::VIRTIO_MMIO_INTERRUPT_STATUS) & cause != 0);
    // What is still sent comes back at once: a driver that waited for it would think that the card hangs.
    rig.driver.fill(OUT, &frame(100));
    assert_eq!(rig.send(&[readable(OUT, 112)]), 0);
    assert_eq!(rig.counter("tx_dropped"), 1);
    rig.driver.reset();
    rig.driver.start(RING_FEATURES);
    assert_eq!(rig.driver.config(6) & 0xffff, 0, "nor does it come back with a reset");
    assert_eq!(rig.counter("tap_lost"), 1);
}

#[test]
fn a_card_that_was_reset_touches_nothing() {
    let mut rig = rig();
    rig.give_buffer(0, BUFFERS, 2000);
    rig.driver.write(map::VIRTIO_MMIO_STATUS, 0);
    rig.wire.write_all(&frame(100)).unwrap();
    std::thread::sleep(A_WHILE);
    assert_eq!(rig.driver.content(BUFFERS, 112), vec![0; 112]);
    // The frame is still in the tap for the next driver.
    rig.driver.reset();
    rig.driver.start(RING_FEATURES);
    rig.give_buffer(0, BUFFERS, 2000);
    assert_eq!(rig.driver.used_chain(), (0, 112));
}

#[test]
fn a_driver_that_sets_up_one_queue_gets_no_card() {
    let flags = SocketFlags::NONBLOCK;
    let (tap, _wire) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    let mut driver = TestDriver::new(NetDevice::new("test", tap.into(), MAC).unwrap());
    driver.negotiate(RING_FEATURES);
    driver.select(RECEIVE).describe_queue();
    driver.write(map::VIRTIO_MMIO_STATUS, 0xf);
    assert_eq!(driver.status() & 0x40, 0x40, "needs a reset");
}

/// What a driver, and whoever is at the other end of the wire, may do at any time.
#[derive(Debug, Clone)]
enum Act {
    Describe { queue: usize, index: u16, address: u64, len: u32, flags: u16, next: u16 },
    Offer { queue: usize, head: u16 },
    Claim { queue: usize, index: u16 },
    Notify { queue: usize },
    Arrive(Vec<u8>),
    Listen,
}

fn act() -> impl Strategy<Value = Act> {
    let queue = || 0..2usize;
    let address = prop_oneof![8 => 0..RAM_BYTES, 1 => any::<u64>()];
    let len = prop_oneof![8 => 0..5000u32, 1 => any::<u32>()];
    // Next, write and indirect among them.
    let describe = (queue(), 0..64u16, address, len, 0..8u16, prop_oneof![8 => 0..64u16, 1 => any::<u16>()]);
    prop_oneof![
        6 => describe.prop_map(|(queue, index, address, len, flags, next)| {
            Act::Describe { queue, index, address, len, flags, next }
        }),
        6 => (queue(), 0..64u16).prop_map(|(queue, head)| Act::Offer { queue, head }),
        1 => (queue(), 0..100u16).prop_map(|(queue, index)| Act::Claim { queue, index }),
        2 => queue().prop_map(|queue| Act::Notify { queue }),
        4 => prop::collection::vec(any::<u8>(), 1..3000).prop_map(Act::Arrive),
        2 => Just(Act::Listen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Rings and descriptors are within everything that such a driver may write, the ring itself included.
    #[test]
    fn whatever_a_driver_does_a_reset_gives_it_a_card_that_works(acts in prop::collection::vec(act(), 0..150)) {
        let mut rig = rig();
        for act in acts {
            match act {
                Act::Describe { queue, index, address, len, flags, next } => {
                    rig.driver.select(queue).write_descriptor(index, address, len, flags);
                    rig.driver.link_descriptor(index, next);
                }
                Act::Offer { queue, head } => rig.driver.select(queue).offer_chain_at(head),
                Act::Claim { queue, index } => rig.driver.select(queue).claim_available(index),
                Act::Notify { queue } => rig.driver.transport.queue_events()[queue].write(1).unwrap(),
                // Full is fine: that is what the wire of a silent card becomes.
                Act::Arrive(frame) => drop(rig.wire.write(&frame)),
                Act::Listen => drop(rig.on_wire()),
            }
        }
        rig.driver.reset();
        while rig.on_wire().is_some() {}
        rig.driver.start(RING_FEATURES);
        prop_assert!(rig.passes(&frame(100)));
    }
}
