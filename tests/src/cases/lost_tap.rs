//! The tap vanishes under a guest that swaps.

use super::exactness::{Headers, both_sides_agree, host_counter, swap_device_is_exact};
use crate::case::{Case, Runs};
use crate::guest::{Counters, Guest};
use crate::host::{Host, Spec};
use crate::traffic::{self, PORT};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::net::{TcpListener, UdpSocket};

pub(super) const CASE: Case = Case {
    name: "lost-tap",
    shows: "a tap deleted in the middle of a transfer: the link goes down, the guest and its swap go on",
    runs: Runs::OF_THE_HOST.in_soak(),
    host,
    guest,
};

/// More than arrives before the tap is deleted, which is when this much has.
const ENDLESS: usize = 1 << 40;
const ENOUGH_BYTES: u64 = 4 << 20;
const SEED: u64 = 1;
/// So many that some are in the card's queue whatever the kernel does with a link that is down.
const DATAGRAMS: u32 = 1000;

fn host(host: &mut Host) -> Result<()> {
    host.own_network()?;
    let tap = host.tap(0)?;
    let mut vm = host.start(&Spec { memory_mib: 128, ..Spec::default() }.net(&tap))?;
    vm.expect("listens")?;
    let stream = traffic::connect(&tap.guest)?;
    let transfer = std::thread::spawn(move || traffic::send(stream, SEED, ENDLESS));
    vm.expect("swaps")?;
    vm.show_until(|report| Ok(host_counter(report, "net0", "rx_bytes")? > ENOUGH_BYTES))?;
    tap.delete()?;

    let counters: Counters = serde_json::from_value(vm.expect("no-link")?)?;
    let report = vm.show()?;
    both_sides_agree(&counters, &report)?;
    swap_device_is_exact(&counters, Headers { writes: 1, reads: 1 })?;
    ensure!(counters.pswpout > 5_000, "only {} pages were swapped out", counters.pswpout);
    ensure!(host_counter(&report, "net0", "tap_lost")? == 1, "the host did not notice");
    let received = host_counter(&report, "net0", "rx_bytes")? >> 20;
    host.note(format!("after {received} MiB received, {} pages out", counters.pswpout));
    vm.go()?;
    vm.finish()?;
    // Nobody is there to answer: that ends with the network, when the next case makes its own.
    drop(transfer);
    Ok(())
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.load_driver(&[])?;
    let swap = guest.swap_on("/dev/tmem0")?;
    let card = guest.network_up(guest.argument(0)?)?;
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    guest.tell("listens", &Value::Null);
    let stream = traffic::accept(&listener)?;
    std::thread::spawn(move || traffic::receive(stream, SEED, ENDLESS));
    let size = guest.percent_of_memory(130)?;
    let load = guest.start_load(&["--size", &size, "--passes", "1"])?;
    guest.tell("swaps", &Value::Null);
    card.wait_for_no_link()?;
    load.finish()?;
    // The kernel may refuse to send; what it does send the card must give back.
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    (0..DATAGRAMS).for_each(|_| drop(socket.send_to(&[0; 100], ("192.168.77.1", PORT))));
    guest.sync("no-link", &json!(Counters::settled()?))?;
    swap.off()
}
