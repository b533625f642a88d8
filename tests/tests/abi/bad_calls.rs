//! Calls made wrong: each costs itself, and nothing else.

use hypercall_abi::{Call, POOL_PERSISTENT, POOL_SHARED, Status};
use tests::payload::{FIRST_FRAME, How, Machine, Record, get, hello, pool_new, put};
use vm_memory::{Bytes, GuestAddress};

fn statuses(machine: &mut Machine, records: &[Record]) -> Vec<Status> {
    machine.run(records).iter().map(Record::status).collect()
}

#[test]
fn nothing_works_before_hello() {
    let mut machine = Machine::new();
    let calls: Vec<_> = Call::ALL.into_iter().filter(|call| *call != Call::Hello).map(Record::call).collect();
    assert_eq!(statuses(&mut machine, &calls), vec![Status::BadVersion; calls.len()]);
}

#[test]
fn another_version_is_refused_and_told_ours() {
    let mut machine = Machine::new();
    for version in [0, 2, u64::MAX] {
        let reply = machine.call(Record { rdi: version, ..hello() });
        assert_eq!((reply.status(), reply.rdi), (Status::BadVersion, 1));
    }
    assert_eq!(machine.call(pool_new(0)).status(), Status::BadVersion);
}

#[test]
fn an_unknown_call_is_bad_call_and_so_is_a_status() {
    let mut machine = Machine::new();
    machine.greet();
    let numbers = [0, 1, 2, 16, 0xff, 0x10a, 0x200, u32::MAX, Status::BadPool.code().cast_unsigned()];
    let calls = numbers.map(Record::number);
    assert_eq!(statuses(&mut machine, &calls), [Status::BadCall; 9]);
    assert_eq!(machine.counter("unknown_call"), 9);
}

#[test]
fn unknown_flags_are_refused() {
    let mut machine = Machine::new();
    let pool = machine.greet();
    let calls = [
        Record { rsi: 1 << 63, ..hello() },
        pool_new(1 << 7),
        pool_new(POOL_PERSISTENT | POOL_SHARED),
        Record { rsi: 1, ..pool_new(POOL_PERSISTENT) },
        Record { r8: 1, ..pool_new(0) },
        Record { r11: 2, ..get(pool, 0, FIRST_FRAME) },
    ];
    assert_eq!(statuses(&mut machine, &calls), [Status::BadArgument; 6]);
    assert_eq!(machine.call(pool_new(POOL_SHARED)).status(), Status::Denied);
}

#[test]
fn only_a_single_four_byte_out_of_eax_is_a_call() {
    let mut machine = Machine::new();
    let pool = machine.greet();
    let string = GuestAddress(FIRST_FRAME << 12);
    machine.ram.write_obj([0xdead_beef_u32; 4], string).unwrap();
    let shapes = [
        Record { how: How::OutWord, ..put(pool, 1, FIRST_FRAME) },
        Record { how: How::OutByte, ..put(pool, 1, FIRST_FRAME) },
        Record { how: How::OutString, rdi: 1, rsi: string.0, ..put(pool, 1, FIRST_FRAME) },
        Record { how: How::OutString, rdi: 4, rsi: string.0, ..put(pool, 1, FIRST_FRAME) },
    ];
    for shape in shapes {
        assert_eq!(machine.call(shape).status(), Status::BadCall, "{shape:?}");
    }
    assert_eq!(machine.counter("calls_put"), 0);
    assert!(machine.counter("not_a_call") >= 4);
    assert_eq!(machine.call(put(pool, 1, FIRST_FRAME)).status(), Status::Ok, "the vCPU goes on");
}

#[test]
fn pool_ids_at_both_ends_are_bad_pools() {
    let mut machine = Machine::new();
    let pool = machine.greet();
    for id in [0, pool + 1, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        let whole = |call| Record { rdi: u64::from(id), ..Record::call(call) };
        let keyed = |call| Record { rdi: u64::from(id) << 32, rsi: 1, ..Record::call(call) };
        let calls = [
            put(id, 0, FIRST_FRAME),
            get(id, 0, FIRST_FRAME),
            keyed(Call::FlushRange),
            whole(Call::FlushObject),
            whole(Call::PoolDestroy),
        ];
        assert_eq!(statuses(&mut machine, &calls), [Status::BadPool; 5], "pool {id:#x}");
    }
    let beyond = Record { rdi: u64::from(pool) | 1 << 32, ..Record::call(Call::PoolDestroy) };
    assert_eq!(machine.call(beyond).status(), Status::BadPool);
}

#[test]
fn a_range_that_wraps_is_refused() {
    let mut machine = Machine::new();
    let pool = machine.greet();
    let range = |first: u32, count| Record {
        rdi: u64::from(pool) << 32 | u64::from(first),
        rsi: count,
        ..Record::call(Call::FlushRange)
    };
    let calls = [range(0, (1 << 32) + 1), range(1, 1 << 32), range(u32::MAX, 2), range(0, u64::MAX), range(0, 1 << 32)];
    use Status::{BadArgument, Ok};
    assert_eq!(statuses(&mut machine, &calls), [BadArgument, BadArgument, BadArgument, BadArgument, Ok]);
}

#[test]
fn a_report_that_is_none_is_refused() {
    let mut machine = Machine::new();
    machine.greet();
    let at = GuestAddress(FIRST_FRAME << 12);
    let report = |address| Record { rdi: address, ..Record::call(Call::Report) };
    for (size, flags, psi) in [(0u32, 0u32, 0u32), (55, 0, 0), (4097, 0, 0), (56, 2, 0), (56, 0, 10_001)] {
        machine.ram.write_obj([size, flags, psi], at).unwrap();
        assert_eq!(machine.call(report(at.0)).status(), Status::BadArgument, "size {size}, flags {flags}, psi {psi}");
    }
    machine.ram.write_obj([64u32, 0, 0], at).unwrap();
    machine.ram.write_obj(1u8, GuestAddress(at.0 + 60)).unwrap();
    assert_eq!(machine.call(report(at.0)).status(), Status::BadArgument, "an unknown field is set");
    let end_of_ram = tests::payload::RAM_BYTES;
    machine.ram.write_obj(56u32, GuestAddress(end_of_ram - 4)).unwrap();
    for address in [end_of_ram - 4, end_of_ram, u64::MAX] {
        assert_eq!(machine.call(report(address)).status(), Status::BadAddress, "{address:#x}");
    }
}

#[test]
fn ten_thousand_random_calls_leave_the_machine_alive() {
    let mut machine = Machine::new();
    let pool = machine.greet();
    // A fixed xorshift: the same calls each run, so that a failure can be looked at.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let calls: Vec<_> = (0..10_000)
        .map(|_| {
            let number = 0xfe + u32::try_from(random() % 14).unwrap();
            let mut argument = || match random() % 4 {
                0 => random() % 4,
                1 => (u64::from(pool) << 32) | (random() % 64),
                2 => (64 << 20) + (random() % (70 << 20)),
                _ => random(),
            };
            let [rdi, rsi, r8, r9, r10, r11] = std::array::from_fn(|_| argument());
            Record { rdi, rsi, r8, r9, r10, r11, ..Record::number(number) }
        })
        .collect();
    let replies = machine.run(&calls);
    // `status` fails on anything that is no status of version 1.
    let bad = replies.iter().filter(|reply| reply.status().is_error()).count();
    assert!(bad > 1000, "random calls are mostly mistakes: {bad}");
    let pool = machine.greet();
    assert_eq!(machine.call(put(pool, 0, FIRST_FRAME)).status(), Status::Ok);
}
