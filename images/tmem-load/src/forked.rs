//! A child that checks its copy-on-write image while the parent goes on writing.

use std::io::{self, Read, Write, pipe};

use anyhow::{Context, Result, bail};

use crate::{
    report::{Kind, Tally},
    working_set::WorkingSet,
};

/// The pass number of the child's own order of visiting; no pass of the parent has it.
const CHILD_PASS: u32 = u32::MAX;
/// A longer answer than any child gives.
const ANSWER_LIMIT_BYTES: u64 = 64 << 10;

/// A child at work.
pub struct Child {
    pid: rustix::process::Pid,
    answer: io::PipeReader,
}

impl Child {
    /// Forks. The child verifies all of `set` as it is at this moment, and ends.
    ///
    /// # Errors
    /// Where the kernel gives no pipe or no process.
    pub fn start(set: &mut WorkingSet) -> Result<Self> {
        let (answer, mut to_parent) = pipe()?;
        // SAFETY: no other thread runs here: those of a pass have ended with it. So the child's copy of every lock
        // and of the allocator is in order, and it may go on like any process.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()).context("cannot fork"),
            0 => {
                let tally = set.pass(Kind::Verify, CHILD_PASS);
                let answered = serde_json::to_vec(&tally).is_ok_and(|bytes| to_parent.write_all(&bytes).is_ok());
                // SAFETY: ends the child at once, without the parent's exit handlers and buffers, which it has copies of.
                unsafe { libc::_exit(i32::from(!answered)) }
            }
            pid => {
                let pid = rustix::process::Pid::from_raw(pid).context("fork returned no process")?;
                Ok(Self { pid, answer })
            }
        }
    }

    /// Waits for the child's end and returns what it found.
    ///
    /// # Errors
    /// Where the child was killed or said nothing that can be read.
    pub fn wait(self) -> Result<Tally> {
        let mut bytes = Vec::new();
        self.answer.take(ANSWER_LIMIT_BYTES).read_to_end(&mut bytes)?;
        let Some((_, status)) = rustix::process::waitpid(Some(self.pid), rustix::process::WaitOptions::empty())? else {
            bail!("the child did not end");
        };
        if status.exit_status() != Some(0) {
            bail!("the child ended badly: {status:?}");
        }
        serde_json::from_slice(&bytes).context("the child's answer cannot be read")
    }
}
