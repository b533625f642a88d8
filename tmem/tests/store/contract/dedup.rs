//! Equal pages are stored once, and nobody can tell.

use tmem::{Client, ClientConfig, PAGE_SIZE, Page, Status};

use super::{OBJECT, configured, ephemeral, key, persistent};
use crate::guest::{get, put};
use crate::pages::{random, text};

fn client() -> Client {
    configured(ClientConfig { staging_bytes: 64 * PAGE_SIZE, ..ClientConfig::new(1 << 30, [1, 2]) })
}

/// Puts pages at indexes from `first` on, and lets the background have them.
fn store(client: &Client, pool: u32, first: u32, pages: &[Page]) {
    for (index, page) in (first..).zip(pages) {
        assert_eq!(put(client, key(pool, index), *page), Status::Ok);
        client.compress_staged(u64::MAX, || true);
    }
    client.check_invariants();
}

fn reads(client: &Client, pool: u32, index: u32, page: Page) -> bool {
    get(client, key(pool, index), false) == Ok(page)
}

#[test]
fn equal_pages_take_the_room_of_one() {
    let client = client();
    let pool = persistent(&client);
    store(&client, pool, 0, &[text(1), text(2)]);
    let two = client.statistics();
    store(&client, pool, 10, &[text(1), text(2), text(1), text(1)]);
    let six = client.statistics();
    assert_eq!((six.pages_merged, six.shared_pages, six.persistent_pages), (4, 6, 6));
    assert_eq!(six.persistent_bytes, two.persistent_bytes);
    assert!([(0, 1), (1, 2), (10, 1), (11, 2), (12, 1), (13, 1)].iter().all(|(i, n)| reads(
        &client,
        pool,
        *i,
        text(*n)
    )));
}

#[test]
fn pages_that_do_not_compress_are_merged_too() {
    let client = client();
    let pool = ephemeral(&client);
    store(&client, pool, 0, &[random(1), random(2), random(1)]);
    assert_eq!((client.statistics().pages_merged, client.statistics().ephemeral_bytes), (1, 2 * 4096));
    assert!(reads(&client, pool, 2, random(1)) && reads(&client, pool, 1, random(2)));
}

#[test]
fn what_is_shared_lives_as_long_as_its_last_page() {
    let client = client();
    let pool = persistent(&client);
    store(&client, pool, 0, &[text(1), text(1), text(1)]);
    assert_eq!(client.flush_range(pool, OBJECT, 0, 1), Status::Ok);
    assert_eq!(get(&client, key(pool, 1), true), Ok(text(1)));
    assert!(reads(&client, pool, 2, text(1)));
    assert_eq!(put(&client, key(pool, 2), text(3)), Status::Ok);
    client.check_invariants();
    assert_eq!((client.statistics().shared_pages, client.statistics().shared_bytes), (0, 0));
    assert!(reads(&client, pool, 2, text(3)));
}

#[test]
fn a_changed_copy_is_a_page_of_its_own_again() {
    let client = client();
    let pool = persistent(&client);
    store(&client, pool, 0, &[text(1), text(1)]);
    store(&client, pool, 1, &[text(2)]);
    assert!(reads(&client, pool, 0, text(1)) && reads(&client, pool, 1, text(2)));
    assert_eq!(client.statistics().shared_pages, 1);
}

#[test]
fn kinds_and_clients_share_nothing() {
    let (client, other) = (client(), client());
    let pools = [persistent(&client), ephemeral(&client)];
    pools.iter().for_each(|pool| store(&client, *pool, 0, &[text(1)]));
    store(&other, persistent(&other), 0, &[text(1)]);
    assert_eq!((client.statistics().pages_merged, other.statistics().pages_merged), (0, 0));
}

#[test]
fn pools_and_objects_of_one_kind_do() {
    let client = client();
    let pools = [persistent(&client), persistent(&client)];
    pools.iter().for_each(|pool| store(&client, *pool, 0, &[text(1)]));
    assert_eq!(client.statistics().pages_merged, 1);
    assert_eq!(client.pool_destroy(pools[0]), Status::Ok);
    client.check_invariants();
    assert!(reads(&client, pools[1], 0, text(1)));
}

#[test]
fn cold_pages_meet_in_their_smaller_form() {
    let client = configured(ClientConfig::new(1 << 30, [1, 2]));
    let pool = persistent(&client);
    // Compressed within their puts: nobody compared them.
    store(&client, pool, 0, &[text(1), text(1), text(2), text(1)]);
    assert_eq!(client.statistics().shared_pages, 0);
    (0..4).for_each(|_| assert!(client.recompress(|| true).smaller <= 4));
    client.check_invariants();
    assert_eq!((client.statistics().shared_pages, client.statistics().zstd_pages), (3, 1));
    assert!(reads(&client, pool, 3, text(1)) && reads(&client, pool, 2, text(2)));
}

#[test]
fn it_can_be_switched_off() {
    let config = ClientConfig { deduplicates: false, staging_bytes: 1 << 20, ..ClientConfig::new(1 << 30, [1, 2]) };
    let client = configured(config);
    let pool = persistent(&client);
    store(&client, pool, 0, &[text(1), text(1)]);
    assert_eq!((client.statistics().shared_pages, client.statistics().pages_merged), (0, 0));
}

#[test]
fn a_new_life_remembers_nothing() {
    let client = client();
    let pool = persistent(&client);
    store(&client, pool, 0, &[text(1), text(1)]);
    client.hello();
    assert_eq!(client.statistics().resident_bytes, 0);
    store(&client, persistent(&client), 0, &[text(1)]);
    assert_eq!(client.statistics().pages_merged, 1);
}
