//! How a store works: what its configuration says, else what the policy of its host says.

use policy::Policy;
use policy::schema::{Accept, CompressionAlgorithm, DedupScope, Eviction as PolicyEviction};
use protocol::service::{StoreAccept, StoreCodec, StoreEviction, StoreSettings};
use std::time::Duration;
use tmem::{AcceptChoice, ClientConfig, CodecChoice, EvictionChoice, PAGE_SIZE};

use crate::config::{Codec, Dedup, Eviction, TmemConfig};

/// What a policy says about stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreDefaults {
    codec: CodecChoice,
    eviction: EvictionChoice,
    deduplicates: bool,
    max_stored_bytes: usize,
    accept: AcceptChoice,
    accept_threshold_basis_points: u32,
    recompress_after: Duration,
}

impl From<&Policy> for StoreDefaults {
    fn from(policy: &Policy) -> Self {
        Self {
            codec: match policy.compression.algorithm {
                CompressionAlgorithm::PageLz => CodecChoice::PageLz,
                CompressionAlgorithm::Lz4 => CodecChoice::Lz4,
                CompressionAlgorithm::Zstd => CodecChoice::Zstd,
            },
            eviction: match policy.pool.eviction {
                PolicyEviction::UsedFirst => EvictionChoice::UsedFirst,
                PolicyEviction::SecondChance => EvictionChoice::SecondChance,
                PolicyEviction::Fifo => EvictionChoice::Fifo,
            },
            deduplicates: policy.dedup.scope == DedupScope::Vm,
            max_stored_bytes: stored_bytes(policy.compression.reject_above.or_all().of(PAGE_SIZE as u64)),
            accept: match policy.compression.accept {
                Accept::Any => AcceptChoice::Any,
                Accept::BetterThanMean => AcceptChoice::BetterThanMean,
            },
            accept_threshold_basis_points: policy.pool.accept_threshold.or_all().basis_points(),
            recompress_after: policy.compression.recompress.idle.duration(),
        }
    }
}

impl From<StoreSettings> for StoreDefaults {
    /// What a service says. It may be newer than we are.
    fn from(settings: StoreSettings) -> Self {
        Self {
            codec: match settings.codec {
                StoreCodec::PageLz => CodecChoice::PageLz,
                StoreCodec::Lz4 => CodecChoice::Lz4,
                StoreCodec::Zstd => CodecChoice::Zstd,
                StoreCodec::Unknown => CodecChoice::default(),
            },
            eviction: match settings.eviction {
                StoreEviction::UsedFirst => EvictionChoice::UsedFirst,
                StoreEviction::SecondChance => EvictionChoice::SecondChance,
                StoreEviction::Fifo => EvictionChoice::Fifo,
                StoreEviction::Unknown => EvictionChoice::default(),
            },
            deduplicates: settings.deduplicates,
            max_stored_bytes: stored_bytes(settings.stored_max_bytes.into()),
            accept: match settings.accept {
                StoreAccept::Any => AcceptChoice::Any,
                StoreAccept::BetterThanMean => AcceptChoice::BetterThanMean,
                StoreAccept::Unknown => AcceptChoice::default(),
            },
            accept_threshold_basis_points: settings.accept_threshold_basis_points,
            recompress_after: Duration::from_millis(settings.recompress_after_ms),
        }
    }
}

/// At most a page, at which none is rejected.
fn stored_bytes(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(PAGE_SIZE).min(PAGE_SIZE)
}

impl StoreDefaults {
    /// The configuration of a store. It begins with a limit of nothing.
    #[must_use]
    pub fn client_config(&self, tmem: &TmemConfig, hash_seed: [u64; 2]) -> ClientConfig {
        self.over(ClientConfig {
            codec: tmem.codec.map_or(self.codec, |codec| match codec {
                Codec::Lz4 => CodecChoice::Lz4,
                Codec::Zstd => CodecChoice::Zstd,
                Codec::PageLz => CodecChoice::PageLz,
            }),
            eviction: tmem.eviction.map_or(self.eviction, |eviction| match eviction {
                Eviction::UsedFirst => EvictionChoice::UsedFirst,
                Eviction::SecondChance => EvictionChoice::SecondChance,
                Eviction::Fifo => EvictionChoice::Fifo,
            }),
            deduplicates: tmem.dedup.map_or(self.deduplicates, |dedup| dedup == Dedup::Vm),
            staging_bytes: tmem.staging_bytes,
            ..ClientConfig::new(tmem.limit_bytes, hash_seed)
        })
    }

    /// A configuration with what no VM's own says as it is here.
    #[must_use]
    pub fn over(&self, mut config: ClientConfig) -> ClientConfig {
        config.max_stored_bytes = self.max_stored_bytes;
        config.accept = self.accept;
        config.accept_threshold_basis_points = self.accept_threshold_basis_points;
        config
    }

    /// How long a page must not have been loaded to be compressed once more, if ever.
    #[must_use]
    pub fn recompress_after(&self, tmem: &TmemConfig) -> Option<Duration> {
        Some(tmem.recompress_after.unwrap_or(self.recompress_after)).filter(|after| !after.is_zero())
    }
}
