//! A running VM.

use super::console::{Console, Said};
use super::spec::Spec;
use crate::marker;
use anyhow::{Context, Result, anyhow, bail, ensure};
use protocol::VmReport;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::{Duration, Instant};

/// How long the process may take to end once its guest has.
const END_PATIENCE: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(20);

/// A VM under `tmem run`. Dropping it kills it.
#[derive(Debug)]
pub struct Vm {
    name: String,
    tmem: PathBuf,
    process: Child,
    stdin: ChildStdin,
    console: Console,
    patience: Duration,
}

impl Vm {
    pub(super) fn start(tmem: &Path, name: String, config: &Path, spec: &Spec) -> Result<Self> {
        let mut process = Command::new(tmem)
            .arg("run")
            .arg(config)
            .args(&spec.flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("cannot start tmem run")?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let stdin = stdin.ok_or_else(|| anyhow!("no pipe to the console"))?;
        let console = Console::read(stdout.ok_or_else(|| anyhow!("no pipe from the console"))?);
        Ok(Self { name, tmem: tmem.to_owned(), process, stdin, console, patience: spec.patience })
    }

    /// Its name, for the `tmem` command.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Process id of its `tmem run`.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits for the guest half to say `name` and returns what it said with it.
    ///
    /// # Errors
    /// Where the guest half fails, says something else, or falls silent; with the console's last lines.
    pub fn expect(&mut self, name: &str) -> Result<Value> {
        loop {
            match self.console.next(self.patience) {
                Ok(Some(Said::Prompt(_))) => {}
                Ok(Some(Said::Marker(said, value))) if said == name => return Ok(value),
                other => bail!("{}", self.unexpected(name, other)?),
            }
        }
    }

    /// Waits until the guest asks with a line that ends so, and returns the line.
    ///
    /// # Errors
    /// As [`Vm::expect`].
    pub fn expect_prompt(&mut self, end: &str) -> Result<String> {
        loop {
            match self.console.next(self.patience) {
                Ok(Some(Said::Prompt(line))) if line.ends_with(end) => return Ok(line),
                Ok(Some(Said::Prompt(_))) => {}
                other => bail!("{}", self.unexpected(end, other)?),
            }
        }
    }

    /// Why that was not `wanted`, with the console's last lines.
    fn unexpected(&mut self, wanted: &str, said: Result<Option<Said>, RecvTimeoutError>) -> Result<String> {
        let why = match said {
            Ok(Some(Said::Marker(name, value))) if name == marker::FAILED => {
                format!("the guest half failed: {}", value.as_str().unwrap_or_default())
            }
            Ok(Some(Said::Marker(name, _))) => format!("the guest half said {name} instead of {wanted}"),
            Ok(Some(Said::Prompt(line))) => format!("the guest asked {line} instead of {wanted}"),
            Ok(None) => format!("the VM ended ({}) before {wanted}", self.wait()?),
            Err(_) => format!("no {wanted} within {:?}", self.patience),
        };
        Ok(format!("{why}\n{}", self.console.tail()))
    }

    /// Lets a guest half that waits go on.
    ///
    /// # Errors
    /// Where the VM is gone.
    pub fn go(&mut self) -> Result<()> {
        self.say("go")
    }

    /// Types a line at the guest's console.
    ///
    /// # Errors
    /// Where the VM is gone.
    pub fn say(&mut self, line: &str) -> Result<()> {
        writeln!(self.stdin, "{line}").context("the VM takes no input")?;
        Ok(self.stdin.flush()?)
    }

    /// Runs `tmem COMMAND NAME …` and returns its output.
    ///
    /// # Errors
    /// Where the command fails.
    pub fn tmem(&self, command: &str, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.tmem).arg(command).arg(&self.name).args(arguments).output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "tmem {command} failed ({}): {error}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What `tmem show --json` says.
    ///
    /// # Errors
    /// Where the command fails or its output is not what the protocol defines.
    pub fn show(&self) -> Result<VmReport> {
        let json = self.tmem("show", &["--json"])?;
        serde_json::from_str(&json).with_context(|| format!("tmem show printed {json}"))
    }

    /// Asks `tmem show` again and again until it says what is waited for.
    ///
    /// # Errors
    /// Where it never does.
    pub fn show_until(&self, done: impl Fn(&VmReport) -> Result<bool>) -> Result<VmReport> {
        let deadline = Instant::now() + self.patience;
        loop {
            let report = self.show()?;
            if done(&report)? {
                return Ok(report);
            }
            ensure!(Instant::now() < deadline, "not within {:?}: {:?}", self.patience, report.counters);
            thread::sleep(POLL);
        }
    }

    /// Waits for the end of the process.
    ///
    /// # Errors
    /// Where it does not end in time.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + END_PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
        bail!("tmem run did not end within {END_PATIENCE:?}\n{}", self.console.tail())
    }

    /// Waits for the guest half to end well and the VM to shut down.
    ///
    /// # Errors
    /// Where either does not happen.
    pub fn finish(mut self) -> Result<()> {
        self.expect(marker::DONE)?;
        let status = self.wait()?;
        ensure!(status.success(), "tmem run ended with {status}\n{}", self.console.tail());
        Ok(())
    }

    /// Ends the process as `kill -9` does.
    ///
    /// # Errors
    /// Where it cannot be killed.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// The console's last lines.
    #[must_use]
    pub fn console_tail(&self) -> String {
        self.console.tail()
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // Both fail only where the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
