//! The rounds: every contender once in each, so that what disturbs the machine disturbs all of them, and in turn forwards
//! and backwards: whoever comes next finds caches and free memory as the last one left them.

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};

use crate::RunArguments;
use crate::contender;
use crate::machine::{CpuTime, Machine};
use crate::pages;
use crate::results::{Figure, Figures, Results, median};
use crate::scenes;

/// What the table's ratios are relative to.
const PEER: &str = "zram lz4";

pub(crate) fn run(arguments: &RunArguments) -> Result<()> {
    let sets = pages::load(&arguments.pages, arguments.most)?;
    let (mut contenders, missing) = contender::all();
    let wanted = |name: &str| arguments.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    contenders.retain(|contender| wanted(&contender.name()));
    let mut results = Results { machine: Machine::here(), sets: Default::default(), pages: Default::default() };
    for set in &sets {
        results.pages.insert(set.name.clone(), set.pages().len());
    }

    let order: Vec<_> = contenders.iter().map(|contender| contender.name()).collect();
    let before = CpuTime::now();
    let steps = u64::from(arguments.rounds) * sets.len() as u64;
    let progress = ProgressBar::new(steps).with_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}")?);
    for round in 0..arguments.rounds {
        for set in &sets {
            progress.set_message(set.name.clone());
            for contender in &mut contenders {
                let name = contender.name();
                let figures = contender.round(set).with_context(|| format!("{name} on {}", set.name))?;
                // The first round warms caches and allocators.
                if round > 0 {
                    figures.into_iter().for_each(|(figure, sample)| results.add(&set.name, &name, figure, sample));
                }
            }
            progress.inc(1);
        }
        contenders.reverse();
    }
    progress.finish_and_clear();

    if !arguments.no_scenes {
        for round in 0..arguments.rounds {
            for scene in scenes::ALL.iter().filter(|scene| wanted(scene.name)) {
                let sample = (scene.measure)().with_context(|| scene.name)?;
                if round > 0 {
                    results.add(scenes::SET, scene.name, scene.figure, sample);
                }
            }
        }
    }

    results.machine.stolen_percent = CpuTime::now().stolen_percent_since(before);
    let Machine { cpu, cpus, kernel, revision, huge_pages, stolen_percent } = &results.machine;
    println!("{cpu}, {cpus} CPUs, Linux {kernel}, revision {revision}");
    println!("huge pages: {huge_pages}; the host took {stolen_percent:.1} % of the CPUs meanwhile");
    for (set, pages) in sets.iter().map(|set| (&set.name, set.pages().len())) {
        println!("\n{set}: {pages} pages, medians of {} rounds", arguments.rounds - 1);
        println!("{}", table(&order, |name| results.sets.get(set)?.get(name).cloned()));
    }
    if let Some(figures) = results.sets.get(scenes::SET) {
        println!("\nsingle operations");
        println!("{}", scenes::table(figures));
    }
    missing.iter().for_each(|missing| println!("not measured: {missing}"));
    if let Some(path) = &arguments.json {
        results.write(path)?;
    }
    Ok(())
}

fn table(order: &[String], figures: impl Fn(&str) -> Option<Figures>) -> Table {
    let columns = [
        ("put ns", Figure::PutNs),
        ("p99", Figure::PutP99Ns),
        ("CPU ns", Figure::PutCpuNs),
        ("get ns", Figure::GetNs),
        ("p99", Figure::GetP99Ns),
        ("bytes", Figure::BytesPerPage),
        ("metadata", Figure::MetadataBytesPerPage),
    ];
    let relative = [Figure::PutNs, Figure::GetNs, Figure::BytesPerPage];
    let peer = figures(PEER);
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    let ratios = if peer.is_some() { vec!["put ×", "get ×", "bytes ×"] } else { Vec::new() };
    table.set_header([vec!["a page"], columns.iter().map(|(name, _)| *name).collect(), ratios].concat());
    for name in order {
        let Some(own) = figures(name) else { continue };
        let of = |figures: &Figures, figure| figures.get(&figure).and_then(|samples| median(samples));
        let mut row = vec![name.clone()];
        row.extend(
            columns.iter().map(|(_, figure)| of(&own, *figure).map_or("-".into(), |value| format!("{value:.0}"))),
        );
        if let Some(peer) = &peer {
            row.extend(relative.iter().map(|figure| {
                let samples = |figures: &Figures| figures.get(figure).cloned().unwrap_or_default();
                let ratios: Vec<f64> = samples(&own).iter().zip(samples(peer)).map(|(own, peer)| own / peer).collect();
                median(&ratios).map_or("-".into(), |ratio| format!("{ratio:.2}"))
            }));
        }
        table.add_row(row);
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}
