//! What is done each interval.

use std::os::fd::RawFd;
use std::time::SystemTime;

use event_manager::EventOps;
use observe::{Groups, resident_bytes};
use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

use super::Server;
use super::connection::Fault;

/// VMs whose processes and control groups are looked at in an interval.
const PROCESSES_PER_DECISION: usize = 64;

impl Server {
    pub(super) fn set_timer(&self) -> std::io::Result<()> {
        let interval =
            Timespec::try_from(self.engine.in_force().policy.interval.duration()).map_err(std::io::Error::other)?;
        let times = Itimerspec { it_interval: interval, it_value: interval };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &times)?;
        Ok(())
    }

    /// An interval has passed.
    pub(super) fn tick(&mut self, ops: &mut EventOps<'_>) {
        // How often it expired does not matter: what is due is one decision.
        let mut expired = [0; 8];
        let _ = rustix::io::read(&self.timer, &mut expired);
        self.close_overdue(ops);
        let now_ms = self.now_ms();
        if let Some(metrics) = &mut self.outside.metrics {
            metrics.close_overdue(now_ms, ops);
        }
        self.reload_if_changed();
        let mut groups = Groups::default();
        self.engine.look_at_processes(PROCESSES_PER_DECISION, resident_bytes, |group| groups.room_bytes(group));
        let Some(host) = self.observe() else { return };
        let was = self.engine.level();
        let changed = self.engine.decide(host);
        let level = self.engine.level();
        if level != was {
            tracing::info!(?was, now = ?level, available_bytes = host.available_bytes, "the host's state changed");
        }
        if let Some(journal) = &mut self.outside.journal
            && let Some(line) = self.engine.log_line(unix_ms())
            && !journal.write(line)
            && let Some(untold) = self.incidents.note("a decision not logged", host.now_ms)
        {
            tracing::warn!(untold, "a decision is not in the log: its disk is too slow");
        }
        for (name, lease) in changed {
            let Some(fd) = self.vms.get(&name).copied() else { continue };
            if let Some(connection) = self.connections.get_mut(&fd) {
                connection.lease(lease);
            }
            self.push(fd, ops);
        }
    }

    fn close_overdue(&mut self, ops: &mut EventOps<'_>) {
        let now_ms = self.now_ms();
        let overdue: Vec<(RawFd, Fault)> =
            self.connections.iter().filter_map(|(fd, one)| Some((*fd, one.overdue(now_ms)?))).collect();
        for (fd, fault) in overdue {
            self.blame(fd, fault);
            self.drop_connection(fd, ops);
        }
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
