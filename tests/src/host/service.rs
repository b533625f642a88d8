//! The host service of a case, and what it says of its VMs.

use anyhow::{Context, Result, anyhow, ensure};
use protocol::service::{HostStatus, VmStatus};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long the service may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

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
        let first = self.list()?.host.decisions;
        loop {
            let listing = self.list()?;
            let passed = listing.host.decisions - first;
            if is_met(&listing)? {
                return Ok(passed);
            }
            ensure!(passed <= most, "not after {passed} decisions: {listing:#?}");
            thread::sleep(POLL);
        }
    }
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("host.sock")
}

fn spawn(tmem: &Path, dir: &Path) -> Result<Child> {
    Command::new(tmem)
        .args(["-v", "host", "--policy"])
        .arg(dir.join("policy.toml"))
        .arg("--socket")
        .arg(socket(dir))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
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
