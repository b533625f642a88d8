//! What a policy says about how stores work.

use policy::Policy;
use policy::schema::{Accept, CompressionAlgorithm, DedupScope, Eviction};
use protocol::service::{StoreAccept, StoreCodec, StoreEviction, StoreSettings};

/// Size of a page in bytes.
const PAGE_BYTES: u64 = 4096;

/// How the store of a VM is to work that starts under this policy.
pub(super) fn of(policy: &Policy) -> StoreSettings {
    let stored_max = policy.compression.reject_above.or_all().of(PAGE_BYTES);
    StoreSettings {
        codec: match policy.compression.algorithm {
            CompressionAlgorithm::PageLz => StoreCodec::PageLz,
            CompressionAlgorithm::Lz4 => StoreCodec::Lz4,
            CompressionAlgorithm::Zstd => StoreCodec::Zstd,
        },
        eviction: match policy.pool.eviction {
            Eviction::UsedFirst => StoreEviction::UsedFirst,
            Eviction::SecondChance => StoreEviction::SecondChance,
            Eviction::Fifo => StoreEviction::Fifo,
        },
        deduplicates: policy.dedup.scope == DedupScope::Vm,
        stored_max_bytes: u32::try_from(stored_max).unwrap_or(u32::MAX),
        accept: match policy.compression.accept {
            Accept::Any => StoreAccept::Any,
            Accept::BetterThanMean => StoreAccept::BetterThanMean,
        },
        accept_threshold_basis_points: policy.pool.accept_threshold.or_all().basis_points(),
        recompress_after_ms: policy.compression.recompress.idle.as_ms(),
    }
}
