//! Two guests on the network at once, with the host and with each other.

use super::exactness::host_counter;
use crate::case::{Case, Runs};
use crate::guest::Guest;
use crate::host::{Host, Spec};
use crate::traffic::{self, PORT};
use anyhow::{Result, ensure};
use serde_json::Value;
use std::net::TcpListener;
use std::thread;

pub(super) const CASE: Case = Case {
    name: "two-networks",
    shows: "two guests: both with the host at once, then one with the other through the host",
    runs: Runs::OF_THE_HOST.in_soak(),
    host,
    guest,
};

const BYTES: usize = 16 << 20;
const TO_GUESTS: u64 = 1;
const TO_HOST: u64 = 2;
const TO_SECOND: u64 = 3;
const TO_FIRST: u64 = 4;

fn host(host: &mut Host) -> Result<()> {
    host.own_network()?;
    host.forward()?;
    let (first_tap, second_tap) = (host.tap(0)?, host.tap(1)?);
    let spec = Spec { memory_mib: 96, ..Spec::default() };
    let mut first = host.start(&spec.clone().net(&first_tap).arguments(["first", &second_tap.guest]))?;
    let mut second = host.start(&spec.net(&second_tap).arguments(["second"]))?;
    first.expect("listens")?;
    second.expect("listens")?;

    // Both at once: what one sends must not come out at the other.
    let exchange =
        |guest: String| thread::spawn(move || traffic::exchange(&traffic::connect(&guest)?, TO_GUESTS, TO_HOST, BYTES));
    for exchange in [exchange(first_tap.guest), exchange(second_tap.guest)] {
        exchange.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked"))?;
    }
    first.expect("with-host")?;
    second.expect("with-host")?;

    first.go()?;
    first.expect("with-guest")?;
    second.expect("with-guest")?;
    for vm in [&first, &second] {
        let (report, payload) = (vm.show()?, 2 * u64::try_from(BYTES)?);
        for bytes in ["rx_bytes", "tx_bytes"] {
            let count = host_counter(&report, "net0", bytes)?;
            // Of nothing but what was meant for it, its headers and acknowledgements.
            ensure!((payload..payload + payload / 2).contains(&count), "{}: {bytes} is {count}", vm.name());
        }
    }
    for mut vm in [first, second] {
        vm.go()?;
        vm.finish()?;
    }
    Ok(())
}

fn guest(guest: &mut Guest) -> Result<()> {
    guest.network_up(guest.argument(0)?)?;
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    guest.tell("listens", &Value::Null);
    traffic::exchange(&traffic::accept(&listener)?, TO_HOST, TO_GUESTS, BYTES)?;
    if guest.argument(1)? == "first" {
        guest.sync("with-host", &Value::Null)?;
        traffic::exchange(&traffic::connect(guest.argument(2)?)?, TO_SECOND, TO_FIRST, BYTES)?;
    } else {
        guest.tell("with-host", &Value::Null);
        traffic::exchange(&traffic::accept(&listener)?, TO_FIRST, TO_SECOND, BYTES)?;
    }
    guest.sync("with-guest", &Value::Null).map(drop)
}
