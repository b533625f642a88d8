//! The server on a real event loop and a real abstract socket; only the VM behind it is made up.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use event_manager::{EventManager, SubscriberOps};
use observe::{Peer, peer};
use protocol::{
    MESSAGE_MAX_BYTES, RefusalKind, Reply, Request, TmemReport, VmName, VmReport, VmState, decode_reply, encode_request,
};

use super::*;

const RESERVATION_BYTES: u64 = 1000;

/// A VM that writes down what it was told.
struct FakeVm {
    name: VmName,
    told: Mutex<Vec<String>>,
    tmem: bool,
    label: Option<String>,
}

impl FakeVm {
    fn note(&self, what: String) -> Result<(), ControlError> {
        if !self.tmem {
            return Err(ControlError::NoTmem);
        }
        self.told.lock().unwrap().push(what);
        Ok(())
    }
}

impl ControlTarget for FakeVm {
    fn report(&self) -> VmReport {
        VmReport {
            name: self.name.clone(),
            pid: 1,
            state: VmState::Running,
            uptime_ms: 0,
            memory_bytes: 0,
            vcpus: 1,
            kernel: String::new(),
            label: self.label.clone(),
            tmem: self.tmem.then_some(TmemReport {
                limit_bytes: 2000,
                reservation_bytes: RESERVATION_BYTES,
                used_bytes: 0,
                frozen: false,
                share: None,
            }),
            counters: BTreeMap::new(),
            guest: None,
        }
    }

    fn set_limit(&self, limit_bytes: u64) -> Result<(), ControlError> {
        self.note(format!("limit {limit_bytes}"))
    }

    fn freeze(&self) -> Result<(), ControlError> {
        self.note("freeze".into())
    }

    fn thaw(&self) -> Result<(), ControlError> {
        self.note("thaw".into())
    }

    fn flush(&self, bytes: u64) -> Result<u64, ControlError> {
        self.note(format!("flush {bytes}")).map(|()| 4096)
    }

    fn power_button(&self) -> Result<(), ControlError> {
        Err(ControlError::Host(std::io::Error::other("the button is stuck")))
    }
}

/// A server on its own event loop, until it is dropped.
struct RunningServer {
    vm: Arc<FakeVm>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl RunningServer {
    fn start(name: &str) -> Self {
        Self::start_with(name, true, None)
    }

    fn start_with(name: &str, tmem: bool, label: Option<String>) -> Self {
        let name: VmName = format!("{name}.{}", std::process::id()).parse().unwrap();
        let vm = Arc::new(FakeVm { name, told: Mutex::default(), tmem, label });
        let socket = Socket::bind(&vm.name).unwrap();
        let server = Server::new(socket, Arc::clone(&vm));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut events = EventManager::<Server<Arc<FakeVm>>>::new().unwrap();
            events.add_subscriber(server);
            while !stopped.load(Ordering::Relaxed) {
                events.run_with_timeout(10).unwrap();
            }
        });
        Self { vm, stop, thread: Some(thread) }
    }

    fn connect(&self) -> Asker {
        let address = SocketAddr::from_abstract_name(self.vm.name.socket_name()).unwrap();
        let stream = UnixStream::connect_addr(&address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
        Asker(BufReader::new(stream))
    }

    fn told(&self) -> Vec<String> {
        self.vm.told.lock().unwrap().clone()
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A client, to ask with.
struct Asker(BufReader<UnixStream>);

impl Asker {
    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    fn reply(&mut self) -> Reply {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).unwrap();
        decode_reply(&line).unwrap()
    }

    fn ask(&mut self, request: Request) -> Reply {
        self.send(&encode_request(request).unwrap());
        self.reply()
    }

    fn refusal(&mut self, bytes: &[u8]) -> (RefusalKind, String) {
        self.send(bytes);
        let Reply::Error(refusal) = self.reply() else { panic!("not refused") };
        (refusal.kind, refusal.message)
    }

    /// Whether the server has closed the connection, waited for.
    fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0))
    }
}

#[test]
fn each_request_reaches_the_vm_and_is_answered() {
    let server = RunningServer::start("each-request");
    let mut peer = server.connect();
    assert!(matches!(peer.ask(Request::Show), Reply::Show(report) if report.name == server.vm.name));
    assert_eq!(peer.ask(Request::SetLimit { limit_bytes: 1000 }), Reply::Done);
    assert_eq!(peer.ask(Request::Freeze), Reply::Done);
    assert_eq!(peer.ask(Request::Thaw), Reply::Done);
    assert_eq!(peer.ask(Request::Flush { bytes: Some(7) }), Reply::Flushed { bytes: 4096 });
    assert_eq!(peer.ask(Request::Flush { bytes: None }), Reply::Flushed { bytes: 4096 });
    assert_eq!(server.told(), ["limit 1000", "freeze", "thaw", "flush 7", "flush 18446744073709551615"]);
}

#[test]
fn a_limit_below_the_reservation_is_refused() {
    let server = RunningServer::start("low-limit");
    let request = encode_request(Request::SetLimit { limit_bytes: RESERVATION_BYTES - 1 }).unwrap();
    let (kind, message) = server.connect().refusal(&request);
    assert_eq!(kind, RefusalKind::Invalid);
    assert_eq!(message, "a limit of 999 bytes is below the reservation of 1000 bytes");
    assert!(server.told().is_empty());
}

