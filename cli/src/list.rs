//! `tmem list`

use std::time::Duration;

use anyhow::Result;
use protocol::{VmReport, VmState};

use crate::{all, screen};

/// Lists the VMs that answer us. Those of other users, and sockets that only look like VMs, are left out.
pub fn list(json: bool) -> Result<()> {
    let reports = all::reports()?;
    if json {
        return screen::print(&format!("{}\n", serde_json::to_string_pretty(&reports)?));
    }
    let head = ["NAME", "PID", "STATE", "UPTIME", "VCPUS", "MEMORY", "TMEM USED", "TMEM LIMIT"].map(str::to_owned);
    screen::print(&screen::table(std::iter::once(head).chain(reports.iter().map(row))))
}

fn row(report: &VmReport) -> [String; 8] {
    let (used, limit) = match &report.tmem {
        Some(tmem) => {
            let frozen = if tmem.frozen { " (frozen)" } else { "" };
            (format!("{}{frozen}", screen::size(tmem.used_bytes)), screen::size(tmem.limit_bytes))
        }
        None => ("off".into(), "off".into()),
    };
    [
        report.name.to_string(),
        report.pid.to_string(),
        state(report.state).into(),
        screen::duration(Duration::from_millis(report.uptime_ms)),
        report.vcpus.to_string(),
        screen::size(report.memory_bytes),
        used,
        limit,
    ]
}

/// A VM's state in a word.
pub fn state(state: VmState) -> &'static str {
    match state {
        VmState::Running => "running",
        VmState::Stopping => "stopping",
        VmState::Unknown => "unknown",
    }
}
