//! A put is answered before its page is compressed, and nobody can tell.

use std::thread;

use tmem::{AcceptChoice, Client, ClientConfig, PAGE_SIZE, Page, Status};

use super::{OBJECT, configured, ephemeral, key, persistent};
use crate::guest::{BAD, Guest, get, put};
use crate::pages::{mixed, random, same_filled, sparse, text};

const PAGES: u32 = 16;
const BYTES: usize = PAGES as usize * PAGE_SIZE;

fn client() -> Client {
    configured(ClientConfig { staging_bytes: BYTES, ..ClientConfig::new(1 << 30, [1, 2]) })
}

fn compress_all(client: &Client) -> u64 {
    client.compress_staged(u64::MAX, || true)
}

/// A client with that many staged pages of text in a pool.
fn staged(pool: impl Fn(&Client) -> u32, pages: u32) -> (Client, u32) {
    let client = client();
    let pool = pool(&client);
    (0..pages).for_each(|index| assert_eq!(put(&client, key(pool, index), page(index)), Status::Ok));
    (client, pool)
}

fn page(index: u32) -> Page {
    text(u64::from(index))
}

#[test]
fn a_page_is_the_same_before_and_after_it_is_compressed() {
    let (client, pool) = staged(persistent, 9);
    assert_eq!(client.statistics().staged_pages, 9);
    let all = || (0..9).all(|index| get(&client, key(pool, index), false) == Ok(page(index)));
    assert!(all());
    // Loaded pages wait a round.
    assert_eq!((compress_all(&client), compress_all(&client)), (0, 9));
    assert_eq!((client.statistics().staged_pages, client.statistics().page_lz_pages), (0, 9));
    assert!(all());
    client.check_invariants();
}

#[test]
fn what_is_flushed_replaced_or_taken_meanwhile_is_never_compressed() {
    let (client, pool) = staged(persistent, 8);
    assert_eq!(client.flush_range(pool, OBJECT, 0, 5), Status::Ok);
    assert_eq!(get(&client, key(pool, 5), true), Ok(page(5)));
    assert_eq!(put(&client, key(pool, 6), text(99)), Status::Ok);
    assert_eq!(compress_all(&client), 2);
    assert_eq!(client.statistics().pages_unstaged, 2);
    assert_eq!(get(&client, key(pool, 6), false), Ok(text(99)));
    assert_eq!(get(&client, key(pool, 7), false), Ok(page(7)));
    client.check_invariants();
}

#[test]
fn a_full_buffer_compresses_within_the_put() {
    let (client, pool) = staged(persistent, PAGES + 5);
    let full = client.statistics();
    assert_eq!((full.staged_pages, full.page_lz_pages), (u64::from(PAGES), 5));
    assert_eq!((full.puts_staged, full.puts_accepted), (u64::from(PAGES), u64::from(PAGES) + 5));
    assert!((0..PAGES + 5).all(|index| get(&client, key(pool, index), false) == Ok(page(index))));
    client.check_invariants();
}

#[test]
fn near_its_limit_a_client_has_no_buffer() {
    let (client, pool) = staged(persistent, 4);
    client.set_limit(2 * BYTES as u64);
    assert_eq!(put(&client, key(pool, 4), page(4)), Status::Ok);
    assert_eq!((client.statistics().staged_pages, client.statistics().page_lz_pages), (4, 1));
    client.check_invariants();
}

#[test]
fn a_limit_below_the_use_compresses_and_gives_the_buffer_back() {
    let (client, pool) = staged(persistent, PAGES);
    client.set_limit(BYTES as u64 - 1);
    let cut = client.statistics();
    assert_eq!(cut.staged_pages, 0, "{cut:?}");
    assert!(cut.resident_bytes <= cut.limit_bytes, "{cut:?}");
    assert!((0..PAGES).all(|index| get(&client, key(pool, index), false) == Ok(page(index))));
    client.check_invariants();
}

