//! Traces of real guests, played on stores of several sizes and policies.

use std::ffi::OsStr;

use anyhow::{Context, Result, anyhow};
use comfy_table::{CellAlignment, Table, presets};
use tmem::{Client, ClientConfig, EvictionChoice, Statistics};
use trace::{Header, Outcome, replay};

use crate::ReplayArguments;
use crate::contender::SEED;

/// One policy, or every one.
pub(crate) type Policies = Vec<EvictionChoice>;

/// The policies that a word of the command line means.
pub(crate) fn policies(name: &str) -> Result<Policies> {
    if name == "all" {
        return Ok(EvictionChoice::ALL.to_vec());
    }
    let found = EvictionChoice::ALL.iter().find(|choice| choice.name() == name);
    let names: Vec<_> = EvictionChoice::ALL.iter().map(|choice| choice.name()).collect();
    let found = found.ok_or_else(|| anyhow!("no such policy; there are all, {}", names.join(", ")))?;
    Ok(vec![*found])
}

pub(crate) fn run(arguments: &ReplayArguments) -> Result<()> {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "trace",
        "policy",
        "limit MiB",
        "operations",
        "gets",
        "hits",
        "misses",
        "hit ratio",
        "evicted",
        "rejected",
        "ratio",
        "ns an operation",
        "differing",
        "lost",
    ]);
    for path in &arguments.traces {
        let explain = || path.display().to_string();
        let recorded = trace::open(path).with_context(explain)?.header();
        for config in configs(&recorded, arguments) {
            let client = Client::new(config.clone())?;
            let follows_limits = arguments.limit.is_empty();
            let outcome =
                trace::open(path).and_then(|trace| replay(trace, &client, follows_limits)).with_context(explain)?;
            let name = path.file_name().unwrap_or(OsStr::new("")).to_string_lossy();
            table.add_row(row(&name, &config, &outcome, &client.statistics()));
        }
    }
    table.column_iter_mut().skip(2).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    println!("{table}");
    Ok(())
}

fn configs(recorded: &Header, arguments: &ReplayArguments) -> Vec<ClientConfig> {
    let recorded = recorded.config(SEED);
    let limits = match arguments.limit.as_slice() {
        [] => vec![recorded.limit_bytes],
        limits => limits.iter().map(|mib| mib.saturating_mul(1 << 20)).collect(),
    };
    let policies = match arguments.eviction.concat() {
        policies if policies.is_empty() => vec![recorded.eviction],
        policies => policies,
    };
    let config = |limit_bytes, eviction| ClientConfig { limit_bytes, eviction, ..recorded.clone() };
    limits.iter().flat_map(|limit| policies.iter().map(|policy| config(*limit, *policy))).collect()
}

fn row(name: &str, config: &ClientConfig, outcome: &Outcome, counted: &Statistics) -> Vec<String> {
    let misses = counted.gets_miss + counted.gets_empty;
    let gets = counted.gets_hit + misses;
    let rejected = counted.puts_rejected_no_space
        + counted.puts_rejected_over_limit
        + counted.puts_rejected_frozen
        + counted.puts_rejected_poor_ratio
        + counted.puts_rejected_busy;
    let (pages, resident) = outcome.held;
    vec![
        name.to_owned(),
        config.eviction.name().to_owned(),
        (config.limit_bytes >> 20).to_string(),
        outcome.operations.to_string(),
        gets.to_string(),
        counted.gets_hit.to_string(),
        misses.to_string(),
        quotient(counted.gets_hit, gets, 3),
        counted.pages_evicted.to_string(),
        rejected.to_string(),
        quotient(pages, resident, 2),
        quotient(u64::try_from(outcome.busy.as_nanos()).unwrap_or(u64::MAX), outcome.operations, 0),
        outcome.differing.to_string(),
        outcome.lost.to_string(),
    ]
}

/// The one over the other, or nothing where that makes no sense.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn quotient(above: u64, below: u64, digits: usize) -> String {
    if below == 0 { String::new() } else { format!("{:.digits$}", above as f64 / below as f64) }
}
