//! The BATCH call.

use hypercall_abi::{BATCH_ENTRY_SIZE, BATCH_MAX, BatchEntry, Call, Status};
use tests::payload::{FIRST_FRAME, Machine, RAM_BYTES, Record, batch_entry, get, put};
use vm_memory::{Bytes, GuestAddress};

/// Where the tests put their arrays.
const ARRAY: u64 = FIRST_FRAME << 12;
/// First frame behind them.
const PAGES: u64 = FIRST_FRAME + 16;

fn write(machine: &Machine, address: u64, entries: &[BatchEntry]) {
    for (entry, slot) in entries.iter().zip(0u64..) {
        let at = GuestAddress(address + slot * BATCH_ENTRY_SIZE as u64);
        machine.ram.write_slice(&entry.to_bytes(), at).expect("in RAM");
    }
}

fn entry_statuses(machine: &Machine, address: u64, count: u64) -> Vec<i32> {
    (0..count).map(|slot| machine.ram.read_obj(GuestAddress(address + slot * 64 + 4)).expect("in RAM")).collect()
}

fn batch(address: u64, count: u64) -> Record {
    Record { rdi: address, rsi: count, ..Record::call(Call::Batch) }
}

/// Runs the whole array as a driver does: from where the last call left off.
fn run_all(machine: &mut Machine, address: u64, count: u64) {
    let mut done = 0;
    while done < count {
        let reply = machine.call(batch(address + done * 64, count - done));
        assert_eq!(reply.status(), Status::Ok);
        assert!(reply.rdi > 0 && reply.rdi <= count - done, "{reply:?}");
        done += reply.rdi;
    }
}

#[test]
fn an_empty_batch_does_nothing() {
    let mut machine = Machine::new();
    machine.greet();
    let reply = machine.call(batch(ARRAY, 0));
    assert_eq!((reply.status(), reply.rdi), (Status::Ok, 0));
}

#[test]
fn the_largest_batch_runs_whole_and_one_more_entry_is_refused() {
    let mut machine = Machine::new();
    let pool = machine.greet();
    let puts: Vec<_> =
        (0..=BATCH_MAX).map(|index| batch_entry(Call::Put, pool, index, PAGES + u64::from(index))).collect();
    write(&machine, ARRAY, &puts);
    for index in 0..BATCH_MAX {
        machine.fill(PAGES + u64::from(index), u8::try_from(index).unwrap());
    }
    let refused = machine.call(batch(ARRAY, u64::from(BATCH_MAX) + 1));
    assert_eq!((refused.status(), refused.rdi), (Status::BadArgument, 0));
    run_all(&mut machine, ARRAY, u64::from(BATCH_MAX));
    assert_eq!(entry_statuses(&machine, ARRAY, 64), [0; 64]);
    assert_eq!(machine.counter("batch_put_entries"), 64);
    for index in 0..BATCH_MAX {
        assert_eq!(machine.call(get(pool, index, PAGES)).status(), Status::Ok);
        assert_eq!(machine.page(PAGES), [u8::try_from(index).unwrap(); 4096]);
    }
}

#[test]
fn entries_run_in_order_and_a_bad_one_costs_itself() {
    let mut machine = Machine::new();
    let pool = machine.greet();
    machine.fill(PAGES, 1);
    let entries = [
        batch_entry(Call::Put, pool, 7, PAGES),
        batch_entry(Call::Put, pool + 1, 7, PAGES),
        batch_entry(Call::Put, pool, 8, RAM_BYTES >> 12),
        batch_entry(Call::Get, pool, 7, PAGES + 1),
        batch_entry(Call::Hello, pool, 7, PAGES),
        BatchEntry { call: 7, ..batch_entry(Call::Put, pool, 9, PAGES) },
        BatchEntry { flags: 2, ..batch_entry(Call::Get, pool, 7, PAGES) },
        BatchEntry { flags: 1, ..batch_entry(Call::Get, pool, 7, PAGES + 2) },
        batch_entry(Call::Get, pool, 7, PAGES),
        batch_entry(Call::FlushRange, pool, 0, 1 << 32),
    ];
    write(&machine, ARRAY, &entries);
    run_all(&mut machine, ARRAY, entries.len() as u64);
    use Status::{BadAddress, BadArgument, BadCall, BadPool, Empty, Ok};
    let expected = [Ok, BadPool, BadAddress, Ok, BadCall, BadCall, BadArgument, Ok, Empty, Ok].map(Status::code);
    assert_eq!(entry_statuses(&machine, ARRAY, 10), expected);
    assert_eq!((machine.page(PAGES + 1), machine.page(PAGES + 2)), (vec![1; 4096], vec![1; 4096]));
}

