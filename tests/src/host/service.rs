//! The host service of a case, and what it says of its VMs.

use anyhow::{Context, Result, anyhow, ensure};
use protocol::service::{HostStatus, VmStatus};
use serde::Deserialize;
use serde_json::Value;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long the service may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// What it says.
const LOG: &str = "service.log";
/// What it decides.
const DECISIONS: &str = "decisions";
/// Where it serves metrics.
const METRICS: &str = "metrics.sock";

/// A running `tmem host`. Dropping it kills it.
#[derive(Debug)]
pub struct Service {
    tmem: PathBuf,
    dir: PathBuf,
    process: Child,
}

/// What `tmem list -l --json` prints.
#[derive(Debug, Deserialize)]
pub struct Listing {
    /// The host.
    pub host: HostStatus,
    /// The VMs in the order of their names.
    pub vms: Vec<VmStatus>,
}

impl Listing {
    /// The VM of this name.
    ///
    /// # Errors
    /// Where it is not registered.
    pub fn vm(&self, name: &str) -> Result<&VmStatus> {
        self.vms.iter().find(|vm| vm.name.as_str() == name).ok_or_else(|| anyhow!("the service knows no {name}"))
    }
}

impl Service {
    pub(super) fn start(tmem: &Path, dir: &Path, policy: &str) -> Result<Self> {
        fs::write(dir.join("policy.toml"), policy)?;
        let process = spawn(tmem, dir)?;
        let service = Self { tmem: tmem.to_owned(), dir: dir.to_owned(), process };
        service.wait_until_it_answers()?;
        Ok(service)
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket(&self.dir)
    }

    fn wait_until_it_answers(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.list() {
            ensure!(Instant::now() < deadline, "the service does not answer: {error:#}");
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Puts another text in the place of its policy, as a whole.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn replace_policy(&self, policy: &str) -> Result<()> {
        let new = self.dir.join("policy.toml.new");
        fs::write(&new, policy)?;
        Ok(fs::rename(new, self.dir.join("policy.toml"))?)
    }

    /// Puts another policy in force by `tmem policy apply`.
    ///
    /// # Errors
    /// Where the service does not take it.
    pub fn apply(&self, policy: &str) -> Result<()> {
        let file = self.dir.join("wanted.toml");
        fs::write(&file, policy)?;
        self.tmem(&["policy", "apply", &file.to_string_lossy()]).map(drop)
    }

    /// The lines of its log that contain this.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub fn logged(&self, text: &str) -> Result<usize> {
        Ok(fs::read_to_string(self.dir.join(LOG))?.lines().filter(|line| line.contains(text)).count())
    }

    /// The decision log so far.
    ///
    /// # Errors
    /// Where it cannot be read, or a line is no JSON.
    pub fn decisions(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(self.dir.join(DECISIONS))?;
        // The last line may not be whole yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// A metric with its labels, as `/metrics` has it.
    ///
    /// # Errors
    /// Where the service does not answer, or has none of that name.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let mut stream = UnixStream::connect(self.dir.join(METRICS))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.with_context(|| format!("no metric {name} in {answer}"))?.parse()?)
    }

    /// Ends it as `kill -9` does.
    ///
    /// # Errors
    /// Where it cannot be killed.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Starts it again with the policy that it had.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn start_again(&mut self) -> Result<()> {
        self.process = spawn(&self.tmem, &self.dir)?;
        self.wait_until_it_answers()
    }

    /// Runs a `tmem` command that asks the service.
    ///
    /// # Errors
    /// Where the command fails.
    pub fn tmem(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.tmem).args(arguments).arg("--socket").arg(self.socket()).output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "tmem {arguments:?} failed ({}): {error}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The host and its VMs.
    ///
    /// # Errors
    /// Where the service does not answer.
    pub fn list(&self) -> Result<Listing> {
        let json = self.tmem(&["list", "-l", "--json"])?;
        serde_json::from_str(&json).with_context(|| format!("tmem list printed {json}"))
    }

    /// Waits until the VMs are as they should be, and returns how many decisions that took.
    ///
    /// # Errors
    /// Where they are not so after `most` decisions.
    pub fn decisions_until(&self, most: u64, is_met: impl Fn(&Listing) -> Result<bool>) -> Result<u64> {
        self.decisions_since(self.list()?.host.decisions, most, is_met)
    }

    /// The same, counted from the decision of this number on.
    ///
    /// # Errors
    /// As [`Service::decisions_until`].
    pub fn decisions_since(&self, first: u64, most: u64, is_met: impl Fn(&Listing) -> Result<bool>) -> Result<u64> {
        loop {
            let listing = self.list()?;
            let passed = listing.host.decisions - first;
            ensure!(passed <= most, "not after {most} decisions: {listing:#?}");
            if is_met(&listing)? {
                return Ok(passed);
            }
            thread::sleep(POLL);
        }
    }
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("host.sock")
}

fn spawn(tmem: &Path, dir: &Path) -> Result<Child> {
    let mut metrics = OsString::from("unix:");
    metrics.push(dir.join(METRICS));
    let log = File::options().append(true).create(true).open(dir.join(LOG))?;
    Command::new(tmem)
        .args(["-v", "host", "--policy"])
        .arg(dir.join("policy.toml"))
        .arg("--socket")
        .arg(socket(dir))
        .arg("--log")
        .arg(dir.join(DECISIONS))
        .arg("--metrics")
        .arg(metrics)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("cannot start tmem host")
}

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail only where the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
