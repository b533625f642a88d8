//! The network card.

use super::Guest;
use crate::traffic::PORT;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A server of values, `tmem-load serve`.
#[derive(Debug)]
pub struct ValueServer {
    process: Child,
}

/// The only card of a guest that has one.
const CARD: &str = "eth0";
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

impl Guest {
    /// Loads the card's driver and gives the card an address in the network of its tap; the host is the way to all
    /// others.
    ///
    /// # Errors
    /// Where there is no card.
    pub fn network_up(&self, address: &str) -> Result<()> {
        self.command("load-modules", &["network"])?;
        let (network, _) = address.rsplit_once('.').context("no address")?;
        self.command("ip", &["address", "add", &format!("{address}/24"), "dev", CARD])?;
        self.command("ip", &["link", "set", CARD, "up"])?;
        self.command("ip", &["route", "add", "default", "via", &format!("{network}.1")]).map(drop)
    }

    /// Starts a server of values, and returns when it listens.
    ///
    /// # Errors
    /// Where it does not.
    pub fn start_value_server(&self) -> Result<ValueServer> {
        let mut process = Command::new("/bin/tmem-load")
            .args(["serve", &format!("0.0.0.0:{PORT}")])
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start tmem-load")?;
        // Where memory runs out it is the server that goes, not the guest half.
        fs::write(format!("/proc/{}/oom_score_adj", process.id()), "1000")?;
        let mut said = String::new();
        BufReader::new(process.stderr.as_mut().context("no pipe from tmem-load")?).read_line(&mut said)?;
        ensure!(said.contains("listening"), "tmem-load said {said:?} instead of listening");
        Ok(ValueServer { process })
    }

    /// What the kernel says of the card in `/sys/class/net`.
    ///
    /// # Errors
    /// Where it says nothing of that name.
    pub fn card(&self, name: &str) -> Result<String> {
        let path = format!("/sys/class/net/{CARD}/{name}");
        Ok(fs::read_to_string(&path).with_context(|| format!("no {path}"))?.trim().to_owned())
    }

    /// Waits until the link is down.
    ///
    /// # Errors
    /// Where it stays up.
    pub fn wait_for_no_link(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.card("carrier")? != "0" {
            ensure!(Instant::now() < deadline, "the link is still up");
            thread::sleep(POLL);
        }
        Ok(())
    }
}

impl ValueServer {
    /// Waits until its peer has hung up and it has ended well.
    ///
    /// # Errors
    /// Where it was killed, or did not understand its peer.
    pub fn finish(mut self) -> Result<()> {
        let status = self.process.wait()?;
        ensure!(status.success(), "tmem-load serve ended with {status}");
        Ok(())
    }
}
