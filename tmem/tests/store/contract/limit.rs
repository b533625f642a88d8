//! Limit and reservation, each with its post-condition.

use tmem::{Client, ClientConfig, PAGE_SIZE, Status, StoreError};

use super::{client, ephemeral, key, limited, object_key, persistent};
use crate::guest::{get, put};
use crate::pages;

const MIB: u64 = 1 << 20;

#[test]
fn the_limit_is_never_exceeded_and_nearly_reached() {
    let client = limited(4 * MIB);
    let pool = persistent(&client);
    let accepted = (0..4000).filter(|i| put(&client, key(pool, *i), pages::mixed(u64::from(*i))) == Status::Ok).count();
    let s = client.statistics();
    assert!(s.resident_bytes <= 4 * MIB && s.resident_bytes > 3 * MIB, "{} bytes", s.resident_bytes);
    assert_eq!(s.puts_rejected_over_limit, 4000 - accepted as u64);
    let kept = (0..4000).filter(|i| get(&client, key(pool, *i), false) == Ok(pages::mixed(u64::from(*i)))).count();
    assert_eq!(kept, accepted, "accepted means kept");
    client.check_invariants();
}

#[test]
fn a_limit_below_the_holdings_loses_nothing_and_rejects_every_put() {
    let client = client();
    let pool = persistent(&client);
    for index in 0..1000 {
        assert_eq!(put(&client, key(pool, index), pages::random(index.into())), Status::Ok);
    }
    client.set_limit(MIB);
    assert_eq!(put(&client, key(pool, 1000), [0; PAGE_SIZE]), Status::OverLimit);
    assert_eq!(put(&client, key(pool, 0), [0; PAGE_SIZE]), Status::OverLimit, "a duplicate");
    assert_eq!(get(&client, key(pool, 0), false), Err(Status::Miss), "whose old copy is gone");
    for index in 1..900 {
        assert_eq!(get(&client, key(pool, index), true), Ok(pages::random(index.into())));
    }
    assert!(client.statistics().resident_bytes > MIB, "empty slabs wait for the next put");
    assert_eq!(put(&client, key(pool, 0), pages::random(0)), Status::Ok, "which gives them back");
    assert!(client.statistics().resident_bytes <= MIB);
    for index in 900..1000 {
        assert_eq!(get(&client, key(pool, index), false), Ok(pages::random(index.into())));
    }
    client.check_invariants();
}

#[test]
fn where_ephemeral_puts_are_refused_the_older_copy_goes_and_everything_else_stays() {
    let client = client();
    let (kept, given) = (persistent(&client), ephemeral(&client));
    assert_eq!(put(&client, key(given, 0), pages::text(0)), Status::Ok);
    assert_eq!(put(&client, key(given, 1), pages::text(1)), Status::Ok);
    client.refuse_ephemeral(true);
    assert_eq!(put(&client, key(given, 0), pages::text(2)), Status::OverLimit);
    assert_eq!(get(&client, key(given, 0), false), Err(Status::Miss));
    assert_eq!(get(&client, key(given, 1), false), Ok(pages::text(1)));
    assert_eq!(put(&client, key(kept, 0), pages::text(3)), Status::Ok);
    client.refuse_ephemeral(false);
    assert_eq!(put(&client, key(given, 0), pages::text(2)), Status::Ok);
    assert_eq!(client.statistics().puts_rejected_over_limit, 1);
    client.check_invariants();
}

#[test]
fn a_lower_limit_takes_ephemeral_pages_first_and_at_once() {
    let client = client();
    let (kept, given) = (persistent(&client), ephemeral(&client));
    for index in 0..1000 {
        assert_eq!(put(&client, key(kept, index), pages::random(index.into())), Status::Ok);
        assert_eq!(put(&client, key(given, index), pages::random(index.into())), Status::Ok);
    }
    client.set_limit(6 * MIB);
    let s = client.statistics();
    assert!(s.resident_bytes <= 6 * MIB, "{} bytes", s.resident_bytes);
    assert_eq!(s.persistent_pages, 1000);
    assert!(s.ephemeral_pages > 300, "no more than needed: {} are left", s.ephemeral_pages);
    client.set_limit(0);
    let s = client.statistics();
    assert_eq!((s.persistent_pages, s.ephemeral_pages), (1000, 0));
    assert!((0..1000).all(|index| get(&client, key(kept, index), false) == Ok(pages::random(index.into()))));
    client.check_invariants();
}

#[test]
fn a_persistent_put_at_the_limit_pushes_ephemeral_pages_out() {
    let client = limited(8 * MIB);
    let (kept, given) = (persistent(&client), ephemeral(&client));
    for index in 0..3000 {
        assert_eq!(put(&client, key(given, index), pages::random(index.into())), Status::Ok);
    }
    for index in 0..1500 {
        assert_eq!(put(&client, key(kept, index), pages::random(index.into())), Status::Ok);
    }
    let s = client.statistics();
    assert!(s.pages_evicted > 0 && s.puts_rejected_over_limit == 0);
    assert!(s.resident_bytes <= 8 * MIB);
    client.check_invariants();
}

#[test]
fn many_small_objects_meet_the_limit_too() {
    let client = limited(4 * MIB);
    let pool = persistent(&client);
    let accepted = (0..100_000).filter(|n| put(&client, object_key(pool, *n), [0; PAGE_SIZE]) == Status::Ok).count();
    let s = client.statistics();
    assert!(accepted < 50_000 && s.objects == accepted as u64, "{accepted} objects");
    assert!(s.resident_bytes <= 4 * MIB && s.metadata_bytes > 3 * MIB);
    assert_eq!(s.puts_rejected_over_limit, 100_000 - accepted as u64);
    client.check_invariants();
}

#[test]
fn a_reservation_is_within_the_limit() {
    let config = ClientConfig { reservation_bytes: 2 * MIB, ..ClientConfig::new(MIB, [0; 2]) };
    assert!(matches!(Client::new(config), Err(StoreError::ReservationOverLimit { .. })));
    let client = limited(4 * MIB);
    client.set_reservation(3 * MIB);
    assert_eq!(client.statistics().reservation_bytes, 3 * MIB);
    client.set_limit(MIB);
    assert_eq!(client.statistics().reservation_bytes, MIB);
    client.set_limit(4 * MIB);
    assert_eq!(client.statistics().reservation_bytes, 3 * MIB, "the wish outlives a low limit");
}

#[test]
fn an_arena_that_cannot_be_addressed_is_refused() {
    for arena_bytes in [0, 4096, 1 << 41, u64::MAX] {
        let config = ClientConfig { arena_bytes, ..ClientConfig::new(MIB, [0; 2]) };
        assert!(matches!(Client::new(config), Err(StoreError::ArenaSize { .. })), "{arena_bytes} bytes");
    }
}
