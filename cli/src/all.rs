//! All VMs of this host that answer us, asked at once.

use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use protocol::{RefusalKind, Request, VmName, VmReport};

use crate::connection::{AskError, Connection};
use crate::{running, screen};

/// How long each VM may take to answer. One that has not by then is named, and the others go on without it.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a VM may take to give memory back.
const FLUSH_PATIENCE: Duration = Duration::from_secs(10);

/// How many VMs are asked at a time.
const ASKED_AT_ONCE: usize = 16;

/// Reports of the VMs that answer us. Those of other users, and sockets that only look like VMs, are left out.
pub fn reports() -> Result<Vec<VmReport>> {
    let names: Vec<VmName> = running::vm_names()?.into_iter().collect();
    let answers = ask(&names, |name| Connection::open(name, PATIENCE).and_then(|mut connection| connection.show()));
    Ok(answered(answers).0)
}

/// Tells all of them the same.
pub fn tell(request: Request) -> Result<()> {
    let names: Vec<VmName> = running::vm_names()?.into_iter().collect();
    let answers =
        ask(&names, |name| Connection::open(name, PATIENCE).and_then(|mut connection| connection.tell(request)));
    let (done, failed) = answered(answers);
    if failed > 0 {
        bail!("{} of {} VMs did not do it", failed, failed + done.len());
    }
    Ok(())
}

/// Has them give back so much together, those first that hold most ephemeral pages. Returns how much came back.
pub fn flush(bytes: u64) -> Result<u64> {
    let mut holders: Vec<(u64, VmName)> = reports()?
        .into_iter()
        .map(|report| {
            (report.counters.get("store").and_then(|store| store.get("ephemeral_pages")).copied(), report.name)
        })
        .filter_map(|(pages, name)| Some((pages.filter(|pages| *pages > 0)?, name)))
        .collect();
    holders.sort_by(|(one, _), (other, _)| other.cmp(one));
    let mut freed: u64 = 0;
    for (_, name) in holders {
        if freed >= bytes {
            break;
        }
        let wanted = bytes.saturating_sub(freed);
        match Connection::open(&name, FLUSH_PATIENCE).and_then(|mut connection| connection.flush(Some(wanted))) {
            Ok(bytes) => freed = freed.saturating_add(bytes),
            Err(error) => leave_out(&name, error),
        }
    }
    Ok(freed)
}

fn ask<T: Send>(
    names: &[VmName],
    ask: impl Fn(&VmName) -> Result<T, AskError> + Sync,
) -> Vec<(&VmName, Result<T, AskError>)> {
    let mut answers = Vec::new();
    for names in names.chunks(ASKED_AT_ONCE) {
        let ask = &ask;
        thread::scope(|scope| {
            let asked: Vec<_> = names.iter().map(|name| (name, scope.spawn(move || ask(name)))).collect();
            answers.extend(
                asked.into_iter().map(|(name, thread)| {
                    (name, thread.join().unwrap_or_else(|_| Err(AskError::Silent(name.clone()))))
                }),
            );
        });
    }
    answers
}

/// The answers, and how many of those that were meant gave none; these are named.
fn answered<T>(answers: Vec<(&VmName, Result<T, AskError>)>) -> (Vec<T>, usize) {
    let (mut good, mut failed) = (Vec::new(), 0);
    for (name, answer) in answers {
        match answer {
            Ok(answer) => good.push(answer),
            Err(error) if is_not_meant(&error) => {}
            Err(error) => {
                failed += 1;
                leave_out(name, error);
            }
        }
    }
    (good, failed)
}

fn leave_out(name: &VmName, error: AskError) {
    screen::complain(&anyhow::Error::from(error).context(format!("{name} is left out")));
}

/// Whether the VM is another user's, has no tmem, or has ended since it was found.
fn is_not_meant(error: &AskError) -> bool {
    match error {
        AskError::NotRunning(_) | AskError::Stranger { .. } => true,
        AskError::Refused { source, .. } => matches!(source.kind, RefusalKind::Denied | RefusalKind::NoTmem),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use protocol::Refusal;

    use super::*;

    #[test]
    fn a_vm_without_tmem_or_of_another_user_is_no_failure_and_one_that_says_no_is() {
        let name: VmName = "vm".parse().unwrap();
        let refused = |kind| Err(AskError::Refused { name: name.clone(), source: Refusal::new(kind, "no") });
        let answers =
            [Ok(()), refused(RefusalKind::NoTmem), refused(RefusalKind::Denied), refused(RefusalKind::Failed)];
        assert_eq!(answered(answers.map(|answer| (&name, answer)).into()), (vec![()], 1));
    }
}
