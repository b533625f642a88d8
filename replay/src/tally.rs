//! How puts and gets were answered.

use tmem::Status;
use trace::Operation;

const STATUSES: usize = Status::ALL.len();

/// What a put is answered with, by what the status is called in a report.
const PUTS: [(&str, Status); 8] = [
    ("stored", Status::Ok),
    (Status::NoSpace.name(), Status::NoSpace),
    (Status::OverLimit.name(), Status::OverLimit),
    (Status::Frozen.name(), Status::Frozen),
    (Status::PoorRatio.name(), Status::PoorRatio),
    (Status::Busy.name(), Status::Busy),
    (Status::BadPool.name(), Status::BadPool),
    (Status::BadAddress.name(), Status::BadAddress),
];

/// What a get is answered with.
const GETS: [(&str, Status); 5] = [
    ("hit", Status::Ok),
    (Status::Miss.name(), Status::Miss),
    (Status::Empty.name(), Status::Empty),
    (Status::BadPool.name(), Status::BadPool),
    (Status::BadAddress.name(), Status::BadAddress),
];

/// Puts and gets by the status that each was answered with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    puts: [u64; STATUSES],
    gets: [u64; STATUSES],
}

impl Tally {
    /// Counts an operation; one that is neither put nor get, or was not answered, changes nothing.
    pub(crate) fn count(&mut self, operation: &Operation, answer: Option<Status>) {
        let counts = match operation {
            Operation::Put { .. } => &mut self.puts,
            Operation::Get { .. } => &mut self.gets,
            _ => return,
        };
        if let Some(place) = place(answer) {
            counts[place] += 1;
        }
    }

    /// All puts.
    #[must_use]
    pub fn puts(&self) -> u64 {
        self.puts.iter().sum()
    }

    /// All gets.
    #[must_use]
    pub fn gets(&self) -> u64 {
        self.gets.iter().sum()
    }

    /// Puts by their result: `stored`, and each status that rejects one or is a mistake of the guest.
    #[must_use]
    pub fn put_results(&self) -> [(&'static str, u64); PUTS.len()] {
        PUTS.map(|(name, status)| (name, place(Some(status)).map_or(0, |place| self.puts[place])))
    }

    /// Gets by their result: `hit`, `miss`, `empty` (a miss in a pool without pages), and the guest's mistakes.
    #[must_use]
    pub fn get_results(&self) -> [(&'static str, u64); GETS.len()] {
        GETS.map(|(name, status)| (name, place(Some(status)).map_or(0, |place| self.gets[place])))
    }
}

fn place(answer: Option<Status>) -> Option<usize> {
    Status::ALL.iter().position(|status| Some(*status) == answer)
}
