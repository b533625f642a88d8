//! Every call, made right.

use hypercall_abi::{
    BATCH_MAX, Call, FEATURE_BATCH, FEATURE_EPHEMERAL, FEATURE_PERSISTENT, GET_EXCLUSIVE, POOL_PERSISTENT, Report,
    Status,
};
use tests::payload::{FIRST_FRAME, Machine, Record, get, hello, pool_new, put};
use vm_memory::{Bytes, GuestAddress};

#[test]
fn hello_answers_with_version_features_and_the_largest_batch() {
    let mut machine = Machine::new();
    let reply = machine.call(hello());
    assert_eq!(reply.status(), Status::Ok);
    assert_eq!((reply.rdi, reply.r8), (1, u64::from(BATCH_MAX)));
    let needed = FEATURE_PERSISTENT | FEATURE_EPHEMERAL | FEATURE_BATCH;
    assert_eq!(reply.rsi & needed, needed);
}

#[test]
fn a_page_put_comes_back_byte_for_byte() {
    let mut machine = Machine::new();
    let pool = machine.greet();
    let page: Vec<u8> = (0..4096u32).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect();
    machine.ram.write_slice(&page, GuestAddress(FIRST_FRAME << 12)).unwrap();
    let replies =
        machine.run(&[put(pool, 5, FIRST_FRAME), get(pool, 5, FIRST_FRAME + 1), get(pool, 6, FIRST_FRAME + 2)]);
    assert_eq!(replies.iter().map(Record::status).collect::<Vec<_>>(), [Status::Ok, Status::Ok, Status::Miss]);
    assert_eq!(machine.page(FIRST_FRAME + 1), page);
}

#[test]
fn an_exclusive_get_takes_the_page_out() {
    let mut machine = Machine::new();
    let pool = machine.greet();
    machine.fill(FIRST_FRAME, 9);
    let exclusive = Record { r11: GET_EXCLUSIVE, ..get(pool, 1, FIRST_FRAME + 1) };
    let replies =
        machine.run(&[put(pool, 1, FIRST_FRAME), put(pool, 2, FIRST_FRAME), exclusive, get(pool, 1, FIRST_FRAME)]);
    assert_eq!(replies[2].status(), Status::Ok);
    assert_eq!(replies[3].status(), Status::Miss);
}

#[test]
fn the_last_page_out_makes_the_pool_empty() {
    let mut machine = Machine::new();
    let pool = machine.greet();
    let exclusive = Record { r11: GET_EXCLUSIVE, ..get(pool, 1, FIRST_FRAME) };
    let replies =
        machine.run(&[get(pool, 1, FIRST_FRAME), put(pool, 1, FIRST_FRAME), exclusive, get(pool, 1, FIRST_FRAME)]);
    let statuses: Vec<_> = replies.iter().map(Record::status).collect();
    assert_eq!(statuses, [Status::Empty, Status::Ok, Status::Ok, Status::Empty]);
}

#[test]
fn flushes_remove_what_they_name_and_nothing_else() {
    let mut machine = Machine::new();
    let pool = machine.greet();
    let at = |index| u64::from(pool) << 32 | index;
    let flush_range = |first, count| Record { rdi: at(first), rsi: count, ..Record::call(Call::FlushRange) };
    let puts: Vec<_> = (0..6).map(|index| put(pool, index, FIRST_FRAME)).collect();
    machine.run(&puts);
    let replies = machine.run(&[
        flush_range(1, 2),
        flush_range(4, 0),
        get(pool, 0, FIRST_FRAME),
        get(pool, 1, FIRST_FRAME),
        get(pool, 2, FIRST_FRAME),
        get(pool, 3, FIRST_FRAME),
        flush_range(u64::from(u32::MAX), 1),
        Record { rdi: u64::from(pool), ..Record::call(Call::FlushObject) },
        get(pool, 0, FIRST_FRAME),
    ]);
    let statuses: Vec<_> = replies.iter().map(Record::status).collect();
    use Status::{Empty, Miss, Ok};
    assert_eq!(statuses, [Ok, Ok, Ok, Miss, Miss, Ok, Ok, Ok, Empty]);
}

#[test]
fn a_destroyed_pool_is_gone_and_its_id_is_not_used_again() {
    let mut machine = Machine::new();
    let pool = machine.greet();
    let replies = machine.run(&[
        put(pool, 0, FIRST_FRAME),
        Record { rdi: u64::from(pool), ..Record::call(Call::PoolDestroy) },
        get(pool, 0, FIRST_FRAME),
        pool_new(POOL_PERSISTENT),
        pool_new(0),
    ]);
    assert_eq!(replies[2].status(), Status::BadPool);
    assert!(replies[3].rdi > u64::from(pool) && replies[4].rdi > replies[3].rdi, "{replies:?}");
}

#[test]
fn hello_begins_a_new_life() {
    let mut machine = Machine::new();
    let pool = machine.greet();
    let before = machine.client.statistics().resident_bytes;
    for index in 0..512 {
        machine.call(put(pool, index, FIRST_FRAME + u64::from(index)));
    }
    let replies = machine.run(&[hello(), get(pool, 0, FIRST_FRAME), pool_new(POOL_PERSISTENT)]);
    assert_eq!([replies[0].status(), replies[1].status()], [Status::Ok, Status::BadPool]);
    assert!(replies[2].rdi > u64::from(pool));
    assert!(machine.client.statistics().resident_bytes <= before, "the earlier life's memory is back");
}

#[test]
fn events_tell_of_a_freeze() {
    let mut machine = Machine::new();
    let pool = machine.greet();
    machine.client.freeze();
    let frozen = machine.run(&[Record::call(Call::Events), put(pool, 0, FIRST_FRAME)]);
    assert_eq!((frozen[0].status(), frozen[0].rdi, frozen[1].status()), (Status::Ok, 2, Status::Frozen));
    machine.client.thaw();
    let thawed = machine.run(&[Record::call(Call::Events), put(pool, 0, FIRST_FRAME)]);
    assert_eq!((thawed[0].rdi, thawed[1].status()), (0, Status::Ok));
}

#[test]
fn a_report_is_kept_for_who_asks() {
    let mut machine = Machine::new();
    machine.greet();
    let address = GuestAddress((FIRST_FRAME << 12) + 8);
    let fields: [u32; 14] = [56, 1, 250, 50, 1000, 0, 2000, 0, 3000, 0, 4, 0, 5, 0];
    machine.ram.write_obj(fields, address).unwrap();
    assert_eq!(machine.call(Record { rdi: address.0, ..Record::call(Call::Report) }).status(), Status::Ok);
    let expected = Report {
        size: 56,
        flags: 1,
        psi_some: 250,
        psi_full: 50,
        committed_pages: 1000,
        free_pages: 2000,
        total_pages: 3000,
        swap_in_pages: 4,
        swap_out_pages: 5,
    };
    assert_eq!(machine.hypercalls.report().map(|(report, _age)| report), Some(expected));
}
