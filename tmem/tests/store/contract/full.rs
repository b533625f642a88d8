//! A store that was full takes new persistent pages again once enough of it is gone.

use tmem::{Client, ClientConfig, Status};

use super::{OBJECT, configured, ephemeral, key, object_key, persistent};
use crate::guest::{get, put};
use crate::pages;

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 4 * MIB;

/// A client that takes new pages again when it has fallen to nine tenths.
fn hysteretic() -> Client {
    configured(ClientConfig { accept_threshold_basis_points: 9000, ..ClientConfig::new(LIMIT, [1, 2]) })
}

fn put_random(client: &Client, pool: u32, index: u32) -> Status {
    put(client, key(pool, index), pages::random(index.into()))
}

/// Puts pages until one is refused. Returns how many it took.
fn fill(client: &Client, pool: u32) -> u32 {
    let pages = (0..).take_while(|index| put_random(client, pool, *index) == Status::Ok).count();
    assert_eq!(client.statistics().puts_rejected_over_limit, 1);
    u32::try_from(pages).unwrap()
}

fn take(client: &Client, pool: u32, index: u32) {
    assert_eq!(get(client, key(pool, index), true), Ok(pages::random(index.into())));
}

/// Takes pages one by one, and puts a new one each time; how many were taken when the first new one came in.
fn taken_until_accepted(client: &Client, pool: u32, pages: u32) -> u32 {
    let accepted = (0..pages).find(|index| {
        take(client, pool, *index);
        put_random(client, pool, 100_000 + index) == Status::Ok
    });
    accepted.unwrap() + 1
}

#[test]
fn without_a_threshold_each_page_that_goes_lets_another_in() {
    let client = configured(ClientConfig::new(LIMIT, [1, 2]));
    let pool = persistent(&client);
    let pages = fill(&client, pool);
    assert!((0..100).all(|index| {
        take(&client, pool, index);
        put(&client, key(pool, index), pages::random(u64::from(pages + index))) == Status::Ok
    }));
    assert_eq!(client.statistics().full, 0);
}

#[test]
fn a_tenth_has_to_go_before_new_pages_come_in_and_then_they_fill_it() {
    let client = hysteretic();
    let pool = persistent(&client);
    let pages = fill(&client, pool);
    assert_eq!(client.statistics().full, 1);
    let taken = taken_until_accepted(&client, pool, pages);
    assert!(taken.abs_diff(pages / 10) <= 3, "{taken} of {pages} pages");
    let s = client.statistics();
    assert_eq!((s.full, s.puts_rejected_over_limit), (0, u64::from(taken)));
    let again = (0..).take_while(|index| put_random(&client, pool, 200_000 + index) == Status::Ok).count();
    assert!(again.abs_diff(taken as usize) <= 3, "{again} came in where {taken} had gone");
    assert_eq!(client.statistics().full, 1);
    client.check_invariants();
}

#[test]
fn pages_that_free_no_slab_count_as_gone() {
    let client = hysteretic();
    let pool = persistent(&client);
    let pages = (0..).take_while(|n| put(&client, object_key(pool, *n), pages::text(*n)) == Status::Ok).count() as u64;
    // Every fifth page: no slab is empty by it.
    let gone = (0..pages).step_by(5).filter(|n| get(&client, object_key(pool, *n), true) == Ok(pages::text(*n)));
    assert_eq!(gone.count() as u64, pages.div_ceil(5));
    let s = client.statistics();
    assert!(s.resident_bytes > LIMIT * 9 / 10, "{} bytes", s.resident_bytes);
    assert_eq!(put(&client, object_key(pool, pages), pages::text(pages)), Status::Ok);
}

