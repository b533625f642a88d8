//! Which pool's pages make way.

use proptest::prelude::*;
use tmem::{Client, ClientConfig, EvictionChoice, Status};

use super::{configured, ephemeral, limited, object_key};
use crate::guest::{get, put};
use crate::pages;

const MIB: u64 = 1 << 20;
/// Pages that leave at a time, and those that become free with them.
const SLACK: usize = 96;

fn fill(client: &Client, pool: u32, pages: std::ops::Range<u64>) {
    for n in pages {
        assert_eq!(put(client, object_key(pool, n), pages::random(n)), Status::Ok, "page {n} of pool {pool}");
    }
}

/// How many of its first pages a pool still has.
fn held(client: &Client, pool: u32, pages: u64) -> usize {
    (0..pages).filter(|n| get(client, object_key(pool, *n), false) == Ok(pages::random(*n))).count()
}

#[test]
fn a_pool_that_fills_the_store_leaves_a_small_one_alone() {
    for eviction in EvictionChoice::ALL {
        let client = configured(ClientConfig { eviction: *eviction, ..ClientConfig::new(4 * MIB, [0; 2]) });
        let (small, large) = (ephemeral(&client), ephemeral(&client));
        fill(&client, small, 0..100);
        fill(&client, large, 0..5000);
        assert_eq!(held(&client, small, 100), 100, "{eviction:?}");
        client.check_invariants();
    }
}

#[test]
fn pools_that_are_used_alike_share_the_store_alike() {
    let client = limited(4 * MIB);
    let pools: Vec<u32> = (0..4).map(|_| ephemeral(&client)).collect();
    for pool in &pools {
        fill(&client, *pool, 0..1000);
    }
    let held: Vec<usize> = pools.iter().map(|pool| held(&client, *pool, 1000)).collect();
    let mean = held.iter().sum::<usize>() / held.len();
    assert!(mean > 200 && held.iter().all(|held| held.abs_diff(mean) <= SLACK), "{held:?}");
    client.check_invariants();
}

#[test]
fn a_busy_pool_does_not_pay_for_an_idle_one() {
    let client = limited(4 * MIB);
    let (idle, busy) = (ephemeral(&client), ephemeral(&client));
    fill(&client, idle, 0..900);
    // It was used, but that is long ago in the end.
    assert!(held(&client, idle, 900) > 800);
    for n in 0..8000 {
        fill(&client, busy, n..n + 1);
        assert_eq!(get(&client, object_key(busy, n), false), Ok(pages::random(n)));
    }
    let left = held(&client, idle, 900);
    assert!((100..300).contains(&left), "{left} pages of the idle pool are left, of about a thousand in all");
    client.check_invariants();
}

#[test]
fn what_the_host_takes_comes_from_the_larger_pool() {
    let client = limited(1 << 30);
    let (small, large) = (ephemeral(&client), ephemeral(&client));
    fill(&client, small, 0..300);
    fill(&client, large, 0..1200);
    while client.statistics().ephemeral_pages > 900 {
        assert!(client.flush_ephemeral(MIB / 4) > 0);
    }
    assert_eq!(held(&client, small, 300), 300);
    let left = held(&client, large, 1200);
    assert!((400..=600).contains(&left), "{left} pages");
    client.flush_ephemeral(u64::MAX);
    assert_eq!(client.statistics().ephemeral_pages, 0);
    client.check_invariants();
}

#[test]
fn a_pool_in_the_place_of_one_that_is_gone_starts_anew() {
    let client = limited(4 * MIB);
    let mut last = ephemeral(&client);
    for _ in 0..3 * tmem::POOLS_MAX {
        fill(&client, last, 0..20);
        let next = ephemeral(&client);
        assert_eq!(client.pool_destroy(last), Status::Ok);
        last = next;
    }
    fill(&client, last, 0..3000);
    assert!(held(&client, last, 3000) > 800);
    client.check_invariants();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_pool_below_its_part_loses_nothing(
        puts in proptest::collection::vec((0_usize..5, 1_u64..60), 1..120),
        pools in 2_usize..6,
    ) {
        let client = limited(2 * MIB);
        let ids: Vec<u32> = (0..pools).map(|_| ephemeral(&client)).collect();
        let mut put = vec![0; pools];
        for (pool, count) in puts {
            let pool = pool % pools;
            fill(&client, ids[pool], put[pool]..put[pool] + count);
            put[pool] += count;
        }
        let held: Vec<usize> = ids.iter().zip(&put).map(|(id, put)| held(&client, *id, *put)).collect();
        let most = held.iter().max().copied().unwrap_or(0);
        for (held_one, put_one) in held.iter().zip(&put) {
            let lost = put_one.abs_diff(*held_one as u64) > 0;
            prop_assert!(!lost || held_one + SLACK >= most, "of {put:?} pages put {held:?} are left");
        }
        client.check_invariants();
    }
}
