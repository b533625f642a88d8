//! Frames at the edges of guest memory.

use hypercall_abi::Status;
use tests::payload::{FIRST_FRAME, Machine, RAM_BYTES, get, put};

/// 3 GiB and 16 MiB: the last 16 MiB lie behind 4 GiB, with the device hole between.
const RAM_WITH_HOLE: u64 = (3 << 30) + (16 << 20);
const HOLE: u64 = (3 << 30) >> 12;
const BEHIND_HOLE: u64 = (4 << 30) >> 12;

#[test]
fn a_frame_beyond_ram_is_a_bad_address_and_drops_the_key() {
    let mut machine = Machine::new();
    let pool = machine.greet();
    for frame in [RAM_BYTES >> 12, u64::MAX >> 12, 1 << 52, u64::MAX] {
        assert_eq!(machine.call(put(pool, 1, FIRST_FRAME)).status(), Status::Ok);
        assert_eq!(machine.call(get(pool, 1, frame)).status(), Status::BadAddress, "get to {frame:#x}");
        assert_eq!(machine.call(get(pool, 1, FIRST_FRAME)).status(), Status::Ok, "a bad get changes nothing");
        assert_eq!(machine.call(put(pool, 1, frame)).status(), Status::BadAddress, "put from {frame:#x}");
        assert_eq!(machine.call(get(pool, 1, FIRST_FRAME)).status(), Status::Empty, "a failed put leaves no old copy");
    }
}

#[test]
fn the_last_page_of_ram_is_a_page() {
    let mut machine = Machine::new();
    let pool = machine.greet();
    let last = (RAM_BYTES >> 12) - 1;
    machine.fill(last, 0x5a);
    assert_eq!(machine.call(put(pool, 1, last)).status(), Status::Ok);
    machine.fill(last, 0);
    assert_eq!(machine.call(get(pool, 1, last)).status(), Status::Ok);
    assert_eq!(machine.page(last), [0x5a; 4096]);
}

#[test]
fn the_device_hole_is_no_memory() {
    let mut machine = Machine::with(1, RAM_WITH_HOLE);
    let pool = machine.greet();
    let expected = [
        (HOLE - 1, Status::Ok),
        (HOLE, Status::BadAddress),
        (BEHIND_HOLE - 1, Status::BadAddress),
        (BEHIND_HOLE, Status::Ok),
        (BEHIND_HOLE + (16 << 8) - 1, Status::Ok),
        (BEHIND_HOLE + (16 << 8), Status::BadAddress),
    ];
    for (frame, status) in expected {
        assert_eq!(machine.call(put(pool, 1, frame)).status(), status, "frame {frame:#x}");
    }
}
