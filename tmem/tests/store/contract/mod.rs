//! One named test a promise.

mod dedup;
mod ephemeral;
mod flush;
mod full;
mod get;
mod life;
mod limit;
mod part;
mod pools;
mod put;
mod ratio;
mod recompress;
mod staging;
mod tiers;

use tmem::{Client, ClientConfig, Key, ObjectId, PoolKind};

pub const OBJECT: ObjectId = ObjectId([1, 2, 3]);

/// A client without a limit that matters.
pub fn client() -> Client {
    limited(1 << 40)
}

pub fn limited(limit_bytes: u64) -> Client {
    configured(ClientConfig::new(limit_bytes, [1, 2]))
}

pub fn configured(config: ClientConfig) -> Client {
    Client::new(config).unwrap()
}

pub fn persistent(client: &Client) -> u32 {
    client.pool_new(PoolKind::Persistent).unwrap()
}

pub fn ephemeral(client: &Client) -> u32 {
    client.pool_new(PoolKind::Ephemeral).unwrap()
}

/// The key of a page of [`OBJECT`].
pub fn key(pool: u32, index: u32) -> Key {
    Key { pool, object: OBJECT, index }
}

/// The key of the first page of the n-th object.
pub fn object_key(pool: u32, n: u64) -> Key {
    Key { pool, object: ObjectId([n, 0, 0]), index: 0 }
}
