//! A process forks and rewrites its pages while its child checks the copy: shared swap slots, copy-on-write faults.

use super::exactness::run_exactly;
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Spec};
use anyhow::Result;
use serde_json::json;

pub(super) const CASE: Case = Case {
    name: "fork",
    shows: "fork and copy-on-write over swapped pages",
    runs: Runs::ON_6_1.and_debug(),
    host,
    guest,
};

fn host(host: &mut Host) -> Result<()> {
    run_exactly(host, &Spec { memory_mib: 128, ..Spec::default() })
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&[])?;
    let swap = guest.swap_on("/dev/tmem0")?;
    // Parent and child hold up to twice this.
    guest.load(&["--size", &guest.percent_of_memory(80)?, "--passes", "2", "--rewrite", "60", "--fork"])?;
    guest.sync("ran", &json!(Counters::settled()?))?;
    swap.off()
}
