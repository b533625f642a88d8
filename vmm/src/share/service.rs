//! The lease client: this VM's end of the line to the host service.
//!
//! ```text
//!          connected              answered
//!  Away ──────────────► Asking ──────────────► Leased ──┐ a report each interval or minute
//!   ▲ ▲                    │                      │  ▲   │
//!   │ └────────────────────┘ no answer, refused   │  └───┘
//!   └─────────────────────────────────────────────┘ lost: the lease stays, and is told when the line is back
//! ```

use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::service::{
    Counts, Lease, Registration, ServiceReply, ServiceRequest, StoreSettings, decode_service_reply,
    encode_service_request,
};
use protocol::{Refusal, RefusalKind, VmName};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Share;
use super::lines::Lines;

/// Pause before the second attempt to connect; each that fails doubles it.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause. A service that was started again waits longer than this before it gives to others what it does not
/// know we hold.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long the service may take to answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// How long the start of the VM waits for the service.
const START_PATIENCE: Duration = Duration::from_secs(2);
/// After a flush the service is told what is held now, unless it was told something within this time.
const FLUSH_REPORT_PAUSE: Duration = Duration::from_millis(100);
/// Bounds of what the service may ask for as an interval.
const INTERVAL_MS: std::ops::RangeInclusive<u64> = 100..=60_000;

/// Why the VM may not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The service refuses.
    #[error("the host service refuses: {0}")]
    Refused(Refusal),
}

/// The line to the service.
#[derive(Debug)]
pub struct ServiceLink {
    path: PathBuf,
    name: VmName,
    label: Option<String>,
    memory_bytes: u64,
    own_limit_bytes: u64,
    /// The store; there is none before the service has said how it is to work, or had its chance to.
    share: Option<Arc<Share>>,
    /// The lease that is kept to.
    lease: Lease,
    settings: Option<StoreSettings>,
    runs: bool,
    link: Link,
    /// A line that was lost, until nobody watches it any more.
    dead: Option<Lines>,
    pause: Duration,
    /// When it last reported.
    reported: Option<Instant>,
    /// The last refusal's kind, so that the same one is logged once.
    refused: Option<RefusalKind>,
}

#[derive(Debug)]
enum Link {
    Away,
    Asking { lines: Lines, since: Instant },
    Leased { lines: Lines },
}

impl ServiceLink {
    /// A line that is not connected yet.
    #[must_use]
    pub fn new(path: PathBuf, name: VmName, label: Option<String>, memory_bytes: u64, own_limit_bytes: u64) -> Self {
        Self {
            path,
            name,
            label,
            memory_bytes,
            own_limit_bytes,
            share: None,
            lease: Lease::NOTHING,
            settings: None,
            runs: false,
            link: Link::Away,
            dead: None,
            pause: PAUSE_MIN,
            reported: None,
            refused: None,
        }
    }

    /// Asks the service to let the VM in, before its guest starts. Where there is no service, or none that answers, the
    /// VM starts with a lease of nothing. Returns what the service says about how the store is to work.
    ///
    /// # Errors
    ///
    /// [`StartError`] where the service refuses.
    pub fn start(&mut self) -> Result<Option<StoreSettings>, StartError> {
        self.turn(false);
        let deadline = Instant::now() + START_PATIENCE;
        let mut refusal = None;
        while let Link::Asking { lines, .. } = &self.link {
            let Ok(left) = Timespec::try_from(deadline.saturating_duration_since(Instant::now())) else { break };
            let wanted = if lines.has_output() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            match poll(&mut [PollFd::new(lines.stream(), wanted)], Some(&left)) {
                Ok(0) => break,
                Ok(_) => refusal = self.advance(),
                Err(_) => {}
            }
        }
        self.runs = true;
        match refusal {
            Some(refusal) if matches!(refusal.kind, RefusalKind::NotAdmitted | RefusalKind::NameTaken) => {
                return Err(StartError::Refused(refusal));
            }
            _ => {}
        }
        if !self.is_leased() {
            let path = self.path.display();
            tracing::warn!("no host service answers on {path}: the store holds nothing until one does");
        }
        Ok(self.settings)
    }

    /// Governs a store from now on.
    pub fn govern(&mut self, share: Arc<Share>) {
        share.set_lease(self.lease);
        share.set_connected(self.is_leased());
        self.share = Some(share);
    }

    fn set_lease(&mut self, lease: Lease) {
        self.lease = lease;
        if let Some(share) = &self.share {
            share.set_lease(lease);
        }
    }

    fn set_connected(&self, is_connected: bool) {
        if let Some(share) = &self.share {
            share.set_connected(is_connected);
        }
    }

    fn counts(&self) -> Counts {
        let nothing = Counts { limit_bytes: self.own_limit_bytes, ..Counts::default() };
        self.share.as_ref().map_or(nothing, |share| share.counts())
    }

    /// What the event loop is to watch, and whether something waits to be sent.
    pub(super) fn watched(&self) -> Option<(&UnixStream, bool)> {
        match &self.link {
            Link::Away => None,
            Link::Asking { lines, .. } | Link::Leased { lines } => Some((lines.stream(), lines.has_output())),
        }
    }

