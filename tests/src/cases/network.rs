//! A guest with a card on a tap: its address, and megabytes both ways, every byte checked.

use super::exactness::host_counter;
use super::refusals::refused;
use crate::case::{Case, Runs};
use crate::guest::Guest;
use crate::host::{Host, Spec};
use crate::traffic::{self, PORT};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::net::TcpListener;
use vmm::config::MacAddress;

pub(super) const CASE: Case = Case {
    name: "network",
    shows: "a card on a tap: 32 MiB each way over TCP, every byte checked; a tap is one VM's",
    runs: Runs::ON_6_1,
    host,
    guest,
};

const BYTES: usize = 32 << 20;
const TO_GUEST: u64 = 1;
const TO_HOST: u64 = 2;
/// Payload of a TCP segment on a link of 1500 bytes.
const SEGMENT_BYTES: u64 = 1448;

fn host(host: &mut Host) -> Result<()> {
    host.own_network()?;
    let tap = host.tap(0)?;
    let spec = Spec { memory_mib: 128, ..Spec::default() }.net(&tap);
    let mut vm = host.start(&spec)?;
    let mac = MacAddress::of_vm(&vm.name().parse()?, 0).to_string();
    let seen = vm.expect("listens")?;
    ensure!(seen["address"] == mac && seen["carrier"] == "1", "the guest sees {seen}, not {mac}");
    host.note(format!("the card is {}", seen["name"].as_str().unwrap_or_default()));

    // Nobody else gets this tap, nor what is no tap.
    let second = host.write_config("second", &spec)?;
    refused(&host.tmem_command(&["run"]).arg(&second).output()?, 2, "tap tap0 is in use")?;
    let no_tap = host.write_config("no-tap", &Spec { nets: vec!["lo".to_owned()], ..spec })?;
    refused(&host.tmem_command(&["run"]).arg(&no_tap).output()?, 2, "lo is no tap")?;

    let stream = traffic::connect(&tap.guest)?;
    traffic::send(&stream, TO_GUEST, BYTES)?;
    vm.expect("received")?;
    vm.go()?;
    traffic::receive(&stream, TO_HOST, BYTES)?;
    traffic::exchange(&stream, TO_GUEST, TO_HOST, BYTES)?;
    vm.expect("exchanged")?;

    let report = vm.show()?;
    let counter = |name: String| host_counter(&report, "net0", &name);
    for direction in ["rx", "tx"] {
        let (frames, bytes) = (counter(format!("{direction}_frames"))?, counter(format!("{direction}_bytes"))?);
        let payload = 2 * u64::try_from(BYTES)?;
        ensure!(bytes > payload, "{bytes} {direction}_bytes for {payload} of payload");
        // Acknowledgements are frames as well; with segments cut on the way in there would be more frames than this.
        ensure!(frames < payload / SEGMENT_BYTES, "{frames} {direction}_frames: TCP does not travel in long segments");
        host.note(format!("{direction} {frames} frames of {} bytes", bytes / frames.max(1)));
        for bad in ["rejected", "dropped"] {
            let count = counter(format!("{direction}_{bad}"))?;
            ensure!(count == 0, "{direction}_{bad} is {count}");
        }
    }
    vm.go()?;
    vm.finish()
}

fn guest(guest: &mut Guest) -> Result<()> {
    let card = guest.network_up(guest.argument(0)?)?;
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    let (address, carrier) = (card.read("address")?, card.read("carrier")?);
    guest.tell("listens", &json!({ "name": card.name(), "address": address, "carrier": carrier }));
    let stream = traffic::accept(&listener)?;
    traffic::receive(&stream, TO_GUEST, BYTES)?;
    guest.sync("received", &Value::Null)?;
    traffic::send(&stream, TO_HOST, BYTES)?;
    traffic::exchange(&stream, TO_HOST, TO_GUEST, BYTES)?;
    guest.sync("exchanged", &Value::Null).map(drop)
}
