//! Two processes on two vCPUs swap at once.

use super::exactness::run_exactly;
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Spec};
use anyhow::Result;
use serde_json::json;

pub(super) const CASE: Case =
    Case { name: "two-hogs", shows: "two vCPUs with a hog each", runs: Runs::ON_6_1.and_debug(), host, guest };

fn host(host: &mut Host) -> Result<()> {
    run_exactly(host, &Spec { memory_mib: 144, vcpus: 2, ..Spec::default() })
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&[])?;
    let swap = guest.swap_on("/dev/tmem0")?;
    let size = guest.percent_of_memory(80)?;
    let first = guest.start_load(&["--size", &size, "--seed", "1", "--order", "random"])?;
    let second = guest.start_load(&["--size", &size, "--seed", "2", "--order", "sequential"])?;
    first.finish()?;
    second.finish()?;
    guest.sync("ran", &json!(Counters::settled()?))?;
    swap.off()
}
