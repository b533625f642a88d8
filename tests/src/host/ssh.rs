//! A login by ssh, with the machine's own client.

use super::Host;
use anyhow::{Context, Result, bail};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// The client.
pub(crate) const SSH: &str = "/usr/bin/ssh";
/// A new guest makes its host keys first, which takes minutes under emulation.
const PATIENCE: Duration = Duration::from_secs(400);
const BETWEEN_TRIES: Duration = Duration::from_secs(2);
/// How the client ends where it is the connection that failed, and not the command.
const NO_CONNECTION: i32 = 255;
const OPTIONS: [&str; 12] = [
    "-F",
    "none",
    "-o",
    "BatchMode=yes",
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
    "-o",
    "ConnectTimeout=100",
    "-o",
    "LogLevel=ERROR",
];

impl Host {
    /// Logs in to a Debian guest as root with the key of its image, as soon as its server answers, and returns what the
    /// command prints.
    ///
    /// # Errors
    /// Where the server never lets us in, or the command fails.
    pub fn ssh(&self, address: &str, command: &str) -> Result<String> {
        let key = self.dir.join("ssh-key");
        fs::copy(self.files.images.join(&self.kernel).join("ssh-key"), &key).context("no key for the guest")?;
        fs::set_permissions(&key, Permissions::from_mode(0o600))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = Command::new(SSH)
                .args(OPTIONS)
                .arg("-i")
                .arg(&key)
                .arg(format!("root@{address}"))
                .arg(command)
                .output()
                .context("cannot start ssh")?;
            if output.status.success() {
                return Ok(String::from_utf8(output.stdout)?);
            }
            if output.status.code() != Some(NO_CONNECTION) || Instant::now() > deadline {
                bail!("ssh root@{address}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
            }
            thread::sleep(BETWEEN_TRIES);
        }
    }
}
