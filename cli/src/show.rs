//! `tmem show`

use std::time::Duration;

use anyhow::Result;
use protocol::{GuestReport, ShareReport, ShareSource, TmemReport, VmName, VmReport};

use crate::list::state;
use crate::{screen, tell};

/// Shows a VM.
pub fn show(vm: &VmName, json: bool) -> Result<()> {
    let report = tell::connect(vm)?.show()?;
    if json {
        return screen::print(&format!("{}\n", serde_json::to_string_pretty(&report)?));
    }
    screen::print(&in_words(&report))
}

fn in_words(report: &VmReport) -> String {
    let mut text = screen::table(facts(report).into_iter().map(|(what, value)| [what.to_owned(), value]));
    for (group, counters) in &report.counters {
        text.push('\n');
        text.push_str(&screen::table([[group.clone()]]));
        let rows = counters.iter().map(|(reason, count)| [format!("  {reason}"), count.to_string()]);
        text.push_str(&screen::table(rows));
    }
    text
}

fn facts(report: &VmReport) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("name", report.name.to_string()),
        ("pid", report.pid.to_string()),
        ("state", state(report.state).into()),
        ("uptime", screen::duration(Duration::from_millis(report.uptime_ms))),
        ("kernel", report.kernel.clone()),
        ("vcpus", report.vcpus.to_string()),
        ("memory", screen::size(report.memory_bytes)),
    ];
    facts.extend(report.label.iter().map(|label| ("label", label.clone())));
    match &report.tmem {
        Some(tmem) => facts.extend(tmem_facts(tmem)),
        None => facts.push(("tmem", "off".into())),
    }
    facts.extend(report.guest.iter().flat_map(guest_facts));
    facts
}

fn tmem_facts(tmem: &TmemReport) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("tmem used", screen::size(tmem.used_bytes)),
        ("tmem limit", screen::size(tmem.limit_bytes)),
        ("tmem reservation", screen::size(tmem.reservation_bytes)),
        ("tmem frozen", if tmem.frozen { "yes" } else { "no" }.into()),
    ];
    if let Some(share) = &tmem.share {
        facts.push(("tmem own limit", screen::size(share.own_limit_bytes)));
        facts.push(("tmem lease", lease_in_words(share)));
        let over = tmem.used_bytes.saturating_sub(tmem.limit_bytes);
        if over > 0 {
            facts.push(("tmem overhang", format!("{}, until the guest frees pages", screen::size(over))));
        }
    }
    facts
}

fn lease_in_words(share: &ShareReport) -> String {
    let source = match (share.source, share.is_connected) {
        (ShareSource::Service, true) => "the host service",
        (ShareSource::Service, false) => "the host service, which does not answer now",
        (ShareSource::Policy, _) => "the VM's own policy",
        (ShareSource::Unknown, _) => "an unknown source",
    };
    let ephemeral = if share.accepts_ephemeral { "" } else { "; ephemeral pages are rejected: the host is short" };
    // A lease of everything is none.
    let bytes = if share.lease_bytes == u64::MAX { "no bound".to_owned() } else { screen::size(share.lease_bytes) };
    format!("{bytes} from {source}{ephemeral}")
}

fn guest_facts(guest: &GuestReport) -> [(&'static str, String); 5] {
    let pages = |pages: u64| screen::size(pages.saturating_mul(4096));
    let percent = |basis_points: u32| format!("{}.{:02} %", basis_points / 100, basis_points % 100);
    let oom = if guest.about_to_oom { ", about to start its OOM killer" } else { "" };
    let (some, full) = (percent(guest.psi_some_basis_points), percent(guest.psi_full_basis_points));
    [
        ("guest said", format!("{} ago{oom}", screen::duration(Duration::from_millis(guest.age_ms)))),
        ("guest pressure", format!("some {some}, full {full}")),
        ("guest free", format!("{} of {}", pages(guest.free_pages), pages(guest.total_pages))),
        ("guest committed", pages(guest.committed_pages)),
        ("guest swapped", format!("{} out, {} in", pages(guest.swap_out_pages), pages(guest.swap_in_pages))),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use protocol::VmState;

    use super::*;

    #[test]
    fn everything_a_vm_reports_is_shown() {
        let report = VmReport {
            name: "web".parse().unwrap(),
            pid: 7,
            state: VmState::Stopping,
            uptime_ms: 61_000,
            memory_bytes: 256 << 20,
            vcpus: 2,
            kernel: "/boot/vmlinuz".into(),
            label: Some("blue\u{1b}[2J".into()),
            tmem: Some(TmemReport {
                limit_bytes: 4 << 20,
                reservation_bytes: 0,
                used_bytes: 5 << 20,
                frozen: true,
                share: Some(ShareReport {
                    source: ShareSource::Service,
                    is_connected: false,
                    own_limit_bytes: 512 << 20,
                    lease_bytes: 4 << 20,
                    accepts_ephemeral: false,
                }),
            }),
            counters: BTreeMap::from([
                ("hypercall".into(), BTreeMap::from([("put".into(), 12), ("get".into(), 3)])),
                ("store".into(), BTreeMap::from([("reject_over_limit".into(), u64::MAX)])),
            ]),
            guest: Some(GuestReport {
                age_ms: 2_000,
                about_to_oom: true,
                psi_some_basis_points: 1205,
                psi_full_basis_points: 0,
                committed_pages: 256,
                free_pages: 512,
                total_pages: 1024,
                swap_in_pages: 1,
                swap_out_pages: 2,
            }),
        };
        let wanted = "\
name              web
pid               7
state             stopping
uptime            1 min 1 s
kernel            /boot/vmlinuz
vcpus             2
memory            256 MiB
label             blue\\u{1b}[2J
tmem used         5 MiB
tmem limit        4 MiB
tmem reservation  0 B
tmem frozen       yes
tmem own limit    512 MiB
tmem lease        4 MiB from the host service, which does not answer now; ephemeral pages are rejected: the host is short
tmem overhang     1 MiB, until the guest frees pages
guest said        2 s ago, about to start its OOM killer
guest pressure    some 12.05 %, full 0.00 %
guest free        2 MiB of 4 MiB
guest committed   1 MiB
guest swapped     8 KiB out, 4 KiB in

hypercall
  get  3
  put  12

store
  reject_over_limit  18446744073709551615
";
        assert_eq!(in_words(&report), wanted);

        let report = VmReport { tmem: None, label: None, guest: None, counters: BTreeMap::new(), ..report };
        assert!(in_words(&report).ends_with("memory  256 MiB\ntmem    off\n"));
    }
}
