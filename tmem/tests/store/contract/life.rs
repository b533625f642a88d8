//! Pools, and the guest's lives.

use tmem::{POOLS_MAX, PoolKind, Status};

use super::{OBJECT, client, ephemeral, key, limited, object_key, persistent};
use crate::guest::{get, put};
use crate::pages;

#[test]
fn ids_that_are_no_pool_are_answered_bad_pool() {
    let client = client();
    let pool = persistent(&client);
    for id in [0, pool + 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
        assert_eq!(put(&client, key(id, 0), pages::text(1)), Status::BadPool);
        assert_eq!(get(&client, key(id, 0), true), Err(Status::BadPool));
        assert_eq!(client.flush_range(id, OBJECT, 0, 1), Status::BadPool);
        assert_eq!(client.flush_object(id, OBJECT), Status::BadPool);
        assert_eq!(client.pool_destroy(id), Status::BadPool);
    }
    let s = client.statistics();
    assert_eq!((s.puts_bad_pool, s.gets_bad_pool, s.flushes_bad_pool), (5, 5, 15));
}

#[test]
fn a_destroyed_pool_is_gone_and_its_memory_is_back() {
    let client = client();
    let (pool, other) = (persistent(&client), ephemeral(&client));
    for n in 0..100 {
        assert_eq!(put(&client, object_key(pool, n), pages::text(n)), Status::Ok);
        assert_eq!(put(&client, object_key(other, n), pages::text(n)), Status::Ok);
    }
    assert_eq!(client.pool_destroy(pool), Status::Ok);
    assert_eq!(get(&client, object_key(pool, 0), false), Err(Status::BadPool));
    assert_eq!(get(&client, object_key(other, 0), false), Ok(pages::text(0)));
    client.check_invariants();
    let s = client.statistics();
    assert_eq!((s.pools, s.persistent_pages, s.ephemeral_pages), (1, 0, 100));
    assert_eq!((s.pool_destroys, s.pages_flushed_by_pool), (1, 100));
    assert_eq!(s.persistent_bytes, 0);
}

#[test]
fn hello_ends_all_earlier_pools_and_gives_their_memory_back() {
    let client = client();
    let earlier = [persistent(&client), ephemeral(&client)];
    for n in 0..2000 {
        assert_eq!(put(&client, object_key(earlier[0], n), pages::random(n)), Status::Ok);
        assert_eq!(put(&client, key(earlier[1], n.try_into().unwrap()), pages::text(n)), Status::Ok);
    }
    client.hello();
    for pool in earlier {
        assert_eq!(get(&client, key(pool, 0), false), Err(Status::BadPool));
    }
    let s = client.statistics();
    assert_eq!((s.pools, s.resident_bytes, s.metadata_bytes, s.detached_pages), (0, 0, 0, 0));
    let later = persistent(&client);
    assert!(earlier.iter().all(|pool| *pool < later), "ids are not used again");
    assert_eq!(get(&client, key(later, 0), false), Err(Status::Empty));
    client.check_invariants();
}

#[test]
fn the_number_of_pools_is_bounded_but_not_that_of_their_ids() {
    let client = client();
    let pools: Vec<u32> = (0..POOLS_MAX).map(|_| persistent(&client)).collect();
    assert_eq!(client.pool_new(PoolKind::Ephemeral), Err(Status::NoResources));
    assert_eq!(client.pool_destroy(pools[0]), Status::Ok);
    let next = ephemeral(&client);
    assert!(pools.iter().all(|pool| *pool < next));
}

#[test]
fn pools_that_come_and_go_do_not_pile_up_behind_a_large_one() {
    let client = limited(1 << 20);
    let large = persistent(&client);
    // Far enough apart that what a call frees of it is less than a pool takes.
    let name = |n: u32| key(large, n / 64 * 512 + n % 64);
    let fits = (0..).take_while(|n| put(&client, name(*n), pages::same_filled(7)) == Status::Ok).count();
    assert!(fits > 10_000, "{fits}");
    assert_eq!(client.pool_destroy(large), Status::Ok);
    for _ in 0..200 {
        let small = ephemeral(&client);
        assert_eq!(client.pool_destroy(small), Status::Ok);
        let s = client.statistics();
        assert!(s.resident_bytes <= s.limit_bytes + 4096, "{s:?}");
    }
    client.check_invariants();
}
