//! The store's limit is far below the need: what it rejects reaches the backing disk, page for page.

use super::exactness::{Headers, both_sides_agree, host_counter, host_sum, swap_device_is_exact};
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Spec};
use anyhow::{Result, ensure};
use serde_json::{Value, json};

pub(super) const CASE: Case = Case {
    name: "backing-disk",
    shows: "a store far too small: rejected pages are on the disk, in exactly the counted number",
    runs: Runs::ON_6_1.and_debug(),
    host,
    guest,
};

const SECTORS_PER_PAGE: u64 = 8;

fn host(host: &mut Host) -> Result<()> {
    let disk = host.disk("backing", 512 << 20)?;
    let spec = Spec { memory_mib: 128, limit: Some("10%".to_owned()), ..Spec::default() };
    let mut vm = host.start(&spec.disk(disk))?;
    vm.expect("loaded")?;
    let before = host_counter(&vm.show()?, "disk0", "sectors_read")?;
    vm.go()?;
    let counters: Counters = serde_json::from_value(vm.expect("ran")?)?;
    let report = vm.show()?;
    both_sides_agree(&counters, &report)?;
    swap_device_is_exact(&counters, Headers { writes: 1, reads: 1 })?;
    let rejected = host_sum(&report, "store", "puts_rejected_");
    let (written, read) = (counters.driver("backing_writes")?, counters.driver("backing_reads")?);
    ensure!(rejected > 5_000, "only {rejected} pages were rejected: the case shows nothing");
    ensure!(rejected == written, "{rejected} pages rejected, {written} written to the disk");
    let on_disk = host_counter(&report, "disk0", "sectors_written")?;
    ensure!(on_disk == written * SECTORS_PER_PAGE, "{on_disk} sectors for {written} pages");
    // Before the driver has the disk, the guest's kernel has looked for a partition table there.
    let from_disk = host_counter(&report, "disk0", "sectors_read")? - before;
    ensure!(from_disk == read * SECTORS_PER_PAGE, "{from_disk} sectors for {read} pages");
    host.note(format!("{} pages stored, {rejected} on the disk", counters.driver("puts_accepted")?));
    vm.go()?;
    vm.finish()
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&["backing=/dev/vda"])?;
    guest.sync("loaded", &Value::Null)?;
    let swap = guest.swap_on("/dev/tmem0")?;
    // In another order the disk would be asked for each page alone.
    guest.load(&["--size", &guest.percent_of_memory(160)?, "--order", "sequential"])?;
    guest.sync("ran", &json!(Counters::settled()?))?;
    swap.off()
}
