//! The host-side store of transcendent memory.
//!
//! A [`Client`] is one VM seen by the store. It holds numbered pools of 4 KiB pages under a [`Key`]; what each call
//! promises is written in `docs/contract.md`. The store knows no KVM, no socket and no clock, and sees guest memory through
//! [`GuestPages`] alone.
//!
//! ```text
//!  Client ── index      pool → object → leaf → 8-byte entry
//!         ── codec      same-filled, raw, page-lz, LZ4, Zstandard
//!         ── staging    pages as they came, until a thread has compressed them
//!         ── dedup      equal pages in one place
//!         ── arena      size classes and slabs in one reserved range of addresses
//!         ── quota      what is charged, limit, reservation
//!         ── acceptance whether a store that was full takes new pages again
//!         ── hand       the order in which leaves are looked at, to evict or to recompress
//!         ── eviction   which ephemeral pages go first
//!         ── detached   flushed trees that wait to be freed
//!         ── sleepers   whoever sleeps until the guest calls again
//! ```
//!
//! Every method takes `&self` and may be called by any number of threads at once. Errors of the guest are a
//! [`Status`]; nothing that a guest says makes a method panic.

mod acceptance;
mod arena;
mod backing;
mod caller;
mod client;
mod codec;
mod config;
mod copy;
mod dedup;
mod detached;
mod eviction;
mod guest;
mod hand;
mod index;
mod key;
mod lock;
mod prefetch;
mod quota;
mod sleepers;
mod staging;
mod statistics;

pub use client::{Client, Recompression};
pub use codec::Form;
pub use config::{AcceptChoice, ClientConfig, CodecChoice, EvictionChoice, StoreError};
pub use copy::copy_page;
pub use guest::{BadFrame, GuestPages};
pub use hypercall_abi::Status;
pub use index::POOLS_MAX;
pub use key::{Key, ObjectId, PAGE_SIZE, Page, PoolKind};
pub use prefetch::prefetch;
pub use statistics::Statistics;
