//! A service as a process, and VMs that only speak its protocol.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use protocol::service::{
    Counts, HostStatus, Lease, Registration, ServiceReply, ServiceRequest, VmStatus, decode_service_reply,
    encode_service_request,
};
use protocol::{Refusal, VmName};
use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// A service. Dropping it kills it.
pub struct Service {
    folder: TempDir,
    /// Its policy, below the folder.
    policy: &'static str,
    process: Child,
}

impl Service {
    /// Starts one with this policy.
    pub fn start(policy: &str) -> Self {
        Self::start_on("policy.toml", &[("policy.toml", policy)])
    }

    /// Starts one whose policy is a folder with these files.
    pub fn start_on_folder(files: &[(&str, &str)]) -> Self {
        Self::start_on("", files)
    }

    fn start_on(policy: &'static str, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let process = spawn(folder.path(), policy);
        let service = Self { folder, policy, process };
        service.wait_until_it_listens();
        service
    }

    /// Puts another policy in the place of the old one, as a whole.
    pub fn write_policy(&self, policy: &str) {
        let new = self.folder.path().join("new");
        fs::write(&new, policy).unwrap();
        fs::rename(new, self.folder.path().join("policy.toml")).unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("host.sock")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn wait_until_it_listens(&self) {
        let began = Instant::now();
        while UnixStream::connect(self.socket()).is_err() {
            assert!(began.elapsed() < PATIENCE, "the service does not listen: {}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        self.process = spawn(self.folder.path(), self.policy);
        self.wait_until_it_listens();
    }

    /// What a second service on the same socket says.
    pub fn second(&self) -> String {
        self.on(&self.socket())
    }

    /// What a service says that is to listen there and cannot.
    pub fn on(&self, socket: &Path) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_tmem")).arg("host").arg("--socket").arg(socket).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// How many lines of the log say so.
    pub fn logged(&self, what: &str) -> usize {
        self.log().lines().filter(|line| line.contains(what)).count()
    }

    pub fn connect(&self) -> Connection {
        let stream = UnixStream::connect(self.socket()).unwrap();
        Connection { reader: BufReader::new(stream) }
    }

    pub fn vm(&self, name: &str) -> FakeVm {
        self.try_vm(name).unwrap()
    }

    pub fn try_vm(&self, name: &str) -> Result<FakeVm, Refusal> {
        FakeVm::register(self.connect(), name, false, 0)
    }

    fn answer(&self, request: ServiceRequest) -> ServiceReply {
        let mut connection = self.connect();
        connection.ask(request);
        connection.next(PATIENCE).unwrap()
    }

    pub fn host(&self) -> HostStatus {
        let began = Instant::now();
        loop {
            match self.answer(ServiceRequest::Host) {
                ServiceReply::Host(host) => return *host,
                // Nothing is decided in the first interval.
                reply => assert!(began.elapsed() < PATIENCE, "{reply:?}"),
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn list(&self) -> Vec<VmStatus> {
        let mut vms: Vec<VmStatus> = Vec::new();
        loop {
            let after = vms.last().map(|vm| vm.name.clone());
            let ServiceReply::Vms(page) = self.answer(ServiceRequest::List { after }) else { panic!("no list") };
            vms.extend(page.vms);
            if !page.more {
                return vms;
            }
        }
    }

    /// What a `tmem` command prints that asks this service; else what it complains.
    pub fn tmem(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(env!("CARGO_BIN_EXE_tmem"))
            .args(arguments)
            .arg("--socket")
            .arg(self.socket())
            .output()
            .unwrap();
        let said = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(said(output.stdout)) } else { Err(said(output.stderr)) }
    }

    /// What the metrics' socket answers to this, to its end.
    pub fn scrape(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(self.folder.path().join("metrics.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub fn explain(&self, vm: &str) -> Value {
        let ServiceReply::Explained(decision) = self.answer(ServiceRequest::Explain { vm: vm.parse().unwrap() }) else {
            panic!("not explained")
        };
        decision
    }

    /// CPU time of the process, from the nanoseconds that the scheduler counts.
    pub fn cpu(&self) -> Duration {
        let text = fs::read_to_string(format!("/proc/{}/schedstat", self.process.id())).unwrap();
        Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
    }

    pub fn resident_bytes(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/statm", self.process.id())).unwrap();
        text.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(folder: &Path, policy: &str) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_tmem"))
        .arg("host")
        .arg("--policy")
        .arg(folder.join(policy))
        .arg("--socket")
        .arg(folder.join("host.sock"))
        .arg("--log")
        .arg(folder.join("decisions"))
        .arg("--metrics")
        .arg(format!("unix:{}", folder.join("metrics.sock").display()))
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// A connection, line by line.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<UnixStream>,
}

impl Connection {
    pub fn stream(&mut self) -> &mut UnixStream {
        self.reader.get_mut()
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream().write_all(bytes).unwrap();
    }

    pub fn ask(&mut self, request: ServiceRequest) {
        self.send(&encode_service_request(request).unwrap());
    }

    /// Asks, and never reads; where there is no room any more, no more is sent.
    pub fn try_ask(&mut self, request: ServiceRequest) {
        self.stream().set_nonblocking(true).unwrap();
        let _ = self.stream().write_all(&encode_service_request(request).unwrap());
    }

    /// The next message; `None` at the end, or after the time.
    pub fn next(&mut self, patience: Duration) -> Option<ServiceReply> {
        self.stream().set_read_timeout(Some(patience)).unwrap();
        let mut line = Vec::new();
        match self.reader.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(decode_service_reply(&line).unwrap()),
        }
    }
}

/// A VM without a guest.
#[derive(Debug)]
pub struct FakeVm {
    pub connection: Connection,
    name: VmName,
    pub lease: Lease,
}

impl FakeVm {
    fn register(mut connection: Connection, name: &str, runs: bool, lease_bytes: u64) -> Result<Self, Refusal> {
        let name: VmName = name.parse().unwrap();
        let counts = Counts { limit_bytes: 1 << 40, ..Counts::default() };
        let registration =
            Registration { name: name.clone(), label: None, memory_bytes: 16 << 20, runs, lease_bytes, counts };
        connection.ask(ServiceRequest::Register(registration));
        match connection.next(PATIENCE).unwrap() {
            ServiceReply::Registered { lease, .. } => Ok(Self { connection, name, lease }),
            ServiceReply::Error(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    /// Comes back as a VM does that runs.
    pub fn register_again(&mut self, service: &Service) {
        *self = Self::register(service.connect(), self.name.as_str(), true, self.lease.lease_bytes).unwrap();
    }

    pub fn report(&mut self, counts: Counts) {
        self.try_report(counts).unwrap();
    }

    pub fn try_report(&mut self, counts: Counts) -> io::Result<()> {
        self.connection.stream().write_all(&encode_service_request(ServiceRequest::Report(counts)).unwrap())
    }

    /// Takes what the service says within the time.
    pub fn hear(&mut self, time: Duration) {
        while let Some(reply) = self.connection.next(time) {
            if let ServiceReply::Lease(lease) = reply {
                self.lease = lease;
            }
        }
    }

    pub fn wait_for(&mut self, patience: Duration, is_met: impl Fn(&Lease) -> bool) {
        let began = Instant::now();
        while !is_met(&self.lease) {
            assert!(began.elapsed() < patience, "{} has {:?}", self.name, self.lease);
            self.hear(Duration::from_millis(20));
        }
    }

    /// Whether the connection ends within the time.
    pub fn is_lost(&mut self, patience: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < patience {
            let mut byte = Vec::new();
            if matches!(self.connection.reader.read_until(b'\n', &mut byte), Ok(0)) {
                return true;
            }
        }
        false
    }
}
