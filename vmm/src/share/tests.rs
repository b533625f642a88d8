//! The lease client against a service that the test plays, on a real socket; and the local policy on this host.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use event_manager::{EventManager, SubscriberOps};
use protocol::service::{
    Registration, ServiceReply, ServiceRequest, StoreAccept, StoreCodec, StoreEviction, StoreSettings,
    decode_service_request, encode_service_reply,
};
use protocol::{Refusal, RefusalKind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tmem::{AcceptChoice, Client, ClientConfig, CodecChoice, EvictionChoice, Key, ObjectId, PoolKind, Status};
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::config::{Codec, Dedup, ShareConfig, TmemConfig};
use crate::memory::{Pages, allocate};

const MIB: u64 = 1 << 20;

fn share(own_limit_bytes: u64, source: ShareSource) -> Arc<Share> {
    let client = Client::new(ClientConfig::new(u64::MAX, [0; 2])).unwrap();
    Arc::new(Share::new(RecordedClient::from(Arc::new(client)), own_limit_bytes, source))
}

fn lease(mib: u64) -> Lease {
    Lease {
        lease_bytes: mib * MIB,
        reservation_bytes: 0,
        accepts_ephemeral: true,
        ephemeral_basis_points: Lease::all(),
        interval_ms: 100,
    }
}

fn local_vm() -> LocalVm {
    LocalVm { name: "vm".into(), label: None, memory_bytes: 64 * MIB, reservation_bytes: MIB }
}

fn registered(mib: u64) -> ServiceReply {
    let store = StoreSettings {
        codec: StoreCodec::Zstd,
        eviction: StoreEviction::Unknown,
        deduplicates: false,
        stored_max_bytes: u32::MAX,
        accept: StoreAccept::BetterThanMean,
        accept_threshold_basis_points: 9000,
        recompress_after_ms: 0,
    };
    ServiceReply::Registered { lease: lease(mib), store }
}

fn put(share: &Share, kind: PoolKind, index: u32) -> Status {
    let ram = allocate(1 << 20).unwrap();
    ram.write_slice(&[7; 4096], GuestAddress(0)).unwrap();
    ram.write_slice(&index.to_le_bytes(), GuestAddress(0)).unwrap();
    let pool = share.store.pool_new(kind).unwrap();
    share.store.put(Key { pool, object: ObjectId([0; 3]), index }, 0, &Pages(&ram))
}

#[test]
fn a_store_holds_no_more_than_its_lease_and_its_own_limit() {
    let share = share(64 * MIB, ShareSource::Service);
    assert_eq!(put(&share, PoolKind::Persistent, 0), Status::OverLimit, "no lease yet");
    share.set_lease(lease(32));
    assert_eq!(put(&share, PoolKind::Persistent, 0), Status::Ok);
    assert_eq!(share.store.client().limit_bytes(), 32 * MIB);
    share.set_lease(lease(128));
    assert_eq!(share.store.client().limit_bytes(), 64 * MIB);
    share.set_own_limit(16 * MIB);
    assert_eq!(share.store.client().limit_bytes(), 16 * MIB);
    let report = share.report();
    assert_eq!((report.own_limit_bytes, report.lease_bytes), (16 * MIB, 128 * MIB));
}

#[test]
fn ephemeral_pages_have_their_part_of_what_the_store_may_hold() {
    let share = share(64 * MIB, ShareSource::Service);
    share.set_lease(Lease { ephemeral_basis_points: 0, ..lease(32) });
    assert_eq!(put(&share, PoolKind::Ephemeral, 0), Status::OverLimit);
    assert_eq!(put(&share, PoolKind::Persistent, 0), Status::Ok);
    let half = Lease { ephemeral_basis_points: 5000, ..lease(32) };
    share.set_lease(half);
    assert_eq!(put(&share, PoolKind::Ephemeral, 0), Status::Ok);
    assert_eq!(ephemeral_limit(half, 32 * MIB), 16 * MIB);
    assert_eq!(ephemeral_limit(half, u64::MAX), u64::MAX / 2);
    assert_eq!(ephemeral_limit(lease(32), 0), u64::MAX);
}

#[test]
fn ephemeral_puts_are_rejected_while_the_lease_says_so() {
    let share = share(64 * MIB, ShareSource::Service);
    share.set_lease(Lease { accepts_ephemeral: false, ..lease(32) });
    assert_eq!(put(&share, PoolKind::Ephemeral, 0), Status::OverLimit);
    assert_eq!(put(&share, PoolKind::Persistent, 0), Status::Ok);
    share.set_lease(lease(32));
    assert_eq!(put(&share, PoolKind::Ephemeral, 0), Status::Ok);
    assert_eq!(share.counts().ephemeral_pages, 1);
}

#[test]
fn alone_a_vm_decides_for_itself_within_its_limit_and_never_below_its_reservation() {
    let share = share(64 * MIB, ShareSource::Policy);
    let mut local = LocalPolicy::new(LocalPolicy::alone(), local_vm(), Arc::clone(&share));
    local.decide();
    let limit = share.store.client().limit_bytes();
    assert!((MIB..=64 * MIB).contains(&limit), "{limit}");
    share.set_own_limit(0);
    local.decide();
    assert_eq!(share.store.client().limit_bytes(), 0);
    share.set_own_limit(64 * MIB);
    let raised = share.store.client().limit_bytes();
    assert!(raised.min(2 * MIB) >= limit.min(2 * MIB), "it was raised, and is {raised} until the next decision");

    let mut policy = LocalPolicy::alone();
    let marks = &mut policy.host.watermarks;
    for mark in [&mut marks.clear, &mut marks.soft, &mut marks.hard, &mut marks.low] {
        *mark = policy::SizeOrPercent::Bytes(1 << 60);
    }
    let mut local = LocalPolicy::new(policy, local_vm(), Arc::clone(&share));
    local.decide();
    assert_eq!(share.store.client().limit_bytes(), MIB, "state low: the reservation and no more");
    assert_eq!(put(&share, PoolKind::Ephemeral, 0), Status::OverLimit);
}

#[test]
fn alone_a_vm_that_leaves_its_store_alone_decides_once_a_minute_until_it_calls_again() {
    let share = share(64 * MIB, ShareSource::Policy);
    // Of two runs of the loop one may find the host short, and the decision then is another one.
    let mut policy = LocalPolicy::alone();
    let marks = &mut policy.host.watermarks;
    for mark in [&mut marks.clear, &mut marks.soft, &mut marks.hard, &mut marks.low, &mut marks.hysteresis] {
        *mark = policy::SizeOrPercent::Bytes(0);
    }
    for mark in [&mut policy.host.psi.soft, &mut policy.host.psi.hard] {
        (mark.some_avg10, mark.full_avg10) = (None, None);
    }
    policy.interval = "100ms".parse().unwrap();
    let mut governor = Governor::local(LocalPolicy::new(policy, local_vm(), Arc::clone(&share))).unwrap();
    let mut events = EventManager::new().unwrap();
    events.add_subscriber(Governs(&mut governor));
    for _ in 0..2 {
        // A turn each interval, until it rests.
        let began = Instant::now();
        while events.run_with_timeout(1_000).unwrap() > 0 {
            assert!(began.elapsed() < Duration::from_secs(30), "it never rests");
        }
        assert_eq!(put(&share, PoolKind::Persistent, 0), Status::Ok);
        assert_eq!(events.run_with_timeout(1_000).unwrap(), 1, "the call rings");
        assert_eq!(events.run_with_timeout(1_000).unwrap(), 1, "and there is a turn each interval again");
    }
}

/// A service for one VM.
struct Played {
    folder: tempfile::TempDir,
    listener: UnixListener,
}

impl Played {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("host.sock")).unwrap();
        Self { folder, listener }
    }

    fn accept(&self) -> Line {
        Line(BufReader::new(self.listener.accept().unwrap().0))
    }

    fn link(&self) -> ServiceLink {
        ServiceLink::new(self.folder.path().join("host.sock"), "vm".parse().unwrap(), None, 64 * MIB, 64 * MIB)
    }
}

