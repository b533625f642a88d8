//! Ephemeral pools: pages may vanish, memory comes back.

use tmem::{ClientConfig, EvictionChoice, Status};

use super::{client, configured, ephemeral, key, limited, object_key, persistent};
use crate::guest::{get, put};
use crate::pages;

const MIB: u64 = 1 << 20;

#[test]
fn what_the_host_takes_back_is_back() {
    let client = client();
    let (kept, given) = (persistent(&client), ephemeral(&client));
    for index in 0..4000 {
        assert_eq!(put(&client, key(given, index), pages::text(index.into())), Status::Ok);
    }
    assert_eq!(put(&client, key(kept, 0), pages::text(0)), Status::Ok);
    let before = client.statistics();
    let freed = client.flush_ephemeral(2 * MIB);
    let after = client.statistics();
    assert!((2 * MIB..4 * MIB).contains(&freed), "{freed} bytes");
    assert_eq!(before.resident_bytes - after.resident_bytes, freed);
    assert_eq!(before.ephemeral_pages - after.ephemeral_pages, after.pages_evicted);
    client.flush_ephemeral(u64::MAX);
    let empty = client.statistics();
    assert_eq!((empty.ephemeral_pages, empty.ephemeral_bytes, empty.persistent_pages), (0, 0, 1));
    assert_eq!(get(&client, key(given, 0), false), Err(Status::Empty));
    assert_eq!(client.flush_ephemeral(1), 0);
    client.check_invariants();
}

#[test]
fn a_full_client_takes_new_ephemeral_pages_for_old_ones() {
    let client = limited(4 * MIB);
    let pool = ephemeral(&client);
    let rejected = (0..10_000).filter(|n| put(&client, object_key(pool, *n), pages::text(*n)) != Status::Ok).count();
    assert_eq!(rejected, 0);
    assert!(client.statistics().resident_bytes <= 4 * MIB);
    assert_eq!(get(&client, object_key(pool, 9_999), false), Ok(pages::text(9_999)));
    client.check_invariants();
}

#[test]
fn pages_that_are_all_spared_do_not_turn_a_put_away() {
    let client =
        configured(ClientConfig { eviction: EvictionChoice::SecondChance, ..ClientConfig::new(2 * MIB, [0; 2]) });
    let pool = ephemeral(&client);
    for n in 0..1000 {
        assert_eq!(put(&client, object_key(pool, n), pages::random(n)), Status::Ok, "page {n}");
        for _ in 0..3 {
            assert_eq!(get(&client, object_key(pool, n), false), Ok(pages::random(n)));
        }
    }
    client.check_invariants();
}

/// Hits on pages that are asked for again and again while others pass through.
fn hits(eviction: EvictionChoice) -> usize {
    let client = configured(ClientConfig { eviction, ..ClientConfig::new(2 * MIB, [0; 2]) });
    let pool = ephemeral(&client);
    for n in 0..50 {
        put(&client, object_key(pool, n), pages::random(n));
    }
    for n in 1000..4000 {
        put(&client, object_key(pool, n), pages::random(n));
        let _ = get(&client, object_key(pool, n % 50), false);
    }
    (0..50).filter(|n| get(&client, object_key(pool, *n), false) == Ok(pages::random(*n))).count()
}

#[test]
fn used_pages_outlive_a_scan() {
    assert_eq!(hits(EvictionChoice::Fifo), 0);
    assert_eq!(hits(EvictionChoice::SecondChance), 50);
}

#[test]
fn what_the_guest_took_back_goes_first() {
    let client = configured(ClientConfig { eviction: EvictionChoice::UsedFirst, ..ClientConfig::new(2 * MIB, [0; 2]) });
    let pool = ephemeral(&client);
    // Of 400 pages the younger half is used.
    for n in 0..400 {
        assert_eq!(put(&client, object_key(pool, n), pages::random(n)), Status::Ok);
    }
    for n in 200..400 {
        assert_eq!(get(&client, object_key(pool, n), false), Ok(pages::random(n)));
    }
    client.flush_ephemeral(MIB / 2);
    let evicted = client.statistics().pages_evicted;
    assert!((1..=200).contains(&evicted), "{evicted} evicted");
    for n in 0..200 {
        assert_eq!(get(&client, object_key(pool, n), false), Ok(pages::random(n)), "page {n} was not used");
    }
    client.check_invariants();
}

#[test]
fn flushed_leaves_do_not_pile_up_in_the_hand() {
    let client = client();
    let pool = ephemeral(&client);
    for n in 0..20_000 {
        assert_eq!(put(&client, object_key(pool, n % 3), pages::sparse(n)), Status::Ok);
        assert_eq!(client.flush_object(pool, object_key(pool, n % 3).object), Status::Ok);
    }
    assert_eq!(put(&client, object_key(pool, 0), pages::sparse(0)), Status::Ok);
    client.flush_ephemeral(u64::MAX);
    assert_eq!(client.statistics().pages_evicted, 1);
    client.check_invariants();
}
