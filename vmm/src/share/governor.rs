//! Whoever says what the store may hold, on the event loop.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

use super::timer::Timer;
use super::{LocalPolicy, ServiceLink};

const TIMER: u32 = 0;
const LINE: u32 = 1;

/// A service, or the policy of the VM itself. It outlives the guest's reboots.
#[derive(Debug)]
pub struct Governor {
    rule: Rule,
    timer: Timer,
    /// The line that the event loop watches, and what for.
    watched: Option<(RawFd, EventSet)>,
    /// What the timer was last set to.
    rhythm: Duration,
}

#[derive(Debug)]
enum Rule {
    Service(Box<ServiceLink>),
    Local(Box<LocalPolicy>),
}

impl Governor {
    /// Leases of a service that was asked, and governs the store.
    ///
    /// # Errors
    ///
    /// Where the host gives no timer.
    pub fn service(link: ServiceLink) -> io::Result<Self> {
        Self::new(Rule::Service(Box::new(link)))
    }

    /// Decisions of a policy.
    ///
    /// # Errors
    ///
    /// Where the host gives no timer.
    pub fn local(mut local: LocalPolicy) -> io::Result<Self> {
        // The first decision, before the guest starts.
        local.decide();
        Self::new(Rule::Local(Box::new(local)))
    }

    fn new(rule: Rule) -> io::Result<Self> {
        Ok(Self { rule, timer: Timer::new()?, watched: None, rhythm: Duration::ZERO })
    }

    fn next_turn(&self) -> Duration {
        match &self.rule {
            Rule::Service(link) => link.next_turn(),
            Rule::Local(local) => local.interval(),
        }
    }

    fn set_timer(&mut self) {
        self.rhythm = self.next_turn();
        self.timer.set(self.rhythm);
    }

    /// Watches the line as it is now. One that was lost is closed behind that.
    fn watch(&mut self, ops: &mut EventOps<'_>) {
        let Rule::Service(link) = &mut self.rule else { return };
        let wanted = link.watched().map(|(stream, has_output)| {
            let out = if has_output { EventSet::OUT } else { EventSet::empty() };
            (stream.as_raw_fd(), EventSet::IN | out)
        });
        let result = match (self.watched, wanted) {
            (was, wanted) if was == wanted => Ok(()),
            (Some((was, _)), Some((now, events))) if was == now => ops.modify(Events::with_data_raw(now, LINE, events)),
            (Some((was, _)), None) => ops.remove(Events::empty_raw(was)),
            (None, Some((now, events))) => ops.add(Events::with_data_raw(now, LINE, events)),
            (Some((was, _)), Some((now, events))) => {
                ops.remove(Events::empty_raw(was)).and_then(|()| ops.add(Events::with_data_raw(now, LINE, events)))
            }
            (None, None) => Ok(()),
        };
        if let Err(error) = result {
            tracing::error!(%error, "the line to the host service is not watched as it should");
        }
        self.watched = wanted;
        link.bury();
    }
}

/// A governor for one life of the guest.
#[derive(Debug)]
pub struct Governs<'a>(pub &'a mut Governor);

impl MutEventSubscriber for Governs<'_> {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        let governor = &mut *self.0;
        if let Err(error) = ops.add(Events::with_data(&governor.timer, TIMER, EventSet::IN)) {
            tracing::error!(%error, "the timer of the store's share is not watched");
        }
        governor.watched = None;
        governor.watch(ops);
        governor.set_timer();
    }

    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        let governor = &mut *self.0;
        let is_timer = events.data() == TIMER;
        if is_timer {
            governor.timer.take();
        }
        match &mut governor.rule {
            Rule::Service(link) if is_timer => link.turn(),
            Rule::Service(link) => {
                link.advance();
            }
            Rule::Local(local) => local.decide(),
        }
        governor.watch(ops);
        // A line that was lost or found has another rhythm; one that only talks keeps its own.
        if is_timer || governor.next_turn() != governor.rhythm {
            governor.set_timer();
        }
    }
}
