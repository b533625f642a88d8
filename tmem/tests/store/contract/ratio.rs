//! Which pages come in while those that are stored compress badly.

use proptest::prelude::*;
use tmem::{AcceptChoice, Client, ClientConfig, ObjectId, Page, Statistics, Status};

use super::{OBJECT, configured, ephemeral, key, object_key, persistent};
use crate::guest::{get, put};
use crate::pages::{mixed, pointers, random, same_filled, text};

/// Five eighths of a page: a mean above is bad.
const GOOD_MEAN_BYTES: u64 = 2560;

fn choosy() -> Client {
    configured(ClientConfig { accept: AcceptChoice::BetterThanMean, ..ClientConfig::new(1 << 30, [1, 2]) })
}

/// So many random bytes, then nothing: shrinks to little more than these.
fn partly(seed: u64, random_bytes: usize) -> Page {
    let mut page = random(seed);
    page[random_bytes..].fill(0);
    page
}

/// Pages that are compressed or raw, and their bytes.
fn held(s: &Statistics) -> (u64, u64) {
    let pages = s.raw_pages + s.lz4_pages + s.zstd_pages + s.page_lz_pages;
    (pages, s.raw_bytes + s.lz4_bytes + s.zstd_bytes + s.page_lz_bytes)
}

/// A store whose mean is bad: so many pages of noise that they are no chance.
fn bad() -> (Client, u32) {
    let client = choosy();
    let pool = persistent(&client);
    assert!((0..256).all(|index| put(&client, key(pool, index), random(index.into())) == Status::Ok));
    (client, pool)
}

fn is_accepted(client: &Client, pool: u32, n: u64, page: Page) -> bool {
    let status = put(client, object_key(pool, n + 1000), page);
    assert!(matches!(status, Status::Ok | Status::PoorRatio), "{status:?}");
    status == Status::Ok
}

#[test]
fn while_the_mean_is_good_any_page_comes_in() {
    let client = choosy();
    let pool = persistent(&client);
    assert!((0..600).all(|n| is_accepted(&client, pool, n, text(n))));
    assert!((600..700).all(|n| is_accepted(&client, pool, n, random(n))));
    assert_eq!(client.statistics().puts_rejected_poor_ratio, 0);
}

#[test]
fn while_the_mean_is_bad_pages_that_are_worse_stay_out_and_better_ones_come_in() {
    let (client, pool) = bad();
    assert!(!is_accepted(&client, pool, 0, random(9)), "no better than the others");
    assert!(is_accepted(&client, pool, 1, partly(1, 3500)), "bad, and better than the mean");
    assert!(is_accepted(&client, pool, 2, pointers(2)) && is_accepted(&client, pool, 3, text(3)));
    assert!((0..200).all(|n| is_accepted(&client, pool, n, partly(n, 2600))));
    assert!(!is_accepted(&client, pool, 500, partly(1, 3800)), "which was better than the mean before");
    assert_eq!(client.statistics().puts_rejected_poor_ratio, 2);
    client.check_invariants();
}

#[test]
fn a_mean_of_a_few_pages_is_chance() {
    let client = choosy();
    let pool = persistent(&client);
    let accepted = (0..1000).filter(|n| is_accepted(&client, pool, *n, random(*n))).count();
    assert_eq!(accepted, 256, "1 MiB of them");
}

#[test]
fn better_pages_make_a_bad_mean_good() {
    let (client, pool) = bad();
    let needed = (0..).take_while(|n| {
        assert!(is_accepted(&client, pool, *n, text(*n)));
        !is_accepted(&client, pool, 1_000_000, random(*n))
    });
    let needed = needed.count();
    let (pages, bytes) = held(&client.statistics());
    assert!((bytes / pages).abs_diff(GOOD_MEAN_BYTES) < 16, "{needed} pages of text: mean of {} bytes", bytes / pages);
}

#[test]
fn the_mean_is_that_of_what_is_stored_now() {
    let (client, pool) = bad();
    assert!((0..300).all(|n| is_accepted(&client, pool, n, partly(n, 2700))));
    assert!(!is_accepted(&client, pool, 500, random(1)));
    // The pages of noise go: what is left is better, and still bad.
    assert_eq!(client.flush_object(pool, OBJECT), Status::Ok);
    while client.reclaim(u64::MAX) > 0 {}
    assert!(!is_accepted(&client, pool, 500, partly(1, 3000)));
    assert!(is_accepted(&client, pool, 500, partly(1, 2600)));
    // So few stay that they are chance.
    assert!((0..200).all(|n| client.flush_object(pool, ObjectId([n + 1000, 0, 0])) == Status::Ok));
    while client.reclaim(u64::MAX) > 0 {}
    assert!(is_accepted(&client, pool, 600, random(1)));
}

#[test]
fn pages_of_one_word_come_in_at_any_time_and_make_no_mean_good() {
    let (client, pool) = bad();
    assert!((0..2000).all(|n| is_accepted(&client, pool, n, same_filled(n | n << 60))));
    assert!(!is_accepted(&client, pool, 3000, random(1)));
}

#[test]
fn a_page_that_stays_out_takes_the_older_one_with_it_whatever_the_pool() {
    let (client, _) = bad();
    let pool = ephemeral(&client);
    assert_eq!(put(&client, key(pool, 0), text(1)), Status::Ok);
    assert_eq!(put(&client, key(pool, 1), text(1)), Status::Ok);
    assert_eq!(put(&client, key(pool, 0), random(1)), Status::PoorRatio);
    assert_eq!(get(&client, key(pool, 0), false), Err(Status::Miss));
    client.check_invariants();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_put_the_answer_is_that_of_the_mean(puts in prop::collection::vec((0..900_u32, 0..4000_u64), 900..1500)) {
        let client = choosy();
        let pool = persistent(&client);
        for (index, seed) in puts {
            let page = if seed % 3 == 0 { mixed(seed) } else { random(seed) };
            let before = client.statistics();
            let (pages, bytes) = held(&before);
            let status = put(&client, key(pool, index), page);
            let after = client.statistics();
            if status == Status::Ok {
                // Of a page that replaces another the size does not show.
                let is_new = after.puts_duplicate == before.puts_duplicate;
                let len = held(&after).1.saturating_sub(bytes);
                let is_allowed = pages < 256 || bytes <= GOOD_MEAN_BYTES * pages || len * pages < bytes;
                prop_assert!(!is_new || is_allowed, "{len} bytes beside {pages} pages of {bytes}");
            } else {
                prop_assert_eq!(status, Status::PoorRatio);
                prop_assert!(pages >= 256 && bytes > GOOD_MEAN_BYTES * pages, "refused beside {pages} pages of {bytes}");
            }
        }
        client.check_invariants();
    }
}
