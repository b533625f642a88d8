//! One guest floods its card while another one swaps: who floods pays for it.
//!
//! What is asserted is not time but whose it was: the scheduler's account of both processes. On one CPU a VM that wants
//! all of it beside one with two busy threads, its vCPU and its card, is due a third.

use super::exactness::{Headers, both_sides_agree, host_counter, swap_device_is_exact};
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Spec};
use anyhow::{Context, Result, ensure};
use protocol::VmReport;
use serde_json::{Value, json};
use std::fs;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

pub(super) const CASE: Case = Case {
    name: "flood",
    shows: "a packet flood of one guest leaves the other, which swaps, its share of the CPU",
    runs: Runs::OF_THE_HOST.in_soak(),
    host,
    guest,
};

/// Of a share of a third: what is left for the host's own work with the flood's packets.
const LEAST_PERCENT: u64 = 25;
const DATAGRAM_BYTES: usize = 64;

fn host(host: &mut Host) -> Result<()> {
    host.own_network()?;
    let tap = host.tap(0)?;
    let spec = Spec { memory_mib: 128, ..Spec::default() };
    let mut flooding = host.start(&Spec { memory_mib: 96, ..spec.clone() }.arguments(["floods"]).net(&tap))?;
    let mut swapping = host.start(&spec.arguments(["swaps"]))?;
    swapping.expect("ready")?;
    flooding.expect("floods")?;
    let sent = |report: &VmReport| host_counter(report, "net0", "tx_frames");
    let before = sent(&flooding.show_until(|report| Ok(sent(report)? > 1_000))?)?;
    let (flood_before, swap_before) = (cpu_ticks(flooding.pid())?, cpu_ticks(swapping.pid())?);

    swapping.go()?;
    let counters: Counters = serde_json::from_value(swapping.expect("ran")?)?;
    let (flood, swap) = (cpu_ticks(flooding.pid())? - flood_before, cpu_ticks(swapping.pid())? - swap_before);
    both_sides_agree(&counters, &swapping.show()?)?;
    swap_device_is_exact(&counters, Headers { writes: 1, reads: 1 })?;
    let frames = sent(&flooding.show()?)? - before;
    ensure!(counters.pswpout > 10_000, "only {} pages were swapped out", counters.pswpout);
    ensure!(frames > 1_000, "only {frames} frames were sent meanwhile");

    let percent = 100 * swap / (flood + swap).max(1);
    host.note(format!("{frames} frames beside {} pages out and {} in", counters.pswpout, counters.pswpin));
    host.note(format!("the swapping VM had {percent} % of both VMs' CPU"));
    ensure!(percent >= LEAST_PERCENT, "the swapping VM had {percent} % of the CPU beside the flood");
    swapping.go()?;
    swapping.finish()?;
    flooding.go()?;
    flooding.finish()
}

/// CPU time of all threads of a process, in the kernel too and in its guest, in clock ticks (proc_pid_stat(5)).
fn cpu_ticks(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Behind the name, which may have anything in it, the state is field 3.
    let fields: Vec<_> = stat.rsplit_once(") ").context("no name")?.1.split(' ').collect();
    let field = |number: usize| -> Result<u64> { Ok(fields.get(number - 3).context("too few fields")?.parse()?) };
    Ok(field(14)? + field(15)?)
}

fn guest(guest: &mut Guest) -> Result<()> {
    if guest.argument(0)? == "floods" { floods(guest) } else { swaps(guest) }
}

fn floods(guest: &Guest) -> Result<()> {
    guest.network_up(guest.argument(1)?)?;
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(("192.168.77.1", 9))?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let flood = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            // Nobody listens, which the host says; that is no reason to stop.
            let _ = socket.send(&[0; DATAGRAM_BYTES]);
        }
    });
    guest.sync("floods", &Value::Null)?;
    stop.store(true, Ordering::Relaxed);
    flood.join().map_err(|_| anyhow::anyhow!("the flood panicked"))
}

fn swaps(guest: &Guest) -> Result<()> {
    guest.load_driver(&[])?;
    let swap = guest.swap_on("/dev/tmem0")?;
    guest.sync("ready", &Value::Null)?;
    guest.load(&["--size", &guest.percent_of_memory(160)?, "--passes", "0"])?;
    guest.sync("ran", &json!(Counters::settled()?))?;
    swap.off()
}
