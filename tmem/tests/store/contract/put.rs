//! Puts: what is kept, and what is gone after a put that was not accepted.

use tmem::{ClientConfig, CodecChoice, Key, ObjectId, PAGE_SIZE, Page, Status};

use super::{OBJECT, client, configured, key, persistent};
use crate::guest::{BAD, Guest, get, put};
use crate::pages;

fn kinds() -> [Page; 6] {
    [
        [0; PAGE_SIZE],
        pages::same_filled(0xdead_beef_dead_beef),
        pages::random(1),
        pages::text(2),
        pages::pointers(3),
        pages::sparse(4),
    ]
}

#[test]
fn every_kind_of_page_comes_back_byte_for_byte() {
    let client = client();
    let pool = persistent(&client);
    for (index, page) in (0..).zip(kinds()) {
        assert_eq!(put(&client, key(pool, index), page), Status::Ok);
    }
    for (index, page) in (0..).zip(kinds()) {
        assert_eq!(get(&client, key(pool, index), false), Ok(page));
    }
    let s = client.statistics();
    assert_eq!((s.same_filled_pages, s.raw_pages, s.page_lz_pages, s.zstd_pages), (2, 1, 3, 0));
    client.check_invariants();
}

#[test]
fn zstandard_keeps_pages_in_less() {
    let stored = |codec| {
        let client = configured(ClientConfig { codec, ..ClientConfig::new(1 << 30, [0; 2]) });
        let pool = persistent(&client);
        for (index, page) in (0..).zip(kinds()) {
            assert_eq!(put(&client, key(pool, index), page), Status::Ok);
            assert_eq!(get(&client, key(pool, index), false), Ok(page));
        }
        client.statistics()
    };
    let (lz4, zstd) = (stored(CodecChoice::Lz4), stored(CodecChoice::Zstd));
    assert_eq!((zstd.zstd_pages, zstd.lz4_pages), (3, 0));
    assert!(zstd.zstd_bytes < lz4.lz4_bytes);
}

#[test]
fn keys_that_differ_in_one_bit_are_different_pages() {
    let client = client();
    let pools = [persistent(&client), persistent(&client)];
    let flipped = |bit: usize| {
        let mut id = OBJECT;
        id.0[bit / 64] ^= 1 << (bit % 64);
        id
    };
    let objects = (0..192).map(|bit| Key { pool: pools[0], object: flipped(bit), index: 0 });
    let indexes = (0..32).map(|bit| key(pools[0], 1 << bit));
    let keys: Vec<Key> = objects.chain(indexes).chain([key(pools[0], 0), key(pools[1], 0)]).collect();
    for (seed, key) in (0..).zip(&keys) {
        assert_eq!(put(&client, *key, pages::text(seed)), Status::Ok);
    }
    for (seed, key) in (0..).zip(&keys) {
        assert_eq!(get(&client, *key, false), Ok(pages::text(seed)));
    }
}

#[test]
fn a_duplicate_put_replaces() {
    let client = client();
    let pool = persistent(&client);
    for page in kinds() {
        assert_eq!(put(&client, key(pool, 9), page), Status::Ok);
        assert_eq!(get(&client, key(pool, 9), false), Ok(page));
    }
    let s = client.statistics();
    assert_eq!((s.puts_accepted, s.puts_duplicate, s.persistent_pages), (6, 5, 1));
    client.check_invariants();
}

#[test]
fn a_put_from_a_bad_frame_drops_the_older_page() {
    let client = client();
    let pool = persistent(&client);
    assert_eq!(put(&client, key(pool, 1), pages::text(1)), Status::Ok);
    assert_eq!(put(&client, key(pool, 2), pages::text(2)), Status::Ok);
    assert_eq!(client.put(key(pool, 1), BAD, &Guest::blank()), Status::BadAddress);
    assert_eq!(get(&client, key(pool, 1), false), Err(Status::Miss));
    assert_eq!(get(&client, key(pool, 2), false), Ok(pages::text(2)));
    let s = client.statistics();
    assert_eq!((s.puts_bad_address, s.pages_dropped_by_put), (1, 1));
    client.check_invariants();
}