#[test]
fn a_limit_below_the_use_compresses_what_was_just_loaded_too() {
    let (client, pool) = staged(persistent, PAGES);
    assert!((0..PAGES).all(|index| get(&client, key(pool, index), false) == Ok(page(index))));
    client.set_limit(BYTES as u64 - 1);
    let cut = client.statistics();
    assert_eq!(cut.staged_pages, 0, "{cut:?}");
    assert!(cut.resident_bytes <= cut.limit_bytes, "{cut:?}");
    client.check_invariants();
}

#[test]
fn an_idle_buffer_costs_nothing() {
    let (client, pool) = staged(ephemeral, PAGES);
    compress_all(&client);
    assert_eq!(client.flush_object(pool, OBJECT), Status::Ok);
    while client.reclaim(u64::MAX) > 0 {}
    let idle = client.statistics();
    assert_eq!(idle.resident_bytes, idle.metadata_bytes);
    client.check_invariants();
}

#[test]
fn ephemeral_pages_are_evicted_from_the_buffer_too() {
    let (client, _) = staged(ephemeral, PAGES);
    client.flush_ephemeral(BYTES as u64);
    assert_eq!(client.statistics().ephemeral_pages, 0);
    assert_eq!(client.statistics().staged_pages, 0);
    client.check_invariants();
}

#[test]
fn a_page_of_one_word_needs_no_buffer() {
    let client = client();
    let pool = persistent(&client);
    assert_eq!(put(&client, key(pool, 0), same_filled(7)), Status::Ok);
    assert_eq!((client.statistics().same_filled_pages, client.statistics().staged_pages), (1, 0));
    assert_eq!(client.put(key(pool, 0), BAD, &Guest::blank()), Status::BadAddress);
    assert_eq!(client.statistics().staged_pages, 0);
    client.check_invariants();
}

#[test]
fn a_frozen_client_stages_nothing() {
    let (client, pool) = staged(persistent, 2);
    compress_all(&client);
    client.freeze();
    assert_eq!(put(&client, key(pool, 0), page(0)), Status::Ok);
    assert_eq!(put(&client, key(pool, 1), random(1)), Status::Frozen);
    assert_eq!(client.statistics().staged_pages, 0);
    client.check_invariants();
}

#[test]
fn only_what_was_staged_before_the_mark_is_compressed() {
    let (client, pool) = staged(persistent, 3);
    let mark = client.staging_mark();
    assert_eq!(put(&client, key(pool, 3), page(3)), Status::Ok);
    assert_eq!(client.compress_staged(mark, || true), 3);
    assert_eq!(client.staging_fill(), (1, PAGES as usize));
}

#[test]
fn a_put_that_asks_for_a_ratio_is_answered_by_the_ratio() {
    let config = ClientConfig { staging_bytes: BYTES, ..ClientConfig::new(1 << 30, [1, 2]) };
    let client = configured(ClientConfig { max_stored_bytes: 2048, ..config.clone() });
    let pool = persistent(&client);
    assert_eq!(put(&client, key(pool, 0), random(0)), Status::PoorRatio);
    assert_eq!(put(&client, key(pool, 0), sparse(1)), Status::Ok);
    assert_eq!(client.statistics().staged_pages, 0);
    let client = configured(ClientConfig { accept: AcceptChoice::BetterThanMean, ..config });
    assert_eq!(put(&client, key(persistent(&client), 0), sparse(1)), Status::Ok);
    assert_eq!(client.statistics().staged_pages, 0);
}

#[test]
fn a_thread_that_waits_is_woken_by_the_first_page() {
    let client = client();
    let pool = persistent(&client);
    thread::scope(|scope| {
        scope.spawn(|| {
            while client.staging_fill().0 == 0 {
                client.wait_for_staged();
            }
            while compress_all(&client) == 0 {}
        });
        assert_eq!(put(&client, key(pool, 0), mixed(5)), Status::Ok);
    });
    assert_eq!(client.statistics().pages_unstaged, 1);
}
