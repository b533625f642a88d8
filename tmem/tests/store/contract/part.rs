//! How much of a client its ephemeral pages may take.

use proptest::prelude::*;
use tmem::{Client, PAGE_SIZE, Status};

use super::{client, ephemeral, key, limited, object_key, persistent};
use crate::guest::{get, put};
use crate::pages;

const MIB: u64 = 1 << 20;
const PAGE: u64 = PAGE_SIZE as u64;

fn ephemeral_bytes(client: &Client) -> u64 {
    client.statistics().ephemeral_taken_bytes()
}

#[test]
fn ephemeral_pages_take_no_more_than_their_part_and_new_ones_go_in() {
    let client = limited(8 * MIB);
    client.set_ephemeral_limit(2 * MIB);
    let (kept, given) = (persistent(&client), ephemeral(&client));
    for n in 0..3000 {
        assert_eq!(put(&client, object_key(given, n), pages::random(n)), Status::Ok);
        assert!(ephemeral_bytes(&client) < 2 * MIB + PAGE, "after {n} puts {}", ephemeral_bytes(&client));
    }
    assert_eq!(get(&client, object_key(given, 2999), false), Ok(pages::random(2999)));
    assert!(client.statistics().ephemeral_pages > 350, "{} pages", client.statistics().ephemeral_pages);
    // What they may not take is there for others, without an eviction.
    let evicted = client.statistics().pages_evicted;
    for index in 0..1100 {
        assert_eq!(put(&client, key(kept, index), pages::random(index.into())), Status::Ok);
    }
    assert_eq!(client.statistics().pages_evicted, evicted);
    client.check_invariants();
}

#[test]
fn a_smaller_part_acts_at_once_and_takes_nothing_else() {
    let client = client();
    let (kept, given) = (persistent(&client), ephemeral(&client));
    for index in 0..1000 {
        assert_eq!(put(&client, key(kept, index), pages::random(index.into())), Status::Ok);
        assert_eq!(put(&client, key(given, index), pages::random(index.into())), Status::Ok);
    }
    client.set_ephemeral_limit(MIB);
    let s = client.statistics();
    assert!((MIB / 2..MIB + PAGE).contains(&s.ephemeral_taken_bytes()), "{}", s.ephemeral_taken_bytes());
    assert!(s.resident_bytes < 6 * MIB, "{} bytes", s.resident_bytes);
    assert_eq!(s.persistent_pages, 1000);
    client.set_ephemeral_limit(0);
    assert_eq!(client.statistics().ephemeral_pages, 0);
    assert_eq!(put(&client, key(given, 0), pages::random(0)), Status::OverLimit);
    assert_eq!(put(&client, key(given, 0), [7; PAGE_SIZE]), Status::OverLimit, "whatever it takes");
    client.set_ephemeral_limit(u64::MAX);
    assert_eq!(put(&client, key(given, 0), pages::random(0)), Status::Ok);
    client.check_invariants();
}

#[test]
fn pages_that_are_nearly_all_index_have_their_part_too() {
    let client = limited(64 * MIB);
    client.set_ephemeral_limit(MIB);
    let given = ephemeral(&client);
    for n in 0..30_000 {
        assert_eq!(put(&client, object_key(given, n), [7; PAGE_SIZE]), Status::Ok);
    }
    let s = client.statistics();
    assert!(
        s.resident_bytes <= 2 * MIB && s.ephemeral_pages > 2000,
        "{} bytes, {} pages",
        s.resident_bytes,
        s.ephemeral_pages
    );
    client.check_invariants();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_put_the_part_holds_and_nothing_persistent_goes(
        puts in proptest::collection::vec((any::<bool>(), 0_u64..4, 1_u64..40), 1..60),
        part_pages in 0_u64..600,
    ) {
        let client = limited(64 * MIB);
        client.set_ephemeral_limit(part_pages * PAGE);
        let (kept, given) = (persistent(&client), ephemeral(&client));
        let (mut n, mut stored) = (0, 0);
        for (is_kept, content, count) in puts {
            for _ in 0..count {
                n += 1;
                let page = match content {
                    0 => [7; PAGE_SIZE],
                    1 => pages::text(n),
                    _ => pages::random(n),
                };
                let key = object_key(if is_kept { kept } else { given }, n);
                // Same-filled pages give no room: it may take more of them than a put may drop.
                let refused = (0..4).take_while(|_| put(&client, key, page) != Status::Ok).count();
                stored += u64::from(is_kept);
                prop_assert!(refused == 0 || (!is_kept && (refused < 4 || part_pages < 2)), "refused {refused} times");
                // A page, and what the index needs for the first one: no part is that small.
                prop_assert!(ephemeral_bytes(&client) < (part_pages + 2) * PAGE);
            }
        }
        prop_assert_eq!(client.statistics().persistent_pages, stored);
        client.check_invariants();
    }
}
