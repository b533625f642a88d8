//! Traces of guests, recorded on real stores.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use tmem::{BadFrame, Client, ClientConfig, GuestPages, Key, ObjectId, Page, PoolKind, Status};
use trace::{ContentKey, Header, RecordedClient, Recorder};

/// Pages that each guest puts, and then asks for.
pub const PAGES: u32 = 300;

/// Memory in which each page is another.
struct Frames;

impl GuestPages for Frames {
    fn read_page(&self, frame: u64, into: &mut Page) -> Result<(), BadFrame> {
        into.chunks_mut(8).zip(frame..).for_each(|(chunk, word)| {
            chunk.copy_from_slice(&word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        });
        Ok(())
    }

    fn write_page(&self, _: u64, _: &Page) -> Result<(), BadFrame> {
        Ok(())
    }
}

/// Writes a.trace and b.trace into a folder: of guests that put pages and ask for each, on stores with room for all.
pub fn record(folder: &Path) {
    for file in ["a.trace", "b.trace"] {
        let config = ClientConfig::new(64 << 20, [1, 2]);
        let out = File::create(folder.join(file)).unwrap();
        let recorder = Recorder::start(out, &Header::of(&config), ContentKey::new([3, 4])).unwrap();
        let client = RecordedClient::new(Arc::new(Client::new(config).unwrap()), Some(Arc::new(recorder)));
        let pool = client.pool_new(PoolKind::Persistent).unwrap();
        for index in 0..PAGES {
            let key = Key { pool, object: ObjectId([0; 3]), index };
            assert_eq!(client.put(key, u64::from(index) * 1000, &Frames), Status::Ok);
            assert_eq!(client.get(key, 0, false, &Frames), Status::Ok);
        }
    }
}