struct Line(BufReader<UnixStream>);

impl Line {
    fn hear(&mut self) -> ServiceRequest {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).unwrap();
        decode_service_request(&line).unwrap()
    }

    fn registration(&mut self) -> Registration {
        let ServiceRequest::Register(registration) = self.hear() else { panic!("no registration") };
        registration
    }

    fn say(&mut self, reply: ServiceReply) {
        self.0.get_mut().write_all(&encode_service_reply(reply).unwrap()).unwrap();
    }
}

/// Runs a VM's event loop with nothing but its governor until `done`.
fn run(mut link: ServiceLink, share: &Arc<Share>, done: impl Fn(&Share) -> bool) {
    link.start().unwrap();
    let mut governor = Governor::service(link, Arc::clone(share)).unwrap();
    let mut events = EventManager::new().unwrap();
    events.add_subscriber(Governs(&mut governor));
    let began = Instant::now();
    while !done(share) {
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", share.report());
        events.run_with_timeout(10).unwrap();
    }
}

#[test]
fn a_lost_service_leaves_the_lease_and_hears_of_it_when_it_is_back() {
    let played = Played::start();
    let share = share(64 * MIB, ShareSource::Service);
    let link = played.link();
    thread::scope(|scope| {
        let played = scope.spawn(|| {
            let mut line = played.accept();
            let registration = line.registration();
            assert_eq!((registration.runs, registration.lease_bytes), (false, 0));
            line.say(registered(0));
            line.say(ServiceReply::Lease(lease(20)));
            assert!(matches!(line.hear(), ServiceRequest::Report(counts) if counts.limit_bytes == 64 * MIB));
            drop(line);
            let mut line = played.accept();
            let registration = line.registration();
            assert_eq!((registration.runs, registration.lease_bytes), (true, 20 * MIB));
            line.say(registered(20));
            line.say(ServiceReply::Lease(lease(30)));
            line
        });
        run(link, &share, |share| share.lease().lease_bytes == 30 * MIB && share.report().is_connected);
        drop(played.join().unwrap());
    });
    assert_eq!(share.store.client().limit_bytes(), 30 * MIB);
}

