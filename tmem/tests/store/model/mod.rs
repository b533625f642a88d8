//! Random operations on the store and on a plain map.

mod operation;
mod reference;

use proptest::prelude::*;
use tmem::{Client, ClientConfig, CodecChoice, EvictionChoice};

use operation::{Operation, operations};
use reference::Reference;

fn config(codec: CodecChoice, eviction: EvictionChoice) -> ClientConfig {
    ClientConfig { codec, eviction, ..ClientConfig::new(1 << 30, [3, 4]) }
}

/// Runs `operations` on both; every answer, every page and every sum is compared after each.
fn compare(config: &ClientConfig, operations: Vec<Operation>) -> Result<(), TestCaseError> {
    let client = Client::new(config.clone()).unwrap();
    let mut reference = Reference::new(config);
    for operation in operations {
        reference.apply(&client, &operation)?;
        reference.check_sums(&client)?;
        client.check_invariants();
    }
    reference.check_pages(&client)?;
    client.hello();
    client.check_invariants();
    prop_assert_eq!(client.statistics().resident_bytes, 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_a_map_does(operations in operations(400)) {
        compare(&config(CodecChoice::Lz4, EvictionChoice::SecondChance), operations)?;
    }

    #[test]
    fn whether_or_not_there_is_room_to_stage(operations in operations(300)) {
        let config = config(CodecChoice::PageLz, EvictionChoice::SecondChance);
        compare(&ClientConfig { staging_bytes: 24 << 10, ..config }, operations)?;
    }

    #[test]
    fn whether_or_not_a_full_store_waits(operations in operations(300), accept_threshold_basis_points in 100..10_000_u32) {
        let config = config(CodecChoice::Lz4, EvictionChoice::UsedFirst);
        compare(&ClientConfig { accept_threshold_basis_points, ..config }, operations)?;
    }

    #[test]
    fn whatever_codec_and_policy_it_has(operations in operations(200)) {
        compare(&config(CodecChoice::Zstd, EvictionChoice::Fifo), operations.clone())?;
        compare(&config(CodecChoice::PageLz, EvictionChoice::UsedFirst), operations)?;
    }
}
