//! The network card.

use super::Guest;
use crate::traffic::PORT;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A network card that is up.
#[derive(Debug)]
pub struct Card {
    name: String,
}

/// A server of values, `tmem-load serve`.
#[derive(Debug)]
pub struct ValueServer {
    process: Child,
}

const CARDS: &str = "/sys/class/net";
/// Loads the card's driver in a guest that has nobody else to do it.
const LOADER: &str = "/bin/load-modules";
const PATIENCE: Duration = Duration::from_secs(400);
const POLL: Duration = Duration::from_millis(50);

impl Guest {
    /// Gives the only card an address in the network of its tap, as soon as its driver is there; the host is the way to
    /// all others.
    ///
    /// # Errors
    /// Where there is no card.
    pub fn network_up(&self, address: &str) -> Result<Card> {
        if fs::exists(LOADER)? {
            self.command(LOADER, &["network"])?;
        }
        let card = Card::wait()?;
        let (network, _) = address.rsplit_once('.').context("no address")?;
        self.command("ip", &["address", "add", &format!("{address}/24"), "dev", &card.name])?;
        self.command("ip", &["link", "set", &card.name, "up"])?;
        self.command("ip", &["route", "add", "default", "via", &format!("{network}.1")])?;
        Ok(card)
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
}

impl Card {
    /// Waits until there is one beside the loopback.
    fn wait() -> Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let names = fs::read_dir(CARDS)?.filter_map(Result::ok);
            let mut names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
            if let Some(name) = names.find(|name| name != "lo") {
                return Ok(Self { name });
            }
            ensure!(Instant::now() < deadline, "there is no network card");
            thread::sleep(POLL);
        }
    }

    /// Its name in this guest.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the kernel says of it in `/sys/class/net`.
    ///
    /// # Errors
    /// Where it says nothing of that name.
    pub fn read(&self, name: &str) -> Result<String> {
        let path = format!("{CARDS}/{}/{name}", self.name);
        Ok(fs::read_to_string(&path).with_context(|| format!("no {path}"))?.trim().to_owned())
    }

    /// Waits until the link is down.
    ///
    /// # Errors
    /// Where it stays up.
    pub fn wait_for_no_link(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.read("carrier")? != "0" {
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
