//! A VM's trace, before it is played.

use std::path::{Path, PathBuf};

use protocol::VmName;
use trace::{Header, Operation, Record};

use crate::error::Error;
use crate::tally::Tally;

/// A VM's trace, which was read once from beginning to end.
#[derive(Clone, Debug)]
pub struct Recording {
    vm: VmName,
    path: PathBuf,
    header: Header,
    operations: u64,
    lost: u64,
    length_us: u64,
    answers: Tally,
}

impl Recording {
    /// Reads a trace to its end: one that is broken is told before anything is played.
    pub(crate) fn survey(vm: VmName, path: PathBuf) -> Result<Self, Error> {
        let failed = |source| Error::Trace { vm: vm.clone(), path: path.clone(), source };
        let trace = trace::open(&path).map_err(failed)?;
        let header = trace.header();
        let (mut operations, mut lost, mut length_us, mut answers) = (0, 0_u64, 0, Tally::default());
        for record in trace {
            match record.map_err(failed)? {
                Record::Lost { operations } => lost = lost.saturating_add(operations),
                Record::Operation { at_us, operation } => {
                    length_us = at_us;
                    // The limit is the policy's to say.
                    operations += u64::from(!matches!(operation, Operation::SetLimit { .. }));
                    answers.count(&operation, operation.answer());
                }
            }
        }
        Ok(Self { vm, path, header, operations, lost, length_us, answers })
    }

    /// The VM.
    #[must_use]
    pub fn vm(&self) -> &VmName {
        &self.vm
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The store that it was recorded on.
    #[must_use]
    pub fn header(&self) -> Header {
        self.header
    }

    /// Operations that are played: all but changes of the limit.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Operations that the trace says it lacks.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// When the last operation was answered, in microseconds since the trace began.
    #[must_use]
    pub fn length_us(&self) -> u64 {
        self.length_us
    }

    /// What was answered when it was recorded.
    #[must_use]
    pub fn answers(&self) -> &Tally {
        &self.answers
    }
}
