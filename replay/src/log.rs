//! The decision log of a host service: how the host was, and who its VMs were.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use host::LoggedDecision;
use policy::law::observation::{HostObservation, Identity, VmObservation};
use protocol::VmName;

use crate::error::{BadLine, LogError};
use crate::limits::{LINE_MAX_BYTES, WEIGHTS};

/// The decisions of a host service, as far as a replay needs them. Its memory is below that of the files.
#[derive(Debug)]
pub struct DecisionLog {
    hosts: Vec<(u64, HostObservation)>,
    vms: BTreeMap<VmName, Logged>,
}

/// A VM of the log.
#[derive(Debug)]
pub(crate) struct Logged {
    pub(crate) identity: Identity,
    pub(crate) memory_bytes: u64,
    /// At least one, the earliest first.
    pub(crate) sightings: Vec<Sighting>,
}

/// A VM at one decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sighting {
    pub(crate) unix_ms: u64,
    /// Its own limit, or what its control groups left.
    pub(crate) limit_bytes: u64,
    /// What it was set to, in place of its class's.
    pub(crate) weight: Option<u32>,
    pub(crate) used_bytes: u64,
}

impl DecisionLog {
    /// Reads a log from its files, the oldest first.
    ///
    /// # Errors
    /// [`LogError`]: file and line, and what is wrong with it.
    pub fn read(paths: &[PathBuf]) -> Result<Self, LogError> {
        let mut log = Self { hosts: Vec::new(), vms: BTreeMap::new() };
        for path in paths {
            log.read_file(path)?;
        }
        if log.hosts.is_empty() { Err(LogError::Empty) } else { Ok(log) }
    }

    fn read_file(&mut self, path: &Path) -> Result<(), LogError> {
        let unreadable = |source| LogError::Read { path: path.to_owned(), source };
        let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            let bytes = file.by_ref().take(LINE_MAX_BYTES).read_until(b'\n', &mut text).map_err(unreadable)?;
            if bytes == 0 {
                break;
            }
            self.take(&text).map_err(|problem| LogError::Line { path: path.to_owned(), line, problem })?;
        }
        Ok(())
    }

    fn take(&mut self, line: &[u8]) -> Result<(), BadLine> {
        if line.len() as u64 == LINE_MAX_BYTES && !line.ends_with(b"\n") {
            return Err(BadLine::TooLong);
        }
        let LoggedDecision { unix_ms, observation } = serde_json::from_slice(line).map_err(|error| {
            // The line that it names is always the first.
            let text = error.to_string();
            let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what).to_owned();
            BadLine::Form { what, column: error.column() }
        })?;
        if let Some((before, _)) = self.hosts.last().filter(|(before, _)| unix_ms < *before) {
            return Err(BadLine::Backwards(before - unix_ms));
        }
        for vm in observation.vms {
            self.sight(unix_ms, vm)?;
        }
        self.hosts.push((unix_ms, observation.host));
        Ok(())
    }

    fn sight(&mut self, unix_ms: u64, vm: VmObservation) -> Result<(), BadLine> {
        let VmObservation { identity, memory_bytes, weight, limit_bytes, used_bytes, .. } = vm;
        let name = identity.name.parse().map_err(|source| BadLine::Name { name: identity.name.clone(), source })?;
        if let Some(weight) = weight.filter(|weight| !WEIGHTS.contains(weight)) {
            return Err(BadLine::Weight(weight));
        }
        let sighting = Sighting { unix_ms, limit_bytes: limit_bytes.unwrap_or(u64::MAX), weight, used_bytes };
        let logged = self.vms.entry(name).or_insert_with(|| Logged { identity, memory_bytes, sightings: Vec::new() });
        logged.sightings.push(sighting);
        Ok(())
    }

    /// MemTotal of the host.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.hosts.first().map_or(0, |(_, host)| host.total_bytes)
    }

    /// Decisions in the log.
    #[must_use]
    pub fn decisions(&self) -> usize {
        self.hosts.len()
    }

    /// The VMs of the log, in the order of their names.
    pub fn vms(&self) -> impl Iterator<Item = &VmName> {
        self.vms.keys()
    }

    pub(crate) fn vm(&self, name: &VmName) -> Option<&Logged> {
        self.vms.get(name)
    }

    /// The host as it was last seen then; before the first decision as at that.
    pub(crate) fn host_at(&self, unix_ms: u64) -> Option<HostObservation> {
        let behind = self.hosts.partition_point(|(at, _)| *at <= unix_ms);
        self.hosts.get(behind.saturating_sub(1)).map(|(_, host)| *host)
    }
}

impl Logged {
    pub(crate) fn first_ms(&self) -> u64 {
        self.sightings.first().map_or(0, |sighting| sighting.unix_ms)
    }

    /// The VM as it was last seen then.
    pub(crate) fn at(&self, unix_ms: u64) -> Option<Sighting> {
        let behind = self.sightings.partition_point(|sighting| sighting.unix_ms <= unix_ms);
        self.sightings.get(behind.saturating_sub(1)).copied()
    }
}
