//! The load generator.

use super::Guest;
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What `tmem-load` found.
#[derive(Clone, Debug, Deserialize)]
pub struct LoadReport {
    /// Pages of its working set.
    pub pages: u64,
    /// Pages that did not hold what was written.
    pub bad_pages: u64,
    /// Its passes: filling, rewriting, checking; or over files.
    passes: Vec<Pass>,
}

#[derive(Clone, Debug, Deserialize)]
struct Pass {
    seconds: f64,
    #[serde(default)]
    digest: u64,
}

impl LoadReport {
    /// How long its passes took, in seconds; what it waited is not in it.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.passes.iter().map(|pass| pass.seconds).sum()
    }

    /// Digest of the bytes that the last pass read; of files only.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.passes.last().map_or(0, |pass| pass.digest)
    }
}

/// A load that runs.
#[derive(Debug)]
pub struct Load {
    process: Child,
}

impl Guest {
    /// Starts `tmem-load` with these arguments.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start_load(&self, arguments: &[&str]) -> Result<Load> {
        // It lies beside this program.
        let process = Command::new(env::current_exe()?.with_file_name("tmem-load"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start tmem-load")?;
        // Where memory runs out it is the load that goes, not the guest half.
        fs::write(format!("/proc/{}/oom_score_adj", process.id()), "1000")?;
        Ok(Load { process })
    }

    /// Runs `tmem-load` to its end; no page may be bad.
    ///
    /// # Errors
    /// Where one is.
    pub fn load(&self, arguments: &[&str]) -> Result<LoadReport> {
        self.start_load(arguments)?.finish()
    }
}

impl Load {
    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until a load with `--hold` has filled its working set.
    ///
    /// # Errors
    /// Where it ends before that.
    pub fn wait_until_holding(&mut self) -> Result<()> {
        let stderr = self.process.stderr.as_mut().ok_or_else(|| anyhow!("no pipe from tmem-load"))?;
        let mut said = String::new();
        BufReader::new(stderr).read_line(&mut said)?;
        ensure!(said.contains("holding"), "tmem-load said {said:?} instead of filling its memory");
        Ok(())
    }

    /// Lets a load that holds (`--hold line`) go on.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn go(&mut self) -> Result<()> {
        let stdin = self.process.stdin.as_mut().ok_or_else(|| anyhow!("no pipe to tmem-load"))?;
        Ok(writeln!(stdin, "go")?)
    }

    /// Waits for its end; no page may be bad.
    ///
    /// # Errors
    /// Where one is, or it was killed.
    pub fn finish(self) -> Result<LoadReport> {
        self.finish_or_killed()?.ok_or_else(|| anyhow!("tmem-load was killed"))
    }

    /// Waits for its end; `None` where it was killed, as the OOM killer does. No page may be bad.
    ///
    /// # Errors
    /// Where one is.
    fn finish_or_killed(self) -> Result<Option<LoadReport>> {
        let report = self.report()?;
        if let Some(report) = &report {
            ensure!(report.bad_pages == 0, "bad pages: {report:?}");
        }
        Ok(report)
    }

    /// Waits for its end, and kills it where it has not ended by then; `None` where it was killed, by whomever.
    ///
    /// # Errors
    /// Where it found a bad page.
    pub fn finish_or_kill(mut self, patience: Duration) -> Result<Option<LoadReport>> {
        let deadline = Instant::now() + patience;
        while self.process.try_wait()?.is_none() {
            if Instant::now() > deadline {
                self.process.kill()?;
                break;
            }
            thread::sleep(Duration::from_millis(200));
        }
        self.finish_or_killed()
    }

    /// Waits for its end and returns what it found, bad pages or not; `None` where it was killed with SIGKILL.
    ///
    /// # Errors
    /// Where it failed otherwise. A page that cannot be read back ends it with SIGBUS.
    pub fn report(mut self) -> Result<Option<LoadReport>> {
        let stdout = self.process.stdout.take().ok_or_else(|| anyhow!("no pipe from tmem-load"))?;
        let last = BufReader::new(stdout).lines().map_while(Result::ok).last();
        let mut error = String::new();
        if let Some(stderr) = self.process.stderr.as_mut() {
            stderr.read_to_string(&mut error)?;
        }
        let status = self.process.wait()?;
        match status.signal() {
            Some(libc::SIGKILL) => return Ok(None),
            Some(libc::SIGBUS) => bail!("a page was lost: tmem-load died of SIGBUS"),
            _ => {}
        }
        let text = last.ok_or_else(|| anyhow!("tmem-load ended with {status}: {error}"))?;
        Ok(Some(serde_json::from_str(&text).with_context(|| format!("tmem-load said {text}"))?))
    }
}