#[test]
fn a_page_that_replaces_another_is_taken_meanwhile_and_drops_it_where_there_is_no_room() {
    let client = hysteretic();
    let pool = persistent(&client);
    fill(&client, pool);
    take(&client, pool, 1);
    assert_eq!(put(&client, key(pool, 0), pages::random(77)), Status::Ok, "in the room of the one that was taken");
    assert_eq!(get(&client, key(pool, 0), false), Ok(pages::random(77)));
    assert_eq!(put(&client, key(pool, 100_000), pages::sparse(1)), Status::OverLimit, "a new one");
    client.set_limit(MIB);
    assert_eq!(put(&client, key(pool, 0), pages::random(78)), Status::OverLimit);
    assert_eq!(get(&client, key(pool, 0), false), Err(Status::Miss), "the older page is gone");
    client.check_invariants();
}

#[test]
fn the_threshold_follows_the_limit() {
    let client = hysteretic();
    let pool = persistent(&client);
    let pages = fill(&client, pool);
    client.set_limit(LIMIT * 21 / 20);
    assert_eq!(put_random(&client, pool, pages), Status::OverLimit, "19 parts of 20 are held, 18 would do");
    client.set_limit(LIMIT * 5 / 4);
    assert_eq!(put_random(&client, pool, pages), Status::Ok);
    assert_eq!(client.statistics().full, 0);
    // A lease far below what is held, and back.
    client.set_limit(MIB);
    assert_eq!(put_random(&client, pool, pages + 1), Status::OverLimit);
    client.set_limit(LIMIT);
    assert_eq!(put_random(&client, pool, pages + 1), Status::OverLimit, "more than nine tenths of that are held too");
    (0..pages / 2).for_each(|index| take(&client, pool, index));
    assert_eq!(put_random(&client, pool, pages + 1), Status::Ok);
    client.check_invariants();
}

#[test]
fn ephemeral_pages_come_in_meanwhile_and_keep_no_other_out() {
    let client = hysteretic();
    let (kept, given) = (persistent(&client), ephemeral(&client));
    let pages = fill(&client, kept);
    (0..pages / 5).for_each(|index| take(&client, kept, index));
    assert!((0..1000).all(|n| put(&client, object_key(given, n), pages::random(n)) == Status::Ok));
    let s = client.statistics();
    assert!(s.pages_evicted > 0 && s.full == 1, "they have filled what was free");
    assert!((0..pages / 6).all(|index| put_random(&client, kept, 100_000 + index) == Status::Ok));
    client.check_invariants();
}

#[test]
fn an_ephemeral_put_that_is_refused_keeps_no_other_out() {
    let client = hysteretic();
    let (kept, given) = (persistent(&client), ephemeral(&client));
    client.set_ephemeral_limit(0);
    assert_eq!(put_random(&client, given, 0), Status::OverLimit);
    assert_eq!((client.statistics().full, put_random(&client, kept, 0)), (0, Status::Ok));
}

#[test]
fn what_is_flushed_counts_as_gone_without_anybody_freeing_it() {
    let client = hysteretic();
    let pool = persistent(&client);
    fill(&client, pool);
    assert_eq!(client.flush_object(pool, OBJECT), Status::Ok);
    assert!((0..20).any(|index| put_random(&client, pool, index) == Status::Ok));
    client.check_invariants();
}

#[test]
fn a_new_life_begins_with_a_store_that_takes_pages() {
    let client = hysteretic();
    fill(&client, persistent(&client));
    client.hello();
    assert_eq!(client.statistics().full, 0);
    assert_eq!(put_random(&client, persistent(&client), 0), Status::Ok);
}

#[test]
fn a_full_arena_is_a_full_store() {
    let config =
        ClientConfig { arena_bytes: MIB, accept_threshold_basis_points: 5000, ..ClientConfig::new(LIMIT, [1, 2]) };
    let client = configured(config);
    let pool = persistent(&client);
    let pages = (0..).take_while(|index| put_random(&client, pool, *index) == Status::Ok).count();
    assert_eq!((pages, client.statistics().puts_rejected_no_space), (256, 1));
    let taken = taken_until_accepted(&client, pool, 256);
    assert!(taken.abs_diff(128) <= 3, "{taken} pages");
    client.check_invariants();
}
