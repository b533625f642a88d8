//! A hostile guest beside an ordinary one: what the one does to the other's puts and gets.
//!
//! Two guests are two clients in one process, on a thread each: they share the machine, the heap and the address space,
//! which is more than two VMs do. The first row is a thread that only computes: what a second busy CPU costs anyway.

mod attack;
mod victim;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table, presets};

use crate::results::median;
use attack::{Attack, Attacker};
use victim::{Times, Victim};

/// Most resident bytes of the attacker.
const ATTACKER_LIMIT_BYTES: u64 = 256 << 20;
/// What the process may have beyond the two accounts: buffers and stacks of two threads, two clients, and what the heap
/// keeps between blocks.
const BESIDE_BYTES: u64 = 16 << 20;

/// Arguments of `cargo xtask bench adversary`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Rounds; each measures every attack once, and the guest alone before it
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only attacks whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Milliseconds of each measurement
    #[arg(long, default_value_t = 1500)]
    ms: u64,
}

/// What the rounds of one attack showed.
#[derive(Default)]
struct Series {
    alone: [Vec<f64>; 4],
    beside: [Vec<f64>; 4],
    attacks_per_ms: Vec<f64>,
    metadata_bytes: u64,
    resident_bytes: u64,
    process_bytes: u64,
    accounts_bytes: u64,
}

/// Measures every attack and prints what the ordinary guest saw of it.
pub(crate) fn print(arguments: &Arguments) -> Result<()> {
    let time = Duration::from_millis(arguments.ms);
    let chosen = attack::ALL.iter().filter(|attack| attack.name.contains(&arguments.only));
    let mut series: Vec<(Attack, Series)> = chosen.map(|attack| (*attack, Series::default())).collect();
    for _ in 0..arguments.rounds {
        for (attack, series) in &mut series {
            measure(*attack, time, series)?;
        }
    }
    println!("an ordinary guest beside a hostile one, ns: medians of {} rounds", arguments.rounds);
    println!("{}", times_table(&series));
    println!("the hostile guest, MB (limit {}): highest of all rounds", megabytes(ATTACKER_LIMIT_BYTES));
    println!("{}", bytes_table(&series));
    Ok(())
}

/// The ordinary guest alone and then beside the attack.
fn measure(attack: Attack, time: Duration, series: &mut Series) -> Result<()> {
    // What the heap keeps of the attack before is not this one's.
    // SAFETY: the call frees nothing that is in use.
    unsafe { libc::malloc_trim(0) };
    let without_stores = process_bytes()?;
    let mut victim = Victim::new()?;
    let attacker = Attacker::new(attack, ATTACKER_LIMIT_BYTES)?;
    series.alone.iter_mut().zip(victim.run(time)?.figures()).for_each(|(all, sample)| all.push(sample));
    let over = AtomicBool::new(false);
    let (times, attacks) = thread::scope(|scope| {
        let attack = scope.spawn(|| attacker.run(&over));
        // The attack is under way, at its limit if it means to get there.
        thread::sleep(time);
        let times = victim.run(time);
        over.store(true, Ordering::Relaxed);
        (times, attack.join())
    });
    let attacks = attacks.map_err(|_| anyhow::anyhow!("the attacker's thread panicked"))??;
    series.beside.iter_mut().zip(times?.figures()).for_each(|(all, sample)| all.push(sample));
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
    series.attacks_per_ms.push(attacks as f64 / (2.0 * time.as_secs_f64() * 1e3));

    let held = attacker.statistics();
    ensure!(held.resident_bytes <= ATTACKER_LIMIT_BYTES, "the attacker holds more than its limit: {held:?}");
    let accounts = held.resident_bytes + victim.statistics().resident_bytes;
    let process = process_bytes()?.saturating_sub(without_stores);
    series.metadata_bytes = series.metadata_bytes.max(held.metadata_bytes);
    series.resident_bytes = series.resident_bytes.max(held.resident_bytes);
    if process > series.process_bytes {
        (series.process_bytes, series.accounts_bytes) = (process, accounts);
    }
    ensure!(
        process <= accounts + accounts / 50 + BESIDE_BYTES,
        "{}: {process} bytes are resident, {accounts} are charged",
        attack.name
    );
    victim.check()
}

/// Resident memory of this process.
fn process_bytes() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc/self/status")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

fn times_table(series: &[(Attack, Series)]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    let mut header = vec!["beside".to_owned()];
    for name in Times::FIGURES {
        header.extend([format!("{name} alone"), "beside".into(), "×".into()]);
    }
    table.set_header(header);
    for (attack, series) in series {
        let mut row = vec![attack.name.to_owned()];
        for (alone, beside) in series.alone.iter().zip(&series.beside) {
            let (alone, beside) = (median(alone).unwrap_or_default(), median(beside).unwrap_or_default());
            row.extend([format!("{alone:.0}"), format!("{beside:.0}"), format!("{:.2}", beside / alone)]);
        }
        table.add_row(row);
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

fn bytes_table(series: &[(Attack, Series)]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["attack", "calls a ms", "charged", "of it index", "both accounts", "process"]);
    for (attack, series) in series {
        table.add_row([
            attack.name.to_owned(),
            format!("{:.0}", median(&series.attacks_per_ms).unwrap_or_default()),
            megabytes(series.resident_bytes),
            megabytes(series.metadata_bytes),
            megabytes(series.accounts_bytes),
            megabytes(series.process_bytes),
        ]);
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{}", bytes / 1_000_000, bytes / 100_000 % 10)
}