#[test]
fn a_vm_that_leaves_its_store_alone_says_so_and_reports_again_when_it_calls() {
    let played = Played::start();
    let share = share(64 * MIB, ShareSource::Service);
    let link = played.link();
    let report = |line: &mut Line| {
        let ServiceRequest::Report(counts) = line.hear() else { panic!("no report") };
        counts
    };
    thread::scope(|scope| {
        let (share, served) = (Arc::clone(&share), Arc::clone(&share));
        let played = scope.spawn(move || {
            let mut line = played.accept();
            line.registration();
            line.say(registered(20));
            while !report(&mut line).rests {}
            line.0.get_mut().set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            let silence = line.0.read_until(b'\n', &mut Vec::new());
            assert!(silence.is_err(), "it said that it would report nothing");
            line.0.get_mut().set_read_timeout(None).unwrap();
            assert_eq!(put(&served, PoolKind::Persistent, 0), Status::Ok);
            // A pool for the page is the first call, the put the second.
            while report(&mut line).puts_accepted == 0 {}
            while !report(&mut line).rests {}
            line.say(ServiceReply::Lease(lease(30)));
            assert!(report(&mut line).rests, "a new lease is answered by a report, and nothing else changes");
            line.say(ServiceReply::Lease(lease(40)));
            line
        });
        run(link, &share, |share| share.lease().lease_bytes == 40 * MIB);
        drop(played.join().unwrap());
    });
}

#[test]
fn however_often_it_is_told_to_flush_a_vm_sends_no_more_lines_than_the_service_takes() {
    const FLUSHES: u32 = 60;
    let played = Played::start();
    let share = share(64 * MIB, ShareSource::Service);
    let link = played.link();
    thread::scope(|scope| {
        let played = scope.spawn(|| {
            let mut line = played.accept();
            line.registration();
            // It reports by itself within the minute, which this does not last.
            let rare = Lease { interval_ms: 60_000, ..lease(20) };
            line.say(registered(0));
            line.say(ServiceReply::Lease(rare));
            let began = Instant::now();
            for _ in 0..FLUSHES {
                line.say(ServiceReply::Flush { bytes: 1 });
                thread::sleep(Duration::from_millis(10));
            }
            let took = began.elapsed();
            line.say(ServiceReply::Lease(lease(30)));
            line.0.get_mut().set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            let reports = std::iter::from_fn(|| line.0.by_ref().lines().next()?.ok()).take(1000).count();
            (reports, took)
        });
        run(link, &share, |share| share.lease().lease_bytes == 30 * MIB);
        let (reports, took) = played.join().unwrap();
        let most = usize::try_from(took.as_millis() / 100).unwrap() + 3;
        assert!((1..=most).contains(&reports), "{reports} reports of {FLUSHES} flushes in {took:?}");
    });
}

