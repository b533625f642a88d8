//! Traces and decision logs as a host makes them: recorded on a real store, and logged by the service's own engine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::{Engine, InForce, Origin};
use policy::law::observation::HostObservation;
use policy::{Policy, Source};
use protocol::VmName;
use protocol::service::{Counts, Registration};
use tempfile::TempDir;
use tmem::{BadFrame, Client, ClientConfig, GuestPages, Key, ObjectId, Page, PoolKind, Status};
use trace::{ContentKey, Header, Reader, Record, RecordedClient, Recorder, Writer};

pub const MIB: u64 = 1 << 20;
pub const TOTAL_BYTES: u64 = 64 << 30;

/// Decided each second, of a pool of 4 MiB; VMs of user 7 weigh three times as much.
pub const POLICY: &str = "pool = { size_max = \"4MiB\", size_min = \"4MiB\" }\n\
                          share = { min_change = \"64KiB\", idle_tax = \"0%\" }\n\
                          class.default.tmem.limit = \"100%\"\nclass.heavy.weight = 300\n\
                          [[vm]]\nmatch.uid = 7\nclass = \"heavy\"\n";

pub fn policy(text: &str) -> Policy {
    let reading = policy::read(vec![Source { path: "p.toml".into(), text: text.into() }], TOTAL_BYTES);
    reading.policy.unwrap()
}

pub fn name(name: &str) -> VmName {
    name.parse().unwrap()
}

/// Guest memory whose frames are half noise: each page takes some 2 KiB, and no two are equal.
struct Frames;

impl GuestPages for Frames {
    fn read_page(&self, frame: u64, into: &mut Page) -> Result<(), BadFrame> {
        *into = [0; 4096];
        let mut word = frame.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for byte in &mut into[..2048] {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            *byte = word.to_le_bytes()[0];
        }
        Ok(())
    }

    fn write_page(&self, _: u64, _: &Page) -> Result<(), BadFrame> {
        Ok(())
    }
}

/// A folder with what was recorded.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Records a guest that puts pages into a pool and then asks for each once, on a store with room for all. The
    /// operations are then put `step_us` apart, so that the test has not to last as long.
    pub fn record(&self, vm: &str, kind: PoolKind, pages: u32, step_us: u64) -> (VmName, PathBuf) {
        let path = self.path(&format!("{vm}.trace"));
        let config = ClientConfig::new(64 * MIB, [1, 2]);
        let recorder =
            Recorder::start(File::create(&path).unwrap(), &Header::of(&config), ContentKey::new([3, 4])).unwrap();
        let client = RecordedClient::new(Arc::new(Client::new(config).unwrap()), Some(Arc::new(recorder)));
        client.set_limit(32 * MIB);
        let pool = client.pool_new(kind).unwrap();
        let key = |index| Key { pool, object: ObjectId([7; 3]), index };
        for index in 0..pages {
            assert_eq!(client.put(key(index), u64::from(index), &Frames), Status::Ok);
        }
        for index in 0..pages {
            assert_eq!(client.get(key(index), 0, false, &Frames), Status::Ok);
        }
        drop(client);
        respace(&path, |n, _| n * step_us);
        (name(vm), path)
    }
}

/// Gives each operation of a trace another time: of its place in the trace, and its time so far.
pub fn respace(path: &Path, at_us: impl Fn(u64, u64) -> u64) {
    let bytes = fs::read(path).unwrap();
    let reader = Reader::new(bytes.as_slice()).unwrap();
    let mut writer = Writer::new(Vec::new(), &reader.header()).unwrap();
    for (n, record) in (0..).zip(reader) {
        let record = match record.unwrap() {
            Record::Operation { at_us: was, operation } => Record::Operation { at_us: at_us(n, was), operation },
            lost @ Record::Lost { .. } => lost,
        };
        writer.write(&record).unwrap();
    }
    fs::write(path, writer.finish().unwrap()).unwrap();
}

/// A host service without its sockets, and its decision log.
pub struct Service {
    engine: Engine,
    pub log: Vec<u8>,
}

/// When the service's first decision was.
pub const BEGAN_UNIX_MS: u64 = 1_700_000_000_000;

impl Service {
    pub fn new() -> Self {
        let policy = policy(POLICY);
        Self { engine: Engine::new(InForce::from(policy), 0), log: Vec::new() }
    }

    pub fn register(&mut self, vm: &str, uid: u32) {
        let counts = Counts { limit_bytes: 64 * MIB, ..Counts::default() };
        let registration =
            Registration { name: name(vm), label: None, memory_bytes: 64 * MIB, runs: true, lease_bytes: 0, counts };
        let origin = Origin { uid, pid: 1, cgroup: None };
        self.engine.register(origin, registration, host_at(0, TOTAL_BYTES), |_| None).unwrap();
    }

    /// Decides on a host with so much memory available, and logs that.
    pub fn decide(&mut self, second: u64, available_bytes: u64) {
        let changed = self.engine.decide(host_at(10_000 + second * 1000, available_bytes));
        let line = self.engine.log_line(BEGAN_UNIX_MS + second * 1000);
        assert!(line.is_some() || changed.is_empty());
        if let Some(line) = line {
            self.log.extend(line);
            self.log.push(b'\n');
        }
    }
}

fn host_at(now_ms: u64, available_bytes: u64) -> HostObservation {
    HostObservation { now_ms, total_bytes: TOTAL_BYTES, available_bytes, psi: None }
}
