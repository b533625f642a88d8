//! Flushes: nothing of it readable when they return, everything of it charged until it is free.

use tmem::{Key, ObjectId, Status};

use super::{OBJECT, client, ephemeral, key, limited, object_key, persistent};
use crate::guest::{get, put};
use crate::pages;

#[test]
fn a_range_flush_takes_its_range_and_nothing_else() {
    // First index, count, and the indexes left of these.
    let cases: [(u32, u64, &[u32]); 8] = [
        (0, 0, &[0, 1, 511, 512, 1023, 1024, 5000, u32::MAX]),
        (1, 1, &[0, 511, 512, 1023, 1024, 5000, u32::MAX]),
        (0, 512, &[512, 1023, 1024, 5000, u32::MAX]),
        (511, 2, &[0, 1, 1023, 1024, 5000, u32::MAX]),
        (1, 1 << 20, &[0, u32::MAX]),
        (512, 512, &[0, 1, 511, 1024, 5000, u32::MAX]),
        (u32::MAX, 1, &[0, 1, 511, 512, 1023, 1024, 5000]),
        (0, 1 << 32, &[]),
    ];
    for (first, count, left) in cases {
        let client = client();
        let pool = persistent(&client);
        let other = Key { object: ObjectId([0; 3]), ..key(pool, first) };
        assert_eq!(put(&client, other, pages::text(99)), Status::Ok);
        let indexes = [0, 1, 511, 512, 1023, 1024, 5000, u32::MAX];
        for index in indexes {
            assert_eq!(put(&client, key(pool, index), pages::text(index.into())), Status::Ok);
        }
        assert_eq!(client.flush_range(pool, OBJECT, first, count), Status::Ok);
        let found: Vec<u32> = indexes.into_iter().filter(|i| get(&client, key(pool, *i), false).is_ok()).collect();
        assert_eq!(found, left, "after a flush of {count} from {first}");
        assert_eq!(get(&client, other, false), Ok(pages::text(99)));
        assert_eq!(client.statistics().pages_flushed_by_range, 8 - left.len() as u64);
        client.check_invariants();
    }
}

#[test]
fn a_range_beyond_the_last_index_is_an_error_and_flushes_nothing() {
    let client = client();
    let pool = persistent(&client);
    assert_eq!(put(&client, key(pool, u32::MAX), pages::text(1)), Status::Ok);
    for (first, count) in [(u32::MAX, 2), (0, (1 << 32) + 1), (1, 1 << 32), (u32::MAX, u64::MAX), (0, u64::MAX)] {
        assert_eq!(client.flush_range(pool, OBJECT, first, count), Status::BadArgument);
    }
    assert_eq!(get(&client, key(pool, u32::MAX), false), Ok(pages::text(1)));
    assert_eq!(client.statistics().flushes_bad_argument, 5);
}

#[test]
fn flushing_what_is_not_there_is_fine() {
    let client = client();
    let pool = persistent(&client);
    assert_eq!(client.flush_object(pool, OBJECT), Status::Ok);
    assert_eq!(client.flush_range(pool, OBJECT, 5, 1 << 20), Status::Ok);
    let s = client.statistics();
    assert_eq!((s.object_flushes, s.range_flushes, s.objects), (1, 1, 0));
}

#[test]
fn a_large_object_is_cut_off_at_once_and_freed_bit_by_bit() {
    let client = client();
    let pool = persistent(&client);
    for index in 0..20_000 {
        assert_eq!(put(&client, key(pool, index), pages::sparse(index.into())), Status::Ok);
    }
    let before = client.statistics();
    assert_eq!(client.flush_object(pool, OBJECT), Status::Ok);
    let after = client.statistics();
    assert!(after.detached_pages > 18_000, "the caller frees a bounded number: {}", after.detached_pages);
    assert_eq!((after.persistent_pages, after.pages_flushed_by_object), (0, 20_000));
    assert!(after.resident_bytes > before.resident_bytes / 2, "what is detached stays charged");
    assert_eq!(get(&client, key(pool, 7), false), Err(Status::Empty));
    assert_eq!(put(&client, key(pool, 7), pages::text(7)), Status::Ok);
    assert!(client.reclaim(1000) >= 1000);
    while client.reclaim(1000) > 0 {}
    let idle = client.statistics();
    assert_eq!((idle.detached_pages, idle.persistent_pages), (0, 1));
    assert!(idle.resident_bytes < before.resident_bytes / 10);
    assert_eq!(get(&client, key(pool, 7), false), Ok(pages::text(7)));
    client.check_invariants();
}

#[test]
fn a_large_pool_is_gone_at_once_and_freed_bit_by_bit() {
    let client = client();
    let pool = ephemeral(&client);
    for n in 0..20_000 {
        assert_eq!(put(&client, object_key(pool, n % 50), pages::sparse(n)), Status::Ok);
        assert_eq!(put(&client, key(pool, u32::try_from(n).unwrap()), pages::sparse(n)), Status::Ok);
    }
    assert_eq!(client.pool_destroy(pool), Status::Ok);
    let after = client.statistics();
    assert!(after.detached_pages > 18_000, "the caller frees a bounded number: {}", after.detached_pages);
    assert_eq!((after.ephemeral_pages, after.pools, after.pages_flushed_by_pool), (0, 0, 20_050));
    assert_eq!(get(&client, key(pool, 7), false), Err(Status::BadPool));
    while client.reclaim(1000) > 0 {}
    assert_eq!(client.statistics().resident_bytes, 0);
    client.check_invariants();
}

#[test]
fn a_put_at_its_limit_frees_flushed_pages_itself() {
    let client = limited(16 << 20);
    let pool = persistent(&client);
    let fill = |object| {
        let name = |index| Key { pool, object: ObjectId([object, 0, 0]), index };
        (0..).take_while(|index| put(&client, name(*index), pages::random(u64::from(*index))) == Status::Ok).count()
    };
    let first = fill(1);
    assert!(first > 4000);
    assert_eq!(client.flush_object(pool, ObjectId([1, 0, 0])), Status::Ok);
    assert_eq!(fill(2), first);
    client.check_invariants();
}

#[test]
fn a_failed_flush_of_a_pool_that_is_not_there_is_counted() {
    let client = client();
    assert_eq!(client.flush_object(1, OBJECT), Status::BadPool);
    assert_eq!(client.flush_range(1, OBJECT, 0, 1), Status::BadPool);
    assert_eq!(client.pool_destroy(1), Status::BadPool);
    assert_eq!(client.statistics().flushes_bad_pool, 3);
}

#[test]
fn emptied_objects_cost_nothing() {
    let client = client();
    let pool = persistent(&client);
    let before = client.statistics().resident_bytes;
    for n in 0..500 {
        assert_eq!(put(&client, object_key(pool, n), pages::text(n)), Status::Ok);
    }
    for n in 0..500 {
        assert!(get(&client, object_key(pool, n), true).is_ok());
    }
    client.reclaim(0);
    let s = client.statistics();
    assert_eq!((s.objects, s.resident_bytes), (0, before));
}
