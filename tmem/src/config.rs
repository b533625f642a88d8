//! What a client is created with, and why that can fail.

use crate::acceptance::OFF_BASIS_POINTS;
use crate::key::PAGE_SIZE;

/// The codec that puts use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CodecChoice {
    /// LZ4, as others know it.
    Lz4,
    /// Zstandard level 1: about twice the work for about 1.6 times the pages in the same bytes.
    Zstd,
    /// The codec for single pages: about LZ4's time for about 1.15 times the pages in the same bytes.
    #[default]
    PageLz,
}

/// Which ephemeral pages go first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EvictionChoice {
    /// A clock that spares a page once for each of its last uses, up to three.
    SecondChance,
    /// The order in which the pages' neighbourhoods were first stored.
    Fifo,
    /// Pages that were loaded since they were put, then those that were not: for guests that put again what they drop.
    #[default]
    UsedFirst,
}

impl EvictionChoice {
    /// Every policy. A trace names one by its place here: new ones go to the end.
    pub const ALL: &[Self] = &[Self::SecondChance, Self::Fifo, Self::UsedFirst];

    /// The name that people know it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SecondChance => "second-chance",
            Self::Fifo => "fifo",
            Self::UsedFirst => "used-first",
        }
    }
}

/// Which pages come in, by what they compress to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AcceptChoice {
    /// All of them.
    #[default]
    Any,
    /// While the pages that are stored take more than five eighths of their size on average, only those that take less
    /// than that average.
    BetterThanMean,
}

/// Settings of one client.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Most resident bytes, data and metadata, that the client may hold.
    pub limit_bytes: u64,
    /// Resident bytes that the host will not ask back; at most `limit_bytes`.
    pub reservation_bytes: u64,
    /// The codec for puts. What is stored already keeps the codec recorded with it.
    pub codec: CodecChoice,
    /// The order in which ephemeral pages are evicted.
    pub eviction: EvictionChoice,
    /// A put that would be stored in more bytes than this is answered `POOR_RATIO`; [`PAGE_SIZE`] accepts every page.
    pub max_stored_bytes: usize,
    /// Which pages are answered `POOR_RATIO` for what the others are stored in. As with `max_stored_bytes` no put is answered
    /// before its page is compressed then: there is no staging.
    pub accept: AcceptChoice,
    /// Once a put into a persistent pool was refused for want of room, new pages are answered `OVER_LIMIT` until what is held
    /// has fallen to this part of what was held then, in hundredths of a percent; it follows the limit. A page that
    /// replaces another needs no such room, and ephemeral pages make their own. 10000 refuses nothing.
    pub accept_threshold_basis_points: u32,
    /// Bytes of the staging buffer: puts are answered once the page is copied there, and whoever calls
    /// [`Client::compress_staged`](crate::Client::compress_staged) has the work. 0 compresses within each put.
    pub staging_bytes: usize,
    /// Whether background work stores equal pages of the client once.
    pub deduplicates: bool,
    /// Address space reserved for page data. It costs nothing until used, and bounds what any limit can mean.
    pub arena_bytes: u64,
    /// Key of the hash over guest-chosen ids; take it from the system's random number generator.
    pub hash_seed: [u64; 2],
}

impl ClientConfig {
    /// Address space reserved where nothing else is asked for: 256 GiB.
    pub const DEFAULT_ARENA_BYTES: u64 = 256 << 30;

    /// A client with this limit, no reservation, and the default of every other setting.
    #[must_use]
    pub fn new(limit_bytes: u64, hash_seed: [u64; 2]) -> Self {
        Self {
            limit_bytes,
            reservation_bytes: 0,
            codec: CodecChoice::default(),
            eviction: EvictionChoice::default(),
            max_stored_bytes: PAGE_SIZE,
            accept: AcceptChoice::default(),
            accept_threshold_basis_points: OFF_BASIS_POINTS,
            staging_bytes: 0,
            deduplicates: true,
            arena_bytes: Self::DEFAULT_ARENA_BYTES,
            hash_seed,
        }
    }
}

/// Why a store could not be created.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The reservation is larger than the limit.
    #[error("reservation of {reservation_bytes} bytes is larger than the limit of {limit_bytes} bytes")]
    ReservationOverLimit {
        /// The reservation asked for.
        reservation_bytes: u64,
        /// The limit asked for.
        limit_bytes: u64,
    },
    /// The arena's size is not one the store can address.
    #[error("cannot address an arena of {arena_bytes} bytes: at least 32 KiB, at most 1 TiB")]
    ArenaSize {
        /// The size asked for.
        arena_bytes: u64,
    },
    /// The system gave no address space for the arena or the staging buffer.
    #[error("cannot reserve {bytes} bytes of address space")]
    Reserve {
        /// The size asked for.
        bytes: u64,
        /// What the system said.
        source: std::io::Error,
    },
}
