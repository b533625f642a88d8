use proptest::prelude::*;
use virtio_queue::desc::split::Descriptor;
use vm_memory::GuestAddress;

use super::super::super::{Chain, ChainLimits};
use super::*;

const RAM_BYTES: usize = 1 << 16;
const UNTOUCHED: u8 = 0xee;
const WRITE: u16 = 2;
const NEXT: u16 = 1;

fn ram() -> GuestRam {
    let ram = GuestRam::from_ranges(&[(GuestAddress(0), RAM_BYTES)]).unwrap();
    ram.write_slice(&[UNTOUCHED; RAM_BYTES], GuestAddress(0)).unwrap();
    ram
}

/// A buffer of segments of these lengths, one behind the other from `at` on with a gap of a byte between them.
fn segments(at: &mut u64, lengths: &[u32], ram: &GuestRam) -> Segments {
    let last = lengths.len() - 1;
    let descriptors: Vec<_> = lengths
        .iter()
        .enumerate()
        .map(|(index, len)| {
            let descriptor = Descriptor::new(*at, *len, if index == last { WRITE } else { WRITE | NEXT }, 0);
            *at += u64::from(*len) + 1;
            descriptor
        })
        .collect();
    Chain::read(descriptors.into_iter(), ram, ChainLimits { segments: 8, bytes: u32::MAX }).unwrap().writable
}

fn room_of(buffers: &[&[u32]], merges: bool, ring_size: u16) -> Room {
    let (ram, mut at) = (ram(), 0);
    let mut room = Room::new(merges, ring_size);
    for (head, lengths) in (0..).zip(buffers) {
        room.add(head, segments(&mut at, lengths, &ram));
    }
    room
}

#[test]
fn without_merging_a_frame_needs_one_buffer() {
    let room = room_of(&[&[10, 5]], false, 256);
    assert_eq!((room.fit(15), room.fit(16)), (Fit::In(1), Fit::Nowhere));
    assert_eq!(room_of(&[], false, 256).fit(1), Fit::More);
}

#[test]
fn with_merging_a_frame_goes_on_in_the_next_buffer() {
    let room = room_of(&[&[10], &[5], &[5]], true, 256);
    assert_eq!(
        (room.fit(10), room.fit(11), room.fit(16), room.fit(21)),
        (Fit::In(1), Fit::In(2), Fit::In(3), Fit::More)
    );
}

#[test]
fn a_ring_of_small_buffers_does_not_hold_a_long_frame_for_ever() {
    let room = room_of(&[&[10], &[10]], true, 2);
    assert_eq!((room.fit(20), room.fit(21)), (Fit::In(2), Fit::Nowhere));
}

proptest! {
    /// Whatever the driver's buffers look like: all of the frame is in them, in order, and nothing anywhere else.
    #[test]
    fn a_frame_arrives_whole_and_touches_nothing_else(
        buffers in prop::collection::vec(prop::collection::vec(1u32..200, 1..5), 1..20),
        len in 1usize..5000,
        merges: bool,
    ) {
        let (ram, mut at) = (ram(), 0);
        let mut room = Room::new(merges, 256);
        let all: Vec<_> = buffers.iter().map(|lengths| segments(&mut at, lengths, &ram)).collect();
        for (head, segments) in (0..).zip(&all) {
            room.add(head, segments.clone());
        }
        // No byte is UNTOUCHED.
        let frame: Vec<u8> = (0..len).map(|index| u8::try_from(index % 200).unwrap()).collect();
        let capacity: u32 = all.iter().take(if merges { 64 } else { 1 }).map(Segments::len).sum();
        let Fit::In(count) = room.fit(len) else {
            prop_assert!(usize::try_from(capacity).unwrap() < len);
            return Ok(());
        };
        let used = room.fill(count, &frame, &ram);
        prop_assert_eq!(used.iter().map(|used| usize::from(used.head)).collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());

        // Read back what each used buffer is said to have, and wipe it out.
        let mut arrived = Vec::new();
        for (used, segments) in used.iter().zip(&all) {
            let mut left = used.written;
            prop_assert!(left > 0);
            for segment in segments.iter() {
                let now = left.min(segment.len);
                let mut bytes = vec![0; usize::try_from(now).unwrap()];
                ram.read_slice(&mut bytes, segment.address).unwrap();
                ram.write_slice(&vec![UNTOUCHED; bytes.len()], segment.address).unwrap();
                arrived.extend(bytes);
                left -= now;
            }
            prop_assert_eq!(left, 0);
        }
        prop_assert_eq!(arrived, frame);
        let mut rest = vec![0; RAM_BYTES];
        ram.read_slice(&mut rest, GuestAddress(0)).unwrap();
        prop_assert!(rest.iter().all(|byte| *byte == UNTOUCHED));
    }
}
