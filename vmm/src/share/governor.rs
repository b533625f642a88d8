//! Whoever says what the store may hold, on the event loop.
//!
//! It has a turn each interval while the guest uses its store. While it does not, a turn a minute is enough: the next call
//! rings, and the service's line speaks.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

use super::stillness::{REST, Stillness};
use super::timer::Timer;
use super::{LocalPolicy, ServiceLink, Share};

const TIMER: u32 = 0;
const LINE: u32 = 1;
const BELL: u32 = 2;

/// A service, or the policy of the VM itself. It outlives the guest's reboots.
#[derive(Debug)]
pub struct Governor {
    rule: Rule,
    share: Arc<Share>,
    timer: Timer,
    stillness: Stillness,
    /// Whether nothing is to be done before the store's next call, and that rings.
    rests: bool,
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
    /// Leases of a service that was asked.
    ///
    /// # Errors
    ///
    /// Where the host gives no timer.
    pub fn service(mut link: ServiceLink, share: Arc<Share>) -> io::Result<Self> {
        link.govern(Arc::clone(&share));
        Self::new(Rule::Service(Box::new(link)), share)
    }

    /// Decisions of a policy.
    ///
    /// # Errors
    ///
    /// Where the host gives no timer.
    pub fn local(mut local: LocalPolicy) -> io::Result<Self> {
        // The first decision, before the guest starts.
        local.decide();
        let share = Arc::clone(local.share());
        Self::new(Rule::Local(Box::new(local)), share)
    }

    fn new(rule: Rule, share: Arc<Share>) -> io::Result<Self> {
        Ok(Self {
            rule,
            share,
            timer: Timer::new()?,
            stillness: Stillness::new()?,
            rests: false,
            watched: None,
            rhythm: Duration::ZERO,
        })
    }

    fn next_turn(&self) -> Duration {
        let next = match &self.rule {
            Rule::Service(link) => link.next_turn(),
            Rule::Local(local) => local.interval(),
        };
        if self.rests { next.max(REST) } else { next }
    }

    /// Does what is due.
    fn turn(&mut self) {
        let has_settled = match &mut self.rule {
            Rule::Service(link) => link.is_leased() && self.share.settle(),
            Rule::Local(local) => local.decide(),
        };
        self.rests = has_settled && self.stillness.listen(&self.share);
        if let Rule::Service(link) = &mut self.rule {
            link.turn(self.rests);
            self.rests &= link.is_leased();
        }
    }

    /// The store was called while nobody looked.
    fn wake(&mut self) {
        self.stillness.end();
        self.rests = false;
        if let Rule::Local(local) = &mut self.rule {
            local.decide();
        }
    }

    /// The service speaks, or has room for what waits to be sent.
    fn hear(&mut self) {
        // What it says may change what is held.
        self.rests = false;
        if let Rule::Service(link) = &mut self.rule {
            link.advance();
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
        if let Err(error) = ops.add(Events::with_data(&governor.stillness, BELL, EventSet::IN)) {
            tracing::error!(%error, "the bell of the store is not watched");
        }
        governor.watched = None;
        governor.watch(ops);
        governor.set_timer();
    }

    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        let governor = &mut *self.0;
        let is_timer = events.data() == TIMER;
        match events.data() {
            TIMER => {
                governor.timer.take();
                governor.turn();
            }
            BELL => governor.wake(),
            _ => governor.hear(),
        }
        governor.watch(ops);
        // A line that was lost or found has another rhythm; one that only talks keeps its own.
        if is_timer || governor.next_turn() != governor.rhythm {
            governor.set_timer();
        }
    }
}
