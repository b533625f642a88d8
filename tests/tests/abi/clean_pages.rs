//! What a guest may do wrong, or on purpose, with an ephemeral pool: bounded, charged, and answered right.

use hypercall_abi::{Call, GET_EXCLUSIVE, Status};
use tests::payload::{FIRST_FRAME, Machine, Record, get, pool_new, put};

const LIMIT_BYTES: u64 = 8 << 20;
/// Three times what fits, were all pages different.
const PUTS: u32 = 6000;

/// A machine that has greeted, and an ephemeral pool of it.
fn machine() -> (Machine, u32) {
    let mut machine = Machine::new();
    machine.greet();
    let reply = machine.call(pool_new(0));
    assert_eq!(reply.status(), Status::Ok);
    let pool = u32::try_from(reply.rdi).expect("a pool id has 31 bits");
    (machine, pool)
}

/// The same call on another object.
fn of(object: [u64; 3], call: Record) -> Record {
    Record { r8: object[0], r9: object[1], r10: object[2], ..call }
}

/// Lets the guest make these puts, a hundred at a time of one page that does not compress; all must be accepted within
/// the limit.
fn accepted_within_limit(machine: &mut Machine, puts: &[Record]) {
    machine.client.set_limit(LIMIT_BYTES);
    for (frame, puts) in (FIRST_FRAME..).zip(puts.chunks(100)) {
        machine.fill_with_noise(frame);
        let puts: Vec<_> = puts.iter().map(|call| Record { rsi: frame, ..*call }).collect();
        assert!(machine.run(&puts).iter().all(|reply| reply.status() == Status::Ok));
        let held = machine.client.statistics();
        assert!(held.resident_bytes <= LIMIT_BYTES, "{} bytes", held.resident_bytes);
        assert!(held.objects <= held.ephemeral_pages, "{} objects of {} pages", held.objects, held.ephemeral_pages);
    }
    assert!(machine.client.statistics().pages_evicted > 0, "nothing made way: there was room for all");
}

#[test]
fn pages_that_nobody_asked_for_make_way_for_each_other() {
    let (mut machine, pool) = machine();
    let puts: Vec<_> = (0..PUTS).map(|index| put(pool, index * 977, 0)).collect();
    accepted_within_limit(&mut machine, &puts);
}

#[test]
fn endless_new_objects_are_charged_and_make_way() {
    let (mut machine, pool) = machine();
    let puts: Vec<_> = (0..PUTS).map(|id| of([id.into(), u64::MAX, 0], put(pool, id, 0))).collect();
    accepted_within_limit(&mut machine, &puts);
}

#[test]
fn endless_new_objects_in_every_pool_there_may_be_are_charged_and_make_way() {
    let (mut machine, first) = machine();
    let mut pools = vec![first];
    loop {
        let reply = machine.call(pool_new(0));
        match reply.status() {
            Status::Ok => pools.push(u32::try_from(reply.rdi).expect("a pool id has 31 bits")),
            Status::NoResources => break,
            other => panic!("{other:?}"),
        }
    }
    let puts: Vec<_> =
        (0..PUTS).map(|n| of([u64::MAX, n.into(), 1], put(pools[n as usize % pools.len()], u32::MAX - n, 0))).collect();
    accepted_within_limit(&mut machine, &puts);
}

#[test]
fn where_ephemeral_pages_have_no_part_a_put_is_over_the_limit() {
    let (mut machine, pool) = machine();
    machine.fill_with_noise(FIRST_FRAME);
    machine.client.set_ephemeral_limit(0);
    assert_eq!(machine.call(put(pool, 1, FIRST_FRAME)).status(), Status::OverLimit);
    assert_eq!(machine.call(get(pool, 1, FIRST_FRAME)).status(), Status::Empty);
    machine.client.set_ephemeral_limit(u64::MAX);
    assert_eq!(machine.call(put(pool, 1, FIRST_FRAME)).status(), Status::Ok);
}

#[test]
fn the_largest_index_and_object_are_keys_as_any() {
    let (mut machine, pool) = machine();
    machine.fill(FIRST_FRAME, 9);
    let largest = |call| of([u64::MAX; 3], call);
    let calls = [
        largest(get(pool, u32::MAX, FIRST_FRAME + 1)),
        largest(put(pool, u32::MAX, FIRST_FRAME)),
        largest(get(pool, u32::MAX - 1, FIRST_FRAME + 1)),
        get(pool, u32::MAX, FIRST_FRAME + 1),
        largest(get(pool, u32::MAX, FIRST_FRAME + 1)),
    ];
    let statuses: Vec<_> = machine.run(&calls).iter().map(Record::status).collect();
    assert_eq!(statuses, [Status::Empty, Status::Ok, Status::Miss, Status::Miss, Status::Ok]);
    assert_eq!(machine.page(FIRST_FRAME + 1), [9; 4096]);
}

#[test]
fn pools_of_another_life_or_of_nobody_are_bad_pools() {
    let (mut machine, pool) = machine();
    machine.fill(FIRST_FRAME, 9);
    assert_eq!(machine.call(put(pool, 1, FIRST_FRAME)).status(), Status::Ok);
    // A new life.
    machine.greet();
    for id in [pool, pool + 100, u32::MAX] {
        let exclusive = Record { r11: GET_EXCLUSIVE, ..get(id, 1, FIRST_FRAME) };
        let flush = Record { rdi: u64::from(id) << 32, rsi: 1, ..Record::call(Call::FlushRange) };
        for call in [get(id, 1, FIRST_FRAME), exclusive, put(id, 1, FIRST_FRAME), flush] {
            assert_eq!(machine.call(call).status(), Status::BadPool, "pool {id:#x}");
        }
    }
    assert_eq!(machine.client.statistics().ephemeral_pages, 0);
}

#[test]
fn pools_end_at_their_number_and_not_before() {
    let (mut machine, _) = machine();
    let replies = machine.run(&vec![pool_new(0); 300]);
    let made = replies.iter().filter(|reply| reply.status() == Status::Ok).count();
    // Two there were already.
    assert_eq!(made, 254);
    assert!(replies[made..].iter().all(|reply| reply.status() == Status::NoResources));
}