#[test]
fn a_frozen_client_takes_only_duplicates_that_need_no_more_room() {
    let client = client();
    let pool = persistent(&client);
    for index in 0..3 {
        assert_eq!(put(&client, key(pool, index), pages::text(1)), Status::Ok);
    }
    client.freeze();
    assert!(client.is_frozen());
    assert_eq!(put(&client, key(pool, 9), [0; PAGE_SIZE]), Status::Frozen, "a new page");
    assert_eq!(put(&client, key(pool, 0), pages::text(1)), Status::Ok, "as much room");
    assert_eq!(put(&client, key(pool, 1), pages::sparse(1)), Status::Ok, "less room");
    assert_eq!(put(&client, key(pool, 2), pages::random(1)), Status::Frozen, "more room");
    assert_eq!(get(&client, key(pool, 0), false), Ok(pages::text(1)));
    assert_eq!(get(&client, key(pool, 1), true), Ok(pages::sparse(1)));
    assert_eq!(get(&client, key(pool, 2), false), Err(Status::Miss), "the old copy is gone");
    assert_eq!(client.flush_object(pool, OBJECT), Status::Ok);
    assert_eq!(get(&client, key(pool, 0), false), Err(Status::Empty));
    client.thaw();
    assert_eq!(put(&client, key(pool, 9), [0; PAGE_SIZE]), Status::Ok);
    client.check_invariants();
}

#[test]
fn each_reason_has_its_status_and_its_counter() {
    let page = pages::random(5);
    let small = configured(ClientConfig { arena_bytes: 64 << 10, ..ClientConfig::new(1 << 30, [0; 2]) });
    let pool = persistent(&small);
    let statuses: Vec<Status> = (0..20).map(|index| put(&small, key(pool, index), page)).collect();
    assert_eq!(statuses.iter().filter(|status| **status == Status::NoSpace).count(), 4);
    small.freeze();
    assert_eq!(put(&small, key(pool, 30), page), Status::Frozen);
    small.thaw();
    small.set_limit(1);
    assert_eq!(put(&small, key(pool, 30), page), Status::OverLimit);
    assert_eq!(put(&small, key(pool + 1, 30), page), Status::BadPool);
    let s = small.statistics();
    assert_eq!(
        (
            s.puts_accepted,
            s.puts_rejected_no_space,
            s.puts_rejected_frozen,
            s.puts_rejected_over_limit,
            s.puts_bad_pool
        ),
        (16, 4, 1, 1, 1)
    );

    let choosy = configured(ClientConfig { max_stored_bytes: 3000, ..ClientConfig::new(1 << 30, [0; 2]) });
    let pool = persistent(&choosy);
    assert_eq!(put(&choosy, key(pool, 0), pages::text(1)), Status::Ok);
    assert_eq!(put(&choosy, key(pool, 0), page), Status::PoorRatio);
    assert_eq!(get(&choosy, key(pool, 0), false), Err(Status::Empty), "the old copy is gone");
    assert_eq!(choosy.statistics().puts_rejected_poor_ratio, 1);
}

#[test]
fn a_full_arena_takes_pages_again_once_some_are_flushed() {
    let client = configured(ClientConfig { arena_bytes: 1 << 20, ..ClientConfig::new(1 << 30, [0; 2]) });
    let pool = persistent(&client);
    let fill = |object: u64| {
        let name = |index| Key { pool, object: ObjectId([object, 0, 0]), index };
        (0..).take_while(|index| put(&client, name(*index), pages::random(u64::from(*index))) == Status::Ok).count()
    };
    assert_eq!(fill(1), 256);
    assert_eq!(client.flush_object(pool, ObjectId([1, 0, 0])), Status::Ok);
    assert_eq!(fill(2), 256, "the put itself frees what was flushed");
    client.check_invariants();
}
