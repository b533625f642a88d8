//! `synchronous=` both ways: page by page inline, or with readahead and batches.

use super::exactness::{Headers, both_sides_agree, swap_device_is_exact};
use super::figures::ratio;
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Spec};
use anyhow::{Context, Result, ensure};
use serde_json::json;

pub(super) const CASE: Case = Case {
    name: "readahead",
    shows: "synchronous=0 reads ahead in batches, synchronous=1 does not; both exact",
    runs: Runs::ON_6_1.and_debug(),
    host,
    guest,
};

fn host(host: &mut Host) -> Result<()> {
    for synchronous in ["1", "0"] {
        let spec = Spec { memory_mib: 128, ..Spec::default() };
        let mut vm = host.start(&spec.arguments([synchronous]))?;
        let said = vm.expect("ran")?;
        let counters: Counters = serde_json::from_value(said["counters"].clone())?;
        both_sides_agree(&counters, &vm.show()?)?;
        swap_device_is_exact(&counters, Headers { writes: 1, reads: 1 })?;
        let gets = (counters.driver("gets_hit")?, counters.driver("get_calls")?);
        match synchronous {
            "0" => ensure!(gets.0 > gets.1, "{} gets in {} calls: no readahead", gets.0, gets.1),
            _ => ensure!(counters.driver("get_batches")? == 0, "a synchronous device got a batch of reads"),
        }
        let seconds = said["seconds"].as_f64().context("no time")?;
        host.note(format!("synchronous={synchronous}: {seconds:.1} s, {:.2} pages a get call", ratio(gets)));
        vm.go()?;
        vm.finish()?;
    }
    Ok(())
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&[&format!("synchronous={}", guest.argument(0)?)])?;
    let swap = guest.swap_on("/dev/tmem0")?;
    let report = guest.load(&["--size", &guest.percent_of_memory(140)?, "--order", "sequential"])?;
    guest.sync("ran", &json!({ "counters": Counters::settled()?, "seconds": report.seconds() }))?;
    swap.off()
}