#[test]
fn a_vm_without_tmem_says_so() {
    let server = RunningServer::start_with("no-tmem", false, None);
    for request in [Request::Freeze, Request::Flush { bytes: None }, Request::SetLimit { limit_bytes: 5000 }] {
        let (kind, message) = server.connect().refusal(&encode_request(request).unwrap());
        assert_eq!(kind, RefusalKind::NoTmem);
        assert!(message.contains("`enabled = false`"), "{message}");
    }
}

#[test]
fn a_host_that_fails_is_quoted() {
    let server = RunningServer::start("host-fails");
    let (kind, message) = server.connect().refusal(&encode_request(Request::PowerButton).unwrap());
    assert_eq!((kind, message.as_str()), (RefusalKind::Failed, "the host could not do it: the button is stuck"));
}

#[test]
fn garbage_is_answered_and_the_connection_goes_on() {
    let server = RunningServer::start("garbage");
    let mut peer = server.connect();
    assert_eq!(peer.refusal(b"\0\xff{{{\n").0, RefusalKind::Malformed);
    assert_eq!(peer.refusal(b"\n").0, RefusalKind::Malformed);
    let (kind, message) = peer.refusal(b"{\"version\":2,\"request\":\"show\"}\n");
    assert_eq!((kind, message.as_str()), (RefusalKind::Version, "protocol version 2 is not spoken here, only [1]"));
    assert!(matches!(peer.ask(Request::Show), Reply::Show(_)));
}

#[test]
fn a_line_without_end_is_answered_and_ends_the_connection() {
    let server = RunningServer::start("endless");
    let mut peer = server.connect();
    assert_eq!(peer.refusal(&vec![b'['; MESSAGE_MAX_BYTES + 1]).0, RefusalKind::TooLong);
    assert!(peer.is_closed());
}

#[test]
fn requests_may_come_all_at_once_or_byte_by_byte() {
    let server = RunningServer::start("pieces");
    let mut peer = server.connect();
    let freeze = encode_request(Request::Freeze).unwrap();
    let half = freeze.len() / 2;
    peer.send(&[freeze.repeat(500).as_slice(), &freeze[..half]].concat());
    for _ in 0..500 {
        assert_eq!(peer.reply(), Reply::Done);
    }
    for byte in &freeze[half..] {
        peer.send(&[*byte]);
    }
    assert_eq!(peer.reply(), Reply::Done);
    assert_eq!(server.told().len(), 501);
}

#[test]
fn a_request_before_the_end_of_input_is_answered() {
    let server = RunningServer::start("half-closed");
    let mut peer = server.connect();
    peer.send(&encode_request(Request::Freeze).unwrap());
    peer.0.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(peer.reply(), Reply::Done);
    assert!(peer.is_closed());
}

#[test]
fn a_client_that_does_not_read_delays_nobody() {
    // Replies of 60 KiB: a few of them fill the socket's buffer.
    let server = RunningServer::start_with("slow", true, Some("x".repeat(60 * 1024)));
    let mut slow = server.connect();
    let show = encode_request(Request::Show).unwrap();
    slow.send(&show.repeat(50));
    assert_eq!(server.connect().ask(Request::Freeze), Reply::Done);
    for _ in 0..50 {
        assert!(matches!(slow.reply(), Reply::Show(_)), "nothing is lost once it reads");
    }
}

#[test]
fn silent_clients_make_room_for_a_new_one_the_longest_silent_first() {
    let server = RunningServer::start("silent");
    let mut peers: Vec<Asker> = (0..CONNECTIONS_MAX).map(|_| server.connect()).collect();
    assert_eq!(peers[0].ask(Request::Freeze), Reply::Done);
    assert_eq!(server.connect().ask(Request::Freeze), Reply::Done);
    assert_eq!(peers[0].ask(Request::Thaw), Reply::Done, "it spoke after the others had connected");
    let closed = peers[1..].iter_mut().map(|peer| {
        peer.0.get_ref().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        peer.is_closed()
    });
    assert_eq!(closed.filter(|closed| *closed).count(), 1);
}

#[test]
fn clients_that_vanish_leave_no_connection() {
    let server = RunningServer::start("vanish");
    for _ in 0..200 {
        let mut peer = server.connect();
        peer.send(b"{\"version\":1,");
    }
    assert_eq!(server.connect().ask(Request::Freeze), Reply::Done);
}

#[test]
fn a_name_belongs_to_one_vm_until_its_socket_is_closed() {
    let name: VmName = format!("taken.{}", std::process::id()).parse().unwrap();
    let first = Socket::bind(&name).unwrap();
    let error = Socket::bind(&name).unwrap_err();
    assert!(matches!(&error, BindError::NameTaken(taken) if *taken == name), "{error:?}");
    drop(first);
    assert!(Socket::bind(&name).is_ok());
}

#[test]
fn the_other_end_is_known_by_its_user_and_process() {
    let server = RunningServer::start("peer");
    let us = Peer { uid: rustix::process::geteuid().as_raw(), pid: rustix::process::getpid().as_raw_pid() };
    assert_eq!(peer(server.connect().0.get_ref()).unwrap(), us);
    assert!(peer(&std::fs::File::open("/dev/null").unwrap()).is_err());
}
