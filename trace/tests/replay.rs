//! What was recorded on one store happens again on another.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test cannot set up fails it")]

mod operations;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tmem::{
    BadFrame, Client, ClientConfig, CodecChoice, EvictionChoice, GuestPages, Key, ObjectId, Page, PoolKind, Statistics,
    Status,
};
use trace::{Content, ContentKey, Header, Operation, Reader, Record, RecordedClient, Recorder, Synthesis, replay};

use operations::operation;

/// A file in memory that several hold.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Memory of one page, or of none.
struct Memory(Option<Page>);

impl GuestPages for Memory {
    fn read_page(&self, _: u64, into: &mut Page) -> Result<(), BadFrame> {
        *into = self.0.ok_or(BadFrame)?;
        Ok(())
    }

    fn write_page(&self, _: u64, _: &Page) -> Result<(), BadFrame> {
        self.0.map(drop).ok_or(BadFrame)
    }
}

/// Records the operations, whatever answers they come with, on a client; returns the trace and the client's counters.
fn record(config: &ClientConfig, operations: &[Operation]) -> (Vec<u8>, Statistics) {
    let file = Shared::default();
    let recorder = Recorder::start(file.clone(), &Header::of(config), ContentKey::new([3, 4])).unwrap();
    let client = RecordedClient::new(Arc::new(Client::new(config.clone()).unwrap()), Some(Arc::new(recorder)));
    operations.iter().for_each(|operation| carry_out(&client, operation, config.codec));
    let statistics = client.client().statistics();
    drop(client);
    let bytes = file.0.lock().unwrap().clone();
    (bytes, statistics)
}

fn carry_out(client: &RecordedClient, operation: &Operation, codec: CodecChoice) {
    let page = |content: &Content| Synthesis::new(codec).page(content);
    match *operation {
        Operation::Hello => client.hello(),
        Operation::PoolNew { kind, .. } => drop(client.pool_new(kind)),
        Operation::PoolDestroy { pool, .. } => drop(client.pool_destroy(pool)),
        Operation::Put { key, content, .. } => {
            client.put(key, 0, &Memory(content.as_ref().map(page)));
        }
        Operation::Get { key, exclusive, status } => {
            client.get(key, 0, exclusive, &Memory((status != Status::BadAddress).then_some([0; 4096])));
        }
        Operation::FlushRange { first, count, .. } => drop(client.flush_range(first, count)),
        Operation::FlushObject { pool, object, .. } => drop(client.flush_object(pool, object)),
        Operation::SetLimit { bytes } => client.set_limit(bytes),
        Operation::Freeze => client.freeze(),
        Operation::Thaw => client.thaw(),
        Operation::FlushEphemeral { bytes } => drop(client.flush_ephemeral(bytes)),
    }
}

fn configs() -> impl Strategy<Value = ClientConfig> {
    let codec = prop::sample::select(&[CodecChoice::Lz4, CodecChoice::PageLz][..]);
    let eviction = prop::sample::select(EvictionChoice::ALL);
    (codec, eviction, prop_oneof![Just(1 << 30), 1 << 17..1_u64 << 20]).prop_map(|(codec, eviction, limit_bytes)| {
        ClientConfig { codec, eviction, ..ClientConfig::new(limit_bytes, [5, 6]) }
    })
}

/// Operations after two pools were made.
fn operations() -> impl Strategy<Value = Vec<Operation>> {
    prop::collection::vec(operation(), 1..500).prop_map(|mut operations| {
        let pool = |kind| Operation::PoolNew { kind, answer: Ok(0) };
        operations.splice(0..0, [pool(PoolKind::Persistent), pool(PoolKind::Ephemeral)]);
        operations
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_replay_gives_the_same_answers_and_the_same_counters(config in configs(), operations in operations()) {
        let (trace, recorded) = record(&config, &operations);
        let reader = Reader::new(trace.as_slice()).unwrap();
        let client = Client::new(reader.header().config([7, 8])).unwrap();
        let outcome = replay(reader, &client, true).unwrap();
        prop_assert_eq!((outcome.operations, outcome.differing, outcome.lost), (operations.len() as u64, 0, 0));
        prop_assert_eq!(client.statistics(), recorded);
    }
}

#[test]
fn a_page_that_was_rejected_unseen_is_there_for_a_replay_with_more_room() {
    let config = ClientConfig::new(0, [0; 2]);
    let key = Key { pool: 2, object: ObjectId([1; 3]), index: 0 };
    let content = Content { hash: 1, form: tmem::Form::Raw };
    let pool = Operation::PoolNew { kind: PoolKind::Persistent, answer: Ok(0) };
    let (trace, recorded) =
        record(&config, &[pool, pool, Operation::Put { key, content: Some(content), status: Status::Ok }]);
    assert_eq!(recorded.puts_rejected_over_limit, 1);
    let client = Client::new(ClientConfig::new(1 << 30, [0; 2])).unwrap();
    let outcome = replay(Reader::new(trace.as_slice()).unwrap(), &client, false).unwrap();
    assert_eq!((outcome.differing, client.statistics().raw_pages), (1, 1));
}

#[test]
fn no_byte_of_a_page_is_in_a_trace() {
    let config = ClientConfig::new(1 << 30, [0; 2]);
    let (trace, _) = record(&config, &[Operation::PoolNew { kind: PoolKind::Persistent, answer: Ok(0) }]);
    let file = Shared::default();
    let recorder = Recorder::start(file.clone(), &Header::of(&config), ContentKey::new([3, 4])).unwrap();
    let client = RecordedClient::new(Arc::new(Client::new(config).unwrap()), Some(Arc::new(recorder)));
    let pool = client.pool_new(PoolKind::Persistent).unwrap();
    let secret: Page = std::array::from_fn(|at| b"a secret that must not leak. "[at % 29]);
    for index in 0..64 {
        assert_eq!(client.put(Key { pool, object: ObjectId([0; 3]), index }, 0, &Memory(Some(secret))), Status::Ok);
    }
    drop(client);
    let bytes = file.0.lock().unwrap().clone();
    assert!(bytes.len() > trace.len());
    assert!(!bytes.windows(3).any(|window| secret.windows(3).any(|known| known == window)), "three bytes of the page");
    let records: Vec<_> = Reader::new(bytes.as_slice()).unwrap().map(Result::unwrap).collect();
    let hashes = records.iter().filter_map(|record| match record {
        Record::Operation { operation: Operation::Put { content, .. }, .. } => *content,
        _ => None,
    });
    assert_eq!(hashes.collect::<std::collections::HashSet<_>>().len(), 1, "equal pages have one hash");
}
