//! One VM while it is played: its trace, its store, and what came of it.

use std::sync::Arc;

use protocol::service::{Counts, Lease, StoreSettings};
use protocol::{ShareSource, VmName};
use tmem::Client;
use trace::{FileReader, Operation, Player, Record, RecordedClient};
use vmm::{Share, StoreDefaults};

use crate::error::Error;
use crate::recording::Recording;
use crate::tally::Tally;

/// Key of the stores' hashes. No guest is there to guess it, and the same one each time makes outcomes repeatable.
const SEED: [u64; 2] = [0x746d_656d, 0x7265_706c_6179];

/// What came of a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmOutcome {
    /// Its name.
    pub vm: VmName,
    /// How its puts and gets were answered.
    pub answers: Tally,
    /// Ephemeral pages that made way.
    pub pages_evicted: u64,
    /// Decisions about it.
    pub intervals: u64,
    /// Decisions after which its lease was more than 5 % off what it was entitled to.
    pub intervals_off: u64,
}

/// A VM that is played.
pub(crate) struct Vm<'a> {
    recording: &'a Recording,
    trace: FileReader,
    start_us: u64,
    next: Option<(u64, Operation)>,
    player: Player,
    client: Arc<Client>,
    share: Share,
    answers: Tally,
    intervals: u64,
    intervals_off: u64,
}

impl<'a> Vm<'a> {
    /// A VM whose trace begins at `start_us`, with a store as it was recorded on; only what no `vm.toml` says is the
    /// service's to say.
    pub(crate) fn start(recording: &'a Recording, start_us: u64, settings: StoreSettings) -> Result<Self, Error> {
        let trace = trace::open(recording.path()).map_err(|source| broken(recording, source))?;
        let header = trace.header();
        let config = StoreDefaults::from(settings).over(header.config(SEED));
        let client = Client::new(config).map_err(|source| Error::Store { vm: recording.vm().clone(), source })?;
        let client = Arc::new(client);
        let share = Share::new(RecordedClient::from(Arc::clone(&client)), header.limit_bytes, ShareSource::Service);
        let mut vm = Self {
            recording,
            trace,
            start_us,
            next: None,
            player: Player::new(header.codec),
            client,
            share,
            answers: Tally::default(),
            intervals: 0,
            intervals_off: 0,
        };
        vm.read_on()?;
        Ok(vm)
    }

    /// When its next operation is due; `None` behind the last.
    pub(crate) fn due_us(&self) -> Option<u64> {
        self.next.map(|(at_us, _)| at_us)
    }

    /// Plays the operation that is due.
    pub(crate) fn play(&mut self) -> Result<(), Error> {
        if let Some((_, operation)) = self.next.take() {
            let answer = self.player.play(&self.client, &operation);
            self.answers.count(&operation, answer);
        }
        self.read_on()
    }

    /// Reads on to the next operation that is the guest's, or an operator's.
    fn read_on(&mut self) -> Result<(), Error> {
        let is_played = |record: &Record| match record {
            Record::Operation { operation, .. } => !matches!(operation, Operation::SetLimit { .. }),
            Record::Lost { .. } => false,
        };
        let next = self.trace.find(|record| record.as_ref().map_or(true, is_played)).transpose();
        self.next = match next.map_err(|source| broken(self.recording, source))? {
            Some(Record::Operation { at_us, operation }) => Some((self.start_us.saturating_add(at_us), operation)),
            Some(Record::Lost { .. }) | None => None,
        };
        Ok(())
    }

    /// What the VM's process reports at an interval, at which its own limit is this one.
    pub(crate) fn report(&self, own_limit_bytes: Option<u64>) -> Counts {
        if let Some(bytes) = own_limit_bytes {
            self.share.set_own_limit(bytes);
        }
        self.share.settle();
        self.share.counts()
    }

    /// Keeps to a lease.
    pub(crate) fn keep_to(&self, lease: Lease) {
        self.share.set_lease(lease);
    }

    /// Takes down a decision.
    pub(crate) fn note(&mut self, lease_bytes: u64, entitlement_bytes: u64) {
        self.intervals += 1;
        self.intervals_off += u64::from(is_off(lease_bytes, entitlement_bytes));
    }

    /// What its store holds.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.client.used_bytes()
    }

    /// What came of it.
    pub(crate) fn outcome(&self) -> VmOutcome {
        VmOutcome {
            vm: self.recording.vm().clone(),
            answers: self.answers,
            pages_evicted: self.client.statistics().pages_evicted,
            intervals: self.intervals,
            intervals_off: self.intervals_off,
        }
    }
}

fn broken(recording: &Recording, source: trace::ReadError) -> Error {
    Error::Trace { vm: recording.vm().clone(), path: recording.path().to_owned(), source }
}

/// Whether a lease is more than a twentieth of the entitlement off it.
fn is_off(lease_bytes: u64, entitlement_bytes: u64) -> bool {
    u128::from(lease_bytes.abs_diff(entitlement_bytes)) * 20 > u128::from(entitlement_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_off_when_it_is_more_than_a_twentieth_away() {
        let table = [
            (100, 100, false),
            (105, 100, false),
            (106, 100, true),
            (95, 100, false),
            (94, 100, true),
            (0, 0, false),
            (1, 0, true),
            (0, u64::MAX, true),
        ];
        for (lease, entitlement, wanted) in table {
            assert_eq!(is_off(lease, entitlement), wanted, "{lease} for {entitlement}");
        }
    }
}