#[test]
fn a_vm_that_is_not_admitted_does_not_start() {
    let played = Played::start();
    let mut link = played.link();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut line = played.accept();
            line.registration();
            line.say(ServiceReply::Error(Refusal::new(RefusalKind::NotAdmitted, "no room")));
        });
        let error = link.start().unwrap_err().to_string();
        assert_eq!(error, "the host service refuses: no room");
    });
}

#[test]
fn a_store_works_as_the_service_says_where_its_own_configuration_does_not() {
    let played = Played::start();
    let mut link = played.link();
    let settings = thread::scope(|scope| {
        let line = scope.spawn(|| {
            let mut line = played.accept();
            line.registration();
            line.say(registered(4));
            line
        });
        let settings = link.start().unwrap().unwrap();
        drop(line.join());
        settings
    });
    let tmem = TmemConfig {
        share: ShareConfig::Alone,
        limit_bytes: MIB,
        reservation_bytes: 0,
        label: None,
        codec: None,
        staging_bytes: 0,
        dedup: None,
        eviction: None,
        recompress_after: None,
    };
    let defaults = StoreDefaults::from(settings);
    let config = defaults.client_config(&tmem, [0; 2]);
    assert_eq!((config.codec, config.deduplicates), (CodecChoice::Zstd, false));
    assert_eq!((config.eviction, config.max_stored_bytes), (EvictionChoice::default(), 4096));
    assert_eq!((config.accept, config.accept_threshold_basis_points), (AcceptChoice::BetterThanMean, 9000));
    assert_eq!(defaults.recompress_after(&tmem), None);
    let own = TmemConfig {
        codec: Some(Codec::Lz4),
        dedup: Some(Dedup::Vm),
        recompress_after: Some(Duration::from_secs(5)),
        ..tmem
    };
    let config = defaults.client_config(&own, [0; 2]);
    assert_eq!((config.codec, config.deduplicates), (CodecChoice::Lz4, true));
    assert_eq!(defaults.recompress_after(&own), Some(Duration::from_secs(5)));
}

#[test]
fn the_empty_policy_is_what_a_store_does_by_default() {
    let defaults = StoreDefaults::from(&policy::Policy::default());
    let whole = StoreSettings {
        codec: StoreCodec::Unknown,
        eviction: StoreEviction::Unknown,
        deduplicates: ClientConfig::new(0, [0; 2]).deduplicates,
        stored_max_bytes: 4096,
        accept: StoreAccept::Unknown,
        accept_threshold_basis_points: ClientConfig::new(0, [0; 2]).accept_threshold_basis_points,
        recompress_after_ms: 60_000,
    };
    assert_eq!(defaults, StoreDefaults::from(whole));
}

#[test]
fn without_a_service_a_vm_starts_with_nothing_and_asks_until_there_is_one() {
    let played = Played::start();
    let share = share(64 * MIB, ShareSource::Service);
    let Played { folder, listener } = played;
    drop(listener);
    let path = folder.path().join("host.sock");
    let link = ServiceLink::new(path.clone(), "vm".parse().unwrap(), None, 64 * MIB, 64 * MIB);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(share.store.client().limit_bytes(), 0);
    thread::scope(|scope| {
        let played = scope.spawn(|| {
            thread::sleep(Duration::from_millis(500));
            let mut line = Line(BufReader::new(UnixListener::bind(&path).unwrap().accept().unwrap().0));
            assert!(line.registration().runs);
            line.say(registered(8));
            line
        });
        run(link, &share, |share| share.report().is_connected);
        drop(played.join().unwrap());
    });
    assert_eq!(share.store.client().limit_bytes(), 8 * MIB);
}

#[test]
fn a_service_that_talks_nonsense_is_left_and_asked_again() {
    let played = Played::start();
    let share = share(64 * MIB, ShareSource::Service);
    let link = played.link();
    thread::scope(|scope| {
        let played = scope.spawn(|| {
            let mut line = played.accept();
            line.registration();
            line.say(registered(4));
            line.0.get_mut().write_all(b"\xff\xfe nonsense\n").unwrap();
            assert_eq!(played.accept().registration().lease_bytes, 4 * MIB);
            let mut line = played.accept();
            line.registration();
            line.say(registered(5));
            line
        });
        run(link, &share, |share| share.lease().lease_bytes == 5 * MIB);
        drop(played.join().unwrap());
    });
}