    /// When the next turn is due.
    pub(super) fn next_turn(&self) -> Duration {
        match &self.link {
            Link::Away => self.pause,
            Link::Asking { .. } => ANSWER_PATIENCE,
            Link::Leased { .. } => {
                let ms = self.lease.interval_ms.clamp(*INTERVAL_MS.start(), *INTERVAL_MS.end());
                Duration::from_millis(ms)
            }
        }
    }

    /// Whether the service is there.
    pub(super) fn is_leased(&self) -> bool {
        matches!(self.link, Link::Leased { .. })
    }

    /// The timer went off: reports, or connects. `rests`: nothing more is reported before the guest calls, or a minute is
    /// over.
    pub(super) fn turn(&mut self, rests: bool) {
        match &mut self.link {
            Link::Away => self.connect(),
            Link::Asking { since, .. } if since.elapsed() >= ANSWER_PATIENCE => self.lose("it does not answer"),
            Link::Asking { .. } => {}
            Link::Leased { .. } => self.report(rests),
        }
    }

    fn report(&mut self, rests: bool) {
        let counts = Counts { rests, ..self.counts() };
        self.reported = Some(Instant::now());
        if let Link::Leased { lines } = &mut self.link {
            // A service that does not read gets the newest report when it does.
            if !lines.has_output() {
                lines.put(&line(ServiceRequest::Report(counts)));
            }
            if let Err(error) = lines.send() {
                self.lose(&error.to_string());
            }
        }
    }

    fn connect(&mut self) {
        let connected = Lines::connect(&self.path).and_then(|mut lines| {
            lines.put(&self.registration());
            lines.send().map(|()| lines)
        });
        match connected {
            Ok(lines) => self.link = Link::Asking { lines, since: Instant::now() },
            Err(error) => {
                tracing::debug!(%error, path = %self.path.display(), "no host service");
                self.pause = (self.pause * 2).min(PAUSE_MAX);
            }
        }
    }

    fn registration(&self) -> Vec<u8> {
        let registration = Registration {
            name: self.name.clone(),
            label: self.label.clone(),
            memory_bytes: self.memory_bytes,
            runs: self.runs,
            lease_bytes: self.lease.lease_bytes,
            counts: self.counts(),
        };
        line(ServiceRequest::Register(registration))
    }

    /// The line can be read or written to. Returns the refusal, if there was one.
    pub(super) fn advance(&mut self) -> Option<Refusal> {
        match self.try_advance() {
            Ok(refusal) => refusal,
            Err(error) => {
                self.lose(&error.to_string());
                None
            }
        }
    }

    fn try_advance(&mut self) -> io::Result<Option<Refusal>> {
        let (Link::Asking { lines, .. } | Link::Leased { lines }) = &mut self.link else { return Ok(None) };
        lines.send()?;
        lines.receive()?;
        let mut flushed = false;
        loop {
            let (Link::Asking { lines, .. } | Link::Leased { lines }) = &mut self.link else { return Ok(None) };
            let Some(line) = lines.next_line()? else { break };
            match decode_service_reply(&line).map_err(io::Error::other)? {
                ServiceReply::Registered { lease, store } => {
                    self.set_lease(lease);
                    self.settings = Some(store);
                    self.answered();
                }
                ServiceReply::Lease(lease) => self.set_lease(lease),
                ServiceReply::Flush { bytes } => {
                    if let Some(share) = &self.share {
                        share.flush(bytes);
                    }
                    flushed = true;
                }
                ServiceReply::Error(refusal) => {
                    if self.refused.replace(refusal.kind) != Some(refusal.kind) {
                        tracing::warn!(%refusal, "the host service refuses; it is asked again");
                    }
                    self.away();
                    return Ok(Some(refusal));
                }
                ServiceReply::Done | ServiceReply::Vms(_) | ServiceReply::Host(_) | ServiceReply::Explained(_) => {
                    return Err(io::Error::other("the service answers what was not asked"));
                }
            }
        }
        // Not for each, nor right behind another report: the service takes so many lines a second and no more.
        let is_recent = self.reported.is_some_and(|at| at.elapsed() < FLUSH_REPORT_PAUSE);
        if flushed && !is_recent {
            self.report(false);
        }
        Ok(None)
    }

    fn answered(&mut self) {
        if let Link::Asking { lines, .. } = std::mem::replace(&mut self.link, Link::Away) {
            self.link = Link::Leased { lines };
        }
        self.set_connected(true);
        self.pause = PAUSE_MIN;
        self.refused = None;
        tracing::info!(path = %self.path.display(), "the host service leases");
    }

    /// The line is lost. The lease stays.
    fn lose(&mut self, why: &str) {
        if self.is_leased() {
            let lease_bytes = self.lease.lease_bytes;
            tracing::warn!(why, lease_bytes, "the host service is lost: the last lease stays");
        }
        self.away();
    }

    fn away(&mut self) {
        if matches!(self.link, Link::Asking { .. }) {
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
        if let Link::Asking { lines, .. } | Link::Leased { lines } = std::mem::replace(&mut self.link, Link::Away) {
            self.dead = Some(lines);
        }
        self.set_connected(false);
    }

    /// Nobody watches the lost line any more: it may be closed, and its descriptor's number be another's.
    pub(super) fn bury(&mut self) {
        self.dead = None;
    }
}

/// Names, labels and numbers can be expressed, and are short.
fn line(request: ServiceRequest) -> Vec<u8> {
    encode_service_request(request).unwrap_or_default()
}
