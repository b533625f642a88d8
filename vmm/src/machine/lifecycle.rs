//! What ends a run, and what goes in from the console: the events of a running machine.

use super::assemble::Running;
use super::signals::{Asked, Signals};
use super::status::Status;
use super::{Ending, Error, host};
use crate::console::{Next, Stdin};
use crate::devices::power::PowerEvent;
use crate::devices::pvpanic::PanicEvent;
use crate::hypercall::Hypercalls;
use crate::vcpu::Stop;
use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

const VCPU: u32 = 0;
const POWER: u32 = 1;
const PANIC: u32 = 2;
const SIGNAL: u32 = 3;
const STDIN: u32 = 4;
const INPUT_ROOM: u32 = 5;
const LEFTOVERS: u32 = 6;

/// Most bytes read from the console at a time.
const INPUT_BYTES: usize = 4096;

/// How the run ended, once it has.
pub(super) type Outcome = Rc<RefCell<Option<Result<Ending, Error>>>>;

/// Watches a running machine.
pub(super) struct Lifecycle<'a> {
    running: &'a Running,
    signals: &'a Signals,
    stdin: Option<&'a mut Stdin>,
    status: Arc<Status>,
    outcome: Outcome,
    /// Typed, but not yet taken by the serial port.
    pending: Vec<u8>,
    /// Whether the event loop watches `stdin`.
    watching: bool,
    crash_reported: bool,
}

impl<'a> Lifecycle<'a> {
    pub(super) fn new(
        running: &'a Running,
        signals: &'a Signals,
        stdin: Option<&'a mut Stdin>,
        status: Arc<Status>,
        outcome: Outcome,
    ) -> Self {
        Self { running, signals, stdin, status, outcome, pending: Vec::new(), watching: false, crash_reported: false }
    }

    /// The first reason counts: what follows it is the machine coming down.
    fn end(&self, outcome: Result<Ending, Error>) {
        self.outcome.borrow_mut().get_or_insert(outcome);
    }

    fn vcpu_ended(&self) {
        for outcome in self.running.take_vcpu_outcomes() {
            self.end(match outcome {
                Ok(Stop::TripleFault) => Ok(Ending::TripleFault),
                // With interrupt controllers in the kernel a HLT never comes to us; it would be the end all the same.
                Ok(Stop::Halt) => Ok(Ending::Shutdown),
                Err(error) => Err(error.into()),
            });
        }
    }

    fn power(&self) {
        match self.running.power().take_event() {
            Some(PowerEvent::Shutdown) => self.end(Ok(Ending::Shutdown)),
            Some(PowerEvent::Reboot) => self.end(Ok(Ending::Reboot)),
            None => {}
        }
    }

    fn panic(&mut self) {
        match self.running.pvpanic().take_event() {
            Some(PanicEvent::Panicked) => self.end(Ok(Ending::Panic)),
            // A crash kernel takes over; it ends the machine in its own time. Said once: the guest may repeat it.
            Some(PanicEvent::CrashLoaded) if !std::mem::replace(&mut self.crash_reported, true) => {
                tracing::warn!("the guest panicked and starts its crash kernel");
            }
            Some(PanicEvent::CrashLoaded) | None => {}
        }
    }

    fn signal(&self) {
        match self.signals.take() {
            Some(Asked::Quit) => self.end(Ok(Ending::Quit)),
            Some(Asked::PowerButton) => {
                tracing::info!("SIGTERM: pressing the power button; a second one ends the VM at once");
                self.status.press_power_button();
            }
            None => {}
        }
    }

    /// Moves what was typed to the serial port. What that does not take waits, and nothing more is read meanwhile.
    fn input(&mut self, ops: &mut EventOps<'_>) {
        let Some(stdin) = self.stdin.as_mut() else { return };
        match stdin.read(INPUT_BYTES) {
            Ok(input) => {
                self.pending = input.bytes;
                match input.next {
                    Next::More => self.type_pending(ops),
                    Next::Quit => self.end(Ok(Ending::Quit)),
                    Next::End => {
                        self.type_pending(ops);
                        self.watch_stdin(ops, false);
                        self.stdin = None;
                    }
                }
            }
            Err(source) => self.end(Err(host("standard input cannot be read")(source))),
        }
    }

    fn input_room(&mut self, ops: &mut EventOps<'_>) {
        // The event says that there is room again; reading it arms it for the next time.
        let _ = self.running.serial().input_room_event().read();
        self.type_pending(ops);
    }

    fn type_pending(&mut self, ops: &mut EventOps<'_>) {
        let taken = self.running.serial().enqueue_input(&self.pending);
        self.pending.drain(..taken);
        let all_taken = self.pending.is_empty();
        self.watch_stdin(ops, all_taken);
    }

    fn watch_stdin(&mut self, ops: &mut EventOps<'_>, watch: bool) {
        let Some(stdin) = self.stdin.as_ref() else { return };
        if watch == self.watching {
            return;
        }
        let events = Events::with_data(*stdin, STDIN, EventSet::IN);
        report(if watch { ops.add(events) } else { ops.remove(events) });
        self.watching = watch;
    }
}

fn report(result: Result<(), event_manager::Error>) {
    if let Err(error) = result {
        tracing::error!(%error, "the event loop does not watch a file descriptor as it should");
    }
}

impl MutEventSubscriber for Lifecycle<'_> {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        let running = self.running;
        report(ops.add(Events::with_data(running.vcpu_ended(), VCPU, EventSet::IN)));
        report(ops.add(Events::with_data(running.power().event(), POWER, EventSet::IN)));
        report(ops.add(Events::with_data(running.pvpanic().event(), PANIC, EventSet::IN)));
        report(ops.add(Events::with_data(self.signals, SIGNAL, EventSet::IN)));
        report(ops.add(Events::with_data(running.serial().input_room_event(), INPUT_ROOM, EventSet::IN)));
        if let Some(hypercalls) = running.hypercalls() {
            report(ops.add(Events::with_data(hypercalls.leftovers(), LEFTOVERS, EventSet::IN)));
        }
        self.watch_stdin(ops, true);
    }

    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        match events.data() {
            VCPU => self.vcpu_ended(),
            POWER => self.power(),
            PANIC => self.panic(),
            SIGNAL => self.signal(),
            STDIN => self.input(ops),
            INPUT_ROOM => self.input_room(ops),
            LEFTOVERS => self.running.hypercalls().into_iter().for_each(Hypercalls::free_leftovers),
            other => tracing::error!(other, "an event that nobody asked for"),
        }
    }
}
