//! From files to a policy: parse each, put them together key by key, read the whole, check it.
//!
//! ```text
//!  defaults ─┐
//!  a.toml  ──┼─ parsed, moved so that places differ ─ merged ─ of the schema? ─ rules ─► Policy
//!  b.toml  ──┘      (later wins)
//! ```

mod later;
mod load;
mod remark;
mod source;
#[cfg(test)]
mod tests;
pub(crate) mod tree;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

pub use load::{FILE_MAX_BYTES, FILES_MAX, LoadError, load};
pub use remark::{Concern, Mistake, Problem, Remark, Warning};
pub use source::{Place, Source, Sources};

use crate::check;
use crate::schema::Policy;

/// Most mistakes that are told at once. Each is found by reading the rest again.
pub const MISTAKES_MAX: usize = 32;

/// What was made of a policy's files.
#[derive(Debug)]
pub struct Reading {
    /// The policy, or everything that is wrong, at most [`MISTAKES_MAX`] mistakes and at least one.
    pub policy: Result<Policy, Vec<Mistake>>,
    /// What is allowed and surely not meant. Empty where there are mistakes.
    pub warnings: Vec<Warning>,
    /// The files, to show the lines that mistakes and warnings are about.
    pub sources: Sources,
}

/// Reads a policy from its files: a later file wins key by key, rules of a later `[[vm]]` come before those of an
/// earlier. No file at all is a valid policy, the default one.
///
/// `memory_bytes` is MemTotal of the host that the policy is for: some rules compare a size with a percentage of it.
#[must_use]
pub fn read(sources: Vec<Source>, memory_bytes: u64) -> Reading {
    let sources = Sources::new(sources);
    let (policy, warnings) = match parse(&sources).and_then(|tables| schema(&sources, tables)) {
        Ok((policy, table)) => match check::check(&policy, memory_bytes, &sources, &table) {
            Ok(warnings) => (Ok(policy), warnings),
            Err(mistakes) => (Err(mistakes), Vec::new()),
        },
        Err(mistakes) => (Err(mistakes), Vec::new()),
    };
    Reading { policy, warnings, sources }
}

/// Each file as TOML, the places in it such that no two files have the same.
fn parse(sources: &Sources) -> Result<Vec<DeTable<'_>>, Vec<Mistake>> {
    let mut tables = Vec::new();
    let mut mistakes = Vec::new();
    for (offset, source) in sources.with_offsets() {
        let (table, errors) = DeTable::parse_recoverable(&source.text);
        tables.push(tree::moved(table.into_inner(), offset));
        mistakes.extend(errors.into_iter().map(|error| {
            let span = error.span().unwrap_or(0..0);
            let place = sources.place(&(span.start + offset..span.end + offset), None);
            Mistake { place, what: Problem::Text(error.message().to_owned()) }
        }));
    }
    mistakes.truncate(MISTAKES_MAX);
    if mistakes.is_empty() { Ok(tables) } else { Err(mistakes) }
}

/// The files together in the schema, and the table that the policy was read from. A mistake is taken out and the rest
/// read again, so that all are told at once.
fn schema<'i>(sources: &Sources, mut tables: Vec<DeTable<'i>>) -> Result<(Policy, DeTable<'i>), Vec<Mistake>> {
    let mut mistakes: Vec<Mistake> = Vec::new();
    for later in tables.iter_mut().flat_map(later::take_out) {
        let what = later.value.map_or(Problem::LaterKey, Problem::LaterValue);
        mistakes.push(Mistake { place: sources.place(&later.span, Some(later.key)), what });
    }
    while mistakes.len() < MISTAKES_MAX {
        let whole = with_defaults_of_classes(tables.iter().cloned().fold(DeTable::new(), tree::merged));
        let error = match Policy::deserialize(Deserializer::from(Spanned::new(0..0, whole.clone()))) {
            Ok(policy) if mistakes.is_empty() => return Ok((policy, whole)),
            Ok(_) => break,
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let place = sources.place(&span, tree::key_at(&whole, span.start));
        mistakes.push(Mistake { place, what: Problem::Text(error.message().to_owned()) });
        if !tables.iter_mut().any(|table| tree::take_out(table, span.start)) {
            break;
        }
    }
    mistakes.sort_by_key(|mistake| (mistake.place.path.clone(), mistake.place.bytes.start));
    mistakes.truncate(MISTAKES_MAX);
    Err(mistakes)
}

/// Gives each class what it leaves away from class `default`.
fn with_defaults_of_classes(mut whole: DeTable<'_>) -> DeTable<'_> {
    let Some(DeValue::Table(classes)) = whole.get_mut("class").map(Spanned::get_mut) else { return whole };
    let Some(DeValue::Table(default)) = classes.get("default").map(Spanned::get_ref) else { return whole };
    let default = default.clone();
    for (_, class) in classes.iter_mut() {
        if let DeValue::Table(class) = class.get_mut() {
            *class = tree::merged(default.clone(), std::mem::take(class));
        }
    }
    whole
}
