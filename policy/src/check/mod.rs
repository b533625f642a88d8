//! The rules that a policy must keep beyond the form of its values. Each rule is a function; all are looked at.
//!
//! A rule is about what somebody wrote: where only defaults are involved there is no mistake, so that an empty file is a
//! valid policy on a host of any size.

mod class;
mod host;
mod pool;
mod share;
#[cfg(test)]
mod tests;
mod vm;

use toml::de::DeTable;

use crate::schema::Policy;
use crate::text::tree;
use crate::text::{Concern, MISTAKES_MAX, Mistake, Problem, Sources, Warning};

type Rule = fn(&Policy, u64, &mut Report<'_>);

/// Every rule.
const RULES: &[Rule] = &[
    share::version,
    share::interval,
    share::statistics_outlive_the_interval,
    share::idle_tax,
    share::steps,
    share::idle_after,
    share::reject_above,
    host::watermarks_descend,
    host::state_high_can_be_reached,
    host::reserve,
    host::overcommit,
    host::pressure_marks,
    pool::bounds,
    pool::room_beside_the_reserve,
    pool::accept_threshold,
    class::weight,
    class::memory_reservation,
    class::tmem_reservation,
    class::tmem_ephemeral,
    class::reservation_fits_the_host,
    vm::class_exists,
    vm::matches_something,
    vm::is_reached,
    vm::has_an_effect,
];

/// Looks at every rule. `memory_bytes` is MemTotal of the host; `table` is what the policy was read from.
pub(crate) fn check(
    policy: &Policy,
    memory_bytes: u64,
    sources: &Sources,
    table: &DeTable<'_>,
) -> Result<Vec<Warning>, Vec<Mistake>> {
    let mut report = Report { sources, table, mistakes: Vec::new(), warnings: Vec::new() };
    for rule in RULES {
        rule(policy, memory_bytes, &mut report);
    }
    report.mistakes.truncate(MISTAKES_MAX);
    if report.mistakes.is_empty() { Ok(report.warnings) } else { Err(report.mistakes) }
}

/// Takes down what the rules find, at the places where it is written.
struct Report<'a> {
    sources: &'a Sources,
    table: &'a DeTable<'a>,
    mistakes: Vec<Mistake>,
    warnings: Vec<Warning>,
}

impl Report<'_> {
    /// Something is wrong with these keys together; it is told at the first of them that is written. What several
    /// classes have from class `default` is told once.
    fn wrong(&mut self, keys: &[&str], what: String) {
        let Some(place) = self.place(keys) else { return };
        let mistake = Mistake { place, what: Problem::Rule(what) };
        let is_same = |told: &Mistake| {
            (&told.place.path, &told.place.bytes, &told.what)
                == (&mistake.place.path, &mistake.place.bytes, &mistake.what)
        };
        if !self.mistakes.iter().any(is_same) {
            self.mistakes.push(mistake);
        }
    }

    /// Something about these keys is odd.
    fn odd(&mut self, keys: &[&str], what: String) {
        if let Some(place) = self.place(keys) {
            self.warnings.push(Warning { place, what: Concern(what) });
        }
    }

    fn place(&self, keys: &[&str]) -> Option<crate::text::Place> {
        let mut written = keys.iter().filter_map(|key| tree::at(self.table, key));
        let found = written.find(|found| self.sources.is_written(&found.span))?;
        Some(self.sources.place(&found.span, Some(found.key)))
    }
}

/// A size with the bytes it means where these differ, for messages: `"8%" (1GiB)`.
fn in_words(size: crate::value::SizeOrPercent, whole_bytes: u64) -> String {
    use crate::value::{ByteSize, SizeOrPercent};
    match size {
        SizeOrPercent::Bytes(_) => size.to_string(),
        SizeOrPercent::Percent(percent) => {
            let mib = (percent.of(whole_bytes) >> 20) << 20;
            format!("{percent} ({})", ByteSize(mib))
        }
    }
}
