//! Two results, figure by figure.

use std::path::Path;

use anyhow::{Result, ensure};
use comfy_table::{CellAlignment, Table, presets};

use crate::machine::Machine;
use crate::results::{Results, median};

/// Prints the medians of both, and those of B over those of A.
pub(crate) fn print(a: &Path, b: &Path) -> Result<()> {
    let (a, b) = (Results::read(a)?, Results::read(b)?);
    if a.machine.cpu != b.machine.cpu || a.machine.kernel != b.machine.kernel {
        println!("measured on different machines: only ratios to a peer of the same run mean anything\n");
    }
    for (name, machine) in [("A", &a.machine), ("B", &b.machine)] {
        let Machine { revision, huge_pages, stolen_percent, .. } = machine;
        println!(
            "{name}: revision {revision}; huge pages: {huge_pages}; the host took {stolen_percent:.1} % of the CPUs"
        );
    }
    println!();
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["set", "contender", "figure", "A", "B", "B / A"]);
    let mut rows = 0;
    for (set, contenders) in &a.sets {
        for (contender, figures) in contenders {
            for (figure, samples) in figures {
                let other = b.sets.get(set).and_then(|set| set.get(contender)).and_then(|figures| figures.get(figure));
                let (Some(before), Some(after)) = (median(samples), other.and_then(|samples| median(samples))) else {
                    continue;
                };
                rows += 1;
                table.add_row([
                    set.clone(),
                    contender.clone(),
                    serde_json::to_string(figure)?.trim_matches('"').to_owned(),
                    format!("{before:.1}"),
                    format!("{after:.1}"),
                    format!("{:.3}", after / before),
                ]);
            }
        }
    }
    ensure!(rows > 0, "the two have no figure in common: were they taken on the same page sets?");
    table.column_iter_mut().skip(3).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    println!("{table}");
    Ok(())
}
