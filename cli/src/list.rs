//! `tmem list`

use std::thread;
use std::time::Duration;

use anyhow::Result;
use protocol::{RefusalKind, VmName, VmReport, VmState};

use crate::connection::{AskError, Connection};
use crate::{running, screen};

/// How long each VM may take to answer. One that has not by then is named, and the others are listed without it.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many VMs are asked at a time.
const ASKED_AT_ONCE: usize = 16;

/// Lists the VMs that answer us. Those of other users, and sockets that only look like VMs, are left out.
pub fn list(json: bool) -> Result<()> {
    let names: Vec<VmName> = running::vm_names()?.into_iter().collect();
    let mut reports = Vec::new();
    for (name, answer) in names.iter().zip(ask_all(&names)) {
        match answer {
            Ok(report) => reports.push(report),
            Err(error) if is_not_ours(&error) => {}
            Err(error) => screen::complain(&anyhow::Error::from(error).context(format!("{name} is left out"))),
        }
    }
    if json {
        return screen::print(&format!("{}\n", serde_json::to_string_pretty(&reports)?));
    }
    let head = ["NAME", "PID", "STATE", "UPTIME", "VCPUS", "MEMORY", "TMEM USED", "TMEM LIMIT"].map(str::to_owned);
    screen::print(&screen::table(std::iter::once(head).chain(reports.iter().map(row))))
}

fn ask_all(names: &[VmName]) -> Vec<Result<VmReport, AskError>> {
    let ask = |name: &VmName| Connection::open(name, PATIENCE).and_then(|mut connection| connection.show());
    let mut answers = Vec::new();
    for names in names.chunks(ASKED_AT_ONCE) {
        thread::scope(|scope| {
            let asked: Vec<_> = names.iter().map(|name| (name, scope.spawn(move || ask(name)))).collect();
            answers.extend(
                asked
                    .into_iter()
                    .map(|(name, thread)| thread.join().unwrap_or_else(|_| Err(AskError::Silent(name.clone())))),
            );
        });
    }
    answers
}

/// Whether the VM is another user's, or has ended since it was found.
fn is_not_ours(error: &AskError) -> bool {
    match error {
        AskError::NotRunning(_) | AskError::Stranger { .. } => true,
        AskError::Refused { source, .. } => source.kind == RefusalKind::Denied,
        _ => false,
    }
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