#[test]
fn a_put_with_reserved_fields_set_is_refused_and_drops_the_key() {
    let mut machine = Machine::new();
    let pool = machine.greet();
    let bad = [
        BatchEntry { reserved: [0, 1], ..batch_entry(Call::Put, pool, 1, PAGES) },
        BatchEntry { reserved: [1, 0], ..batch_entry(Call::Get, pool, 2, PAGES) },
        BatchEntry { flags: 1, ..batch_entry(Call::Put, pool, 3, PAGES) },
        BatchEntry { flags: 1, ..batch_entry(Call::FlushRange, pool, 2, 1) },
    ];
    machine.run(&[put(pool, 1, PAGES), put(pool, 2, PAGES), put(pool, 3, PAGES)]);
    write(&machine, ARRAY, &bad);
    run_all(&mut machine, ARRAY, 4);
    assert_eq!(entry_statuses(&machine, ARRAY, 4), [Status::BadArgument.code(); 4]);
    let after = machine.run(&[get(pool, 1, PAGES), get(pool, 2, PAGES), get(pool, 3, PAGES)]);
    assert_eq!(after.iter().map(Record::status).collect::<Vec<_>>(), [Status::Miss, Status::Ok, Status::Miss]);
}

#[test]
fn an_array_outside_memory_or_misaligned_is_a_bad_address() {
    let mut machine = Machine::with(1, (3 << 30) + (16 << 20));
    machine.greet();
    let (end_of_low_ram, end_of_ram) = (3 << 30, (4u64 << 30) + (16 << 20));
    for address in [ARRAY + 1, ARRAY + 32, end_of_low_ram, end_of_low_ram - 64, end_of_ram - 64, end_of_ram, !63] {
        let reply = machine.call(batch(address, 2));
        assert_eq!((reply.status(), reply.rdi), (Status::BadAddress, 0), "{address:#x}");
    }
    assert_eq!(machine.call(batch(end_of_ram - 128, 2)).status(), Status::Ok);
}

#[test]
fn one_frame_may_stand_in_every_entry() {
    let mut machine = Machine::new();
    let pool = machine.greet();
    machine.fill(PAGES, 0x77);
    let puts: Vec<_> = (0..64).map(|index| batch_entry(Call::Put, pool, index, PAGES)).collect();
    write(&machine, ARRAY, &puts);
    run_all(&mut machine, ARRAY, 64);
    let gets: Vec<_> = (0..64).map(|index| batch_entry(Call::Get, pool, index, PAGES + 1)).collect();
    write(&machine, ARRAY, &gets);
    run_all(&mut machine, ARRAY, 64);
    assert_eq!(entry_statuses(&machine, ARRAY, 64), [0; 64]);
    assert_eq!(machine.page(PAGES + 1), [0x77; 4096]);
}

#[test]
fn a_get_over_its_own_array_does_not_change_what_runs() {
    let mut machine = Machine::new();
    let pool = machine.greet();
    machine.fill(PAGES, 0xff);
    machine.run(&[put(pool, 1, PAGES)]);
    let gets = [batch_entry(Call::Get, pool, 1, FIRST_FRAME), batch_entry(Call::Get, pool, 1, PAGES + 1)];
    write(&machine, ARRAY, &gets);
    run_all(&mut machine, ARRAY, 2);
    assert_eq!(entry_statuses(&machine, ARRAY, 2), [0; 2], "the array was copied in before the first entry ran");
    assert_eq!(machine.page(PAGES + 1), [0xff; 4096]);
}
