//! Raw mode of the terminal, and getting out of it on every way that this process can end but `SIGKILL`.
//!
//! The modes belong to the terminal and not to the process: whoever leaves without restoring them leaves the user a
//! shell without echo. So they are restored by the guard's drop, by a panic hook, and by handlers of the signals that
//! end a process, which then let the signal do what it would have done. A signal that somebody else handles ends
//! nothing by itself, and is left alone.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::termios::{OptionalActions, OutputModes, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

/// Signals that end a process unless it says otherwise, and that come from outside or from abort(3).
const ENDINGS: [libc::c_int; 5] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGABRT];
/// Signals of a faulting instruction.
const FAULTS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

/// The terminal as it was found. Set once a process: a restarted VM finds the same terminal.
static FOUND: OnceLock<Found> = OnceLock::new();
/// Whether the terminal is raw now.
static RAW: AtomicBool = AtomicBool::new(false);
/// What each signal did before we came.
static PREVIOUS: OnceLock<Vec<(libc::c_int, libc::sigaction)>> = OnceLock::new();

struct Found {
    terminal: OwnedFd,
    modes: Termios,
}

/// Keeps the terminal raw while it lives.
#[derive(Debug)]
pub(super) struct RawTerminal(());

impl RawTerminal {
    /// Makes the terminal raw: no echo, no line editing, no keys that signal. Reading never waits, whatever the
    /// descriptor's flags say (`VMIN` 0, termios(3)); `O_NONBLOCK` would be seen by the shell that shares the terminal.
    /// Output is still processed, so that log lines between the guest's own stay straight.
    ///
    /// # Errors
    ///
    /// The kernel's, where this is no terminal.
    pub fn enter(terminal: impl AsFd) -> io::Result<Self> {
        let modes = tcgetattr(&terminal)?;
        let mut raw = modes.clone();
        raw.make_raw();
        raw.output_modes.insert(OutputModes::OPOST);
        raw.special_codes[SpecialCodeIndex::VMIN] = 0;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;

        let found = Found { terminal: terminal.as_fd().try_clone_to_owned()?, modes };
        let first = FOUND.set(found).is_ok();
        if first {
            restore_on_panic();
            restore_on_signals()?;
        }
        RAW.store(true, Ordering::SeqCst);
        tcsetattr(terminal, OptionalActions::Now, &raw)?;
        Ok(Self(()))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back as it was found, once. Called from signal handlers: only atomics and system calls.
fn restore() {
    if RAW.swap(false, Ordering::SeqCst)
        && let Some(found) = FOUND.get()
    {
        // Nothing can be done about a terminal that has gone.
        let _ = tcsetattr(&found.terminal, OptionalActions::Now, &found.modes);
    }
}

fn restore_on_panic() {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        restore();
        previous(info);
    }));
}

fn restore_on_signals() -> io::Result<()> {
    let mut previous = Vec::new();
    for signal in ENDINGS.into_iter().chain(FAULTS) {
        // SAFETY: a null new action only asks; all-zero bytes are a valid `sigaction` to be written over.
        let before = unsafe {
            let mut before: libc::sigaction = std::mem::zeroed();
            succeeds(libc::sigaction(signal, ptr::null(), &raw mut before))?;
            before
        };
        // A fault ends the process all the same: the handler there is the standard library's, which tells of a stack
        // overflow and lets the fault happen again. SIGINT and SIGTERM are often the event loop's, SIGHUP is nohup(1)'s.
        if before.sa_sigaction == libc::SIG_DFL || FAULTS.contains(&signal) {
            previous.push((signal, before));
        }
    }
    let previous = PREVIOUS.get_or_init(|| previous);

    for (signal, _) in previous {
        // SAFETY: all-zero bytes are a valid `sigaction`, filled in below; the handler has the three arguments that
        // SA_SIGINFO promises it, and does only what signal-safety(7) allows.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            let handler: extern "C" fn(libc::c_int, *const libc::siginfo_t, *const libc::c_void) = restore_and_end;
            action.sa_sigaction = handler as libc::sighandler_t;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            succeeds(libc::sigaction(*signal, &raw const action, ptr::null_mut()))?;
        }
    }
    Ok(())
}

/// Restores the terminal and lets the signal do what it would have done without us.
extern "C" fn restore_and_end(signal: libc::c_int, info: *const libc::siginfo_t, _context: *const libc::c_void) {
    restore();
    let previous = PREVIOUS.get().and_then(|actions| actions.iter().find(|(number, _)| *number == signal));
    if let Some((_, action)) = previous {
        // SAFETY: the action is the one that was in force before, in a static.
        unsafe { libc::sigaction(signal, action, ptr::null_mut()) };
    }
    // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo.
    let from_kernel = unsafe { (*info).si_code } > 0;
    // A faulting instruction faults again on return, with its true address for the core dump.
    if !(from_kernel && FAULTS.contains(&signal)) {
        // SAFETY: no memory is involved. The signal is blocked now and comes when this handler returns.
        unsafe { libc::raise(signal) };
    }
}

fn succeeds(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::FromRawFd;

    use rustix::termios::LocalModes;

    use super::*;

    fn open_pty() -> (OwnedFd, OwnedFd) {
        let (mut master, mut slave) = (-1, -1);
        // SAFETY: the descriptors are written to live variables, the null pointers stand for defaults, and on success
        // both descriptors are ours alone.
        unsafe {
            let result = libc::openpty(&raw mut master, &raw mut slave, ptr::null_mut(), ptr::null(), ptr::null());
            assert_eq!(result, 0);
            (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
        }
    }

    /// One test: the terminal that was found is the process's.
    #[test]
    fn a_raw_terminal_is_raw_until_it_is_dropped_or_a_thread_panics() {
        let (_master, slave) = open_pty();
        let local = || tcgetattr(&slave).unwrap().local_modes;
        let cooked = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        assert!(local().contains(cooked));

        let raw = RawTerminal::enter(&slave).unwrap();
        assert!(!local().intersects(cooked));
        assert_eq!(rustix::io::read(&slave, &mut [0; 1]), Ok(0), "reading does not wait");
        drop(raw);
        assert!(local().contains(cooked));

        let raw = RawTerminal::enter(&slave).unwrap();
        assert!(!local().intersects(cooked));
        assert!(std::thread::spawn(|| panic!("on purpose")).join().is_err());
        assert!(local().contains(cooked));
        drop(raw);
    }
}
