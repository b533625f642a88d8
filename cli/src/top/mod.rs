//! `tmem top`: the host and its VMs, live.

mod choice;
mod live;
mod rows;
mod view;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::stdio::stdout;
use rustix::termios::isatty;

use crate::args::TopArgs;
use crate::screen;
use crate::service::Service;
use crate::shares::in_a_line;

pub use self::rows::Sort;
use self::rows::{HEAD, Sample, rows};

/// Shows the host and its VMs again and again: on a terminal as a screen with keys, with `-b` as text.
pub fn top(args: &TopArgs) -> Result<()> {
    let mut service = Service::open(&args.service.socket)?;
    if args.batch {
        return batch(&mut service, args);
    }
    if !isatty(stdout()) {
        bail!("standard output is no terminal; write `tmem top -b` for text");
    }
    live::run(&mut service, Duration::from_secs(args.delay.get().into()), args.sort)
}

fn sample(service: &mut Service) -> Result<Sample> {
    Ok(Sample { host: service.host()?, vms: service.vms()?, at: Instant::now() })
}

/// One text after the other, each with the time since the one before as its interval.
fn batch(service: &mut Service, args: &TopArgs) -> Result<()> {
    let mut before = None;
    let mut left = args.count;
    while left != Some(0) {
        let now = sample(service)?;
        screen::print(&in_words(before.as_ref(), &now, args.sort))?;
        before = Some(now);
        left = left.map(|left| left - 1);
        if left != Some(0) {
            thread::sleep(Duration::from_secs(args.delay.get().into()));
        }
    }
    Ok(())
}

fn in_words(before: Option<&Sample>, now: &Sample, sort: Sort) -> String {
    let head = HEAD.map(str::to_owned);
    let table = screen::table(std::iter::once(head).chain(rows(before, now, sort).iter().map(rows::Row::cells)));
    format!("{}\n{table}\n", in_a_line(&now.host))
}

#[cfg(test)]
mod tests {
    use super::rows::tests::{sample, vm};
    use super::*;

    #[test]
    fn a_batch_text_is_a_line_of_the_host_and_a_row_a_vm() {
        let at = Instant::now();
        let before = sample(at, vec![vm("web", 0, 0)]);
        let now = sample(at + Duration::from_secs(1), vec![vm("web", 48 << 20, 250)]);
        let wanted = "\
host soft (memory)   1 GiB of 4 GiB available   pool 96 MiB of 1 GiB used, 0 B freeable
NAME  CLASS    WEIGHT  USED    LEASE   ENTITLED  ACTIVE  PUT/s  GET/s  REJECT/s  EVICT/s
web   default  100     48 MiB  64 MiB  32 MiB    50 %    250    0      0         0

";
        assert_eq!(in_words(Some(&before), &now, Sort::Used), wanted);
    }
}
