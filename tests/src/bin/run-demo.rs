//! The demo: one load against disk swap and against tmem, in a table that names the bed.

use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table, presets};
use hypercall_abi::PAGE_SIZE;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use tests::bed::{self, Bed, Images};
use tests::cases::{self, DEMO, Row};

const KERNEL: &str = "6.1";

fn main() -> Result<ExitCode> {
    let bed = Bed::choose();
    let images = Images::new()?;
    let kernel = images.kernel(KERNEL)?;
    eprintln!("booting Debian's {} twice: swap on a disk, then swap in tmem", kernel.release);
    let case = cases::named(DEMO).context("no demo")?;
    let outcomes = Mutex::new(Vec::new());
    bed::run(bed, &images, bed::jobs(&[(KERNEL.to_owned(), case)]), |outcome| {
        outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
    })?;
    let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let outcome = outcomes.first().context("the demo said nothing")?;
    ensure!(outcome.failure.is_none(), "{}", outcome.failure.as_deref().unwrap_or_default());
    let rows: Vec<Row> = outcome.notes.iter().map(|note| serde_json::from_str(note)).collect::<Result<_, _>>()?;
    println!("\nA Debian guest with 160 MiB of RAM runs a load of 1.6 x that.");
    println!("Bed: {bed}\n");
    println!("{}", table(&rows));
    let bad: u64 = rows.iter().map(|row| row.bad_pages).sum();
    println!("\nAt rest: the load waits, and its cold pages are compressed once more, by a tenth of a CPU.");
    println!("Every page was checked: {bad} bad.");
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "swap",
        "run time",
        "disk reads",
        "disk writes",
        "stored",
        "in host memory",
        "at rest",
        "bad pages",
    ]);
    for row in rows {
        let stored = row.stored_pages > 0;
        let or_dash = |text: String| if stored { text } else { "-".to_owned() };
        table.add_row([
            row.swap.clone(),
            format!("{:.1} s", row.seconds),
            format!("{} pages", row.disk_read_pages),
            format!("{} pages", row.disk_written_pages),
            or_dash(format!("{} pages", row.stored_pages)),
            or_dash(memory(row.stored_pages, row.host_bytes)),
            or_dash(memory(row.stored_pages, row.rested_bytes)),
            row.bad_pages.to_string(),
        ]);
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// Host memory that pages take, and how much of theirs that is.
#[expect(clippy::cast_precision_loss, reason = "two digits behind the point are shown")]
fn memory(pages: u64, bytes: u64) -> String {
    let ratio = (pages * PAGE_SIZE as u64) as f64 / bytes.max(1) as f64;
    format!("{} MiB (1 / {ratio:.2})", bytes >> 20)
}
