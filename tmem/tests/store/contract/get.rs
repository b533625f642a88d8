//! Gets: copied first, changed after; and what other calls may do in between.

use std::cell::Cell;

use tmem::{BadFrame, GuestPages, PAGE_SIZE, Page, Status};

use super::{OBJECT, client, ephemeral, key, persistent};
use crate::guest::{BAD, GOOD, Guest, get, put};
use crate::pages;

/// Guest memory during whose first copy another vCPU makes a call.
struct Meanwhile<F> {
    guest: Guest,
    call: F,
    called: Cell<bool>,
}

impl<F: Fn()> Meanwhile<F> {
    fn new(guest: Guest, call: F) -> Self {
        Self { guest, call, called: Cell::new(false) }
    }

    fn call_once(&self) {
        if !self.called.replace(true) {
            (self.call)();
        }
    }
}

impl<F: Fn()> GuestPages for Meanwhile<F> {
    fn read_page(&self, frame: u64, into: &mut Page) -> Result<(), BadFrame> {
        self.call_once();
        self.guest.read_page(frame, into)
    }

    fn write_page(&self, frame: u64, from: &Page) -> Result<(), BadFrame> {
        self.call_once();
        self.guest.write_page(frame, from)
    }
}

fn contents() -> [Page; 4] {
    [pages::random(1), pages::text(1), pages::same_filled(5), pages::same_filled(u64::MAX / 3)]
}

#[test]
fn a_get_that_faults_changes_nothing() {
    let client = client();
    let pool = persistent(&client);
    for page in contents() {
        assert_eq!(put(&client, key(pool, 0), page), Status::Ok);
        assert_eq!(client.get(key(pool, 0), BAD, false, &Guest::blank()), Status::BadAddress);
        assert_eq!(client.get(key(pool, 0), BAD, true, &Guest::blank()), Status::BadAddress);
        assert_eq!(get(&client, key(pool, 0), false), Ok(page));
        client.check_invariants();
    }
    assert_eq!(client.statistics().gets_bad_address, 8);
}

#[test]
fn an_exclusive_get_takes_the_page_and_a_plain_one_leaves_it() {
    let client = client();
    let pools = [persistent(&client), ephemeral(&client)];
    for pool in pools {
        assert_eq!(put(&client, key(pool, 0), pages::text(1)), Status::Ok);
        assert_eq!(get(&client, key(pool, 0), false), Ok(pages::text(1)));
        assert_eq!(get(&client, key(pool, 0), false), Ok(pages::text(1)));
        assert_eq!(get(&client, key(pool, 0), true), Ok(pages::text(1)));
        assert_eq!(get(&client, key(pool, 0), true), Err(Status::Empty));
    }
    let s = client.statistics();
    assert_eq!((s.gets_hit, s.gets_exclusive, s.gets_empty), (6, 2, 2));
    client.check_invariants();
}

#[test]
fn an_empty_pool_says_so_until_the_next_accepted_put() {
    let client = client();
    let pool = persistent(&client);
    assert_eq!(get(&client, key(pool, 0), false), Err(Status::Empty));
    assert_eq!(put(&client, key(pool, 1), [0; PAGE_SIZE]), Status::Ok);
    assert_eq!(get(&client, key(pool, 0), false), Err(Status::Miss));
    assert_eq!(client.flush_range(pool, OBJECT, 1, 1), Status::Ok);
    assert_eq!(get(&client, key(pool, 0), false), Err(Status::Empty));
}

#[test]
fn an_exclusive_get_takes_no_page_but_the_one_it_copied() {
    for (page, other) in contents().into_iter().zip([pages::random(2), pages::text(3), [9; PAGE_SIZE], [8; PAGE_SIZE]])
    {
        let client = client();
        let pool = persistent(&client);
        assert_eq!(put(&client, key(pool, 0), page), Status::Ok);
        // The page is flushed and another takes its place, of the same size and so most likely in the same slot.
        let memory = Meanwhile::new(Guest::blank(), || {
            assert_eq!(client.flush_range(pool, OBJECT, 0, 1), Status::Ok);
            assert_eq!(put(&client, key(pool, 0), other), Status::Ok);
        });
        assert_eq!(client.get(key(pool, 0), GOOD, true, &memory), Status::Ok);
        assert_eq!(memory.guest.page(), other, "the first page was flushed, so the second is the answer");
        assert_eq!(memory.guest.writes(), 2);
        assert_eq!(get(&client, key(pool, 0), false), Err(Status::Empty));
        client.check_invariants();
    }
}

#[test]
fn of_two_racing_exclusive_gets_one_has_the_page() {
    for page in contents() {
        let client = client();
        let pool = persistent(&client);
        assert_eq!(put(&client, key(pool, 0), page), Status::Ok);
        let memory = Meanwhile::new(Guest::blank(), || assert_eq!(get(&client, key(pool, 0), true), Ok(page)));
        assert_eq!(client.get(key(pool, 0), GOOD, true, &memory), Status::Empty);
        assert_eq!(client.statistics().gets_exclusive, 1);
        client.check_invariants();
    }
}

#[test]
fn a_page_that_is_replaced_or_flushed_while_it_is_copied_arrives_whole() {
    for page in contents() {
        let client = client();
        let pool = persistent(&client);
        assert_eq!(put(&client, key(pool, 0), page), Status::Ok);
        let replaced = Meanwhile::new(Guest::blank(), || {
            for seed in 0..50 {
                assert_eq!(put(&client, key(pool, 0), pages::random(seed)), Status::Ok);
            }
        });
        assert_eq!(client.get(key(pool, 0), GOOD, false, &replaced), Status::Ok);
        assert_eq!(replaced.guest.page(), page);
        assert_eq!(get(&client, key(pool, 0), false), Ok(pages::random(49)));
        let destroyed = Meanwhile::new(Guest::blank(), || {
            assert_eq!(client.pool_destroy(pool), Status::Ok);
            let next = persistent(&client);
            for index in 0..50 {
                assert_eq!(put(&client, key(next, index), pages::random(7)), Status::Ok);
            }
        });
        assert_eq!(client.get(key(pool, 0), GOOD, false, &destroyed), Status::Ok);
        assert_eq!(destroyed.guest.page(), pages::random(49));
        client.check_invariants();
    }
}

#[test]
fn a_put_into_a_pool_that_is_destroyed_meanwhile_is_safe() {
    let client = client();
    let pool = persistent(&client);
    let memory = Meanwhile::new(Guest::with(pages::text(1)), || assert_eq!(client.pool_destroy(pool), Status::Ok));
    let status = client.put(key(pool, 0), GOOD, &memory);
    assert!(matches!(status, Status::Ok | Status::BadPool));
    assert_eq!(get(&client, key(pool, 0), false), Err(Status::BadPool));
    client.check_invariants();
    assert_eq!(client.statistics().metadata_bytes, 0);
}

#[test]
fn a_put_whose_object_is_flushed_meanwhile_starts_again() {
    let client = client();
    let pool = persistent(&client);
    assert_eq!(put(&client, key(pool, 1), pages::text(0)), Status::Ok);
    let memory =
        Meanwhile::new(Guest::with(pages::text(1)), || assert_eq!(client.flush_object(pool, OBJECT), Status::Ok));
    assert_eq!(client.put(key(pool, 0), GOOD, &memory), Status::Ok);
    assert_eq!(get(&client, key(pool, 0), false), Ok(pages::text(1)));
    client.check_invariants();
}
