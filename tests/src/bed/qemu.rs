//! A QEMU that runs to its end, and whose serial port is read meanwhile.

use super::Outcome;
use anyhow::{Context, Result};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

const QEMU: &str = "qemu-system-x86_64";
/// The CPU that is emulated. Without CMPXCHG16B: QEMU 7.2 now and then leaves the flags after it wrong (the kernel's
/// slab allocator then dies of a double fault), and kernels do without it where it is not there.
pub(super) const CPU: &str = "EPYC-v3,-cx16";
/// What a machine says now and then while it is alive; see [`HEARTBEAT`].
const ALIVE: &str = "@alive";
/// A line of a machine's script that makes it say that it is alive.
pub(super) const HEARTBEAT: &str = "(while sleep 10; do echo @alive; done) &";
/// What QEMU's monitor is asked about a machine that hangs, some seconds apart: whether it stands still, and where.
const QUESTIONS: &[u8] = b"info registers\ninfo pic\n";
const TIMES_ASKED: usize = 3;
/// How long an answer of the monitor, which has no end, is waited for.
const ANSWER: Duration = Duration::from_secs(2);
/// Lines kept for a failure's report.
const KEPT_LINES: usize = 60;

/// What machine to emulate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Emulated<'a> {
    /// Value of `-cpu`.
    pub cpu: &'a str,
    /// Number of CPUs.
    pub cpus: u8,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// The kernel's image.
    pub kernel: &'a Path,
    /// Its initramfs.
    pub initramfs: &'a Path,
    /// More kernel options.
    pub cmdline: &'a str,
    /// Silence after which it is taken for hung.
    pub silence: Duration,
    /// Whether what it says is printed.
    pub console: bool,
    /// Disk images of this machine, as `/dev/vda` and so on; nothing of them is cached here.
    pub disks: &'a [&'a Path],
    /// More of them, of which the machine writes to a copy that ends with it.
    pub lent: &'a [&'a Path],
}

/// How a machine ended, with its last lines.
#[derive(Debug)]
pub(super) enum End {
    /// It powered off.
    Off(String),
    /// It fell silent and was killed.
    Hung(String),
}

/// Runs the machine until it powers off or hangs; `line` hears each line of its serial port.
pub(super) fn run(machine: &Emulated<'_>, mut line: impl FnMut(&str)) -> Result<End> {
    let dir = tempfile::tempdir()?;
    let monitor = dir.path().join("monitor");
    // It would go on for hours where we are killed.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", QEMU])
        .arg("-monitor")
        .arg(format!("unix:{},server=on,wait=off", monitor.display()));
    for disk in machine.disks {
        command.arg("-drive").arg(format!("file={},if=virtio,format=raw,cache=none", disk.display()));
    }
    for disk in machine.lent {
        command.arg("-drive").arg(format!("file={},if=virtio,format=raw,snapshot=on", disk.display()));
    }
    let mut process = command
        .args(["-machine", "q35,accel=tcg,smm=off", "-nodefaults", "-nographic", "-serial", "stdio", "-no-reboot"])
        .args(["-cpu", machine.cpu, "-smp", &machine.cpus.to_string(), "-m", &machine.memory_mib.to_string()])
        .arg("-kernel")
        .arg(machine.kernel)
        .arg("-initrd")
        .arg(machine.initramfs)
        .arg("-append")
        .arg(format!("console=ttyS0 quiet panic=-1 mitigations=off rdinit=/init {}", machine.cmdline))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(if machine.console { Stdio::inherit() } else { Stdio::null() })
        .spawn()
        .with_context(|| format!("cannot start {QEMU} (package qemu-system-x86)"))?;
    let stdout = process.stdout.take().context("no pipe from QEMU")?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                return;
            }
        }
    });
    let mut tail = VecDeque::new();
    let hung = loop {
        match lines.recv_timeout(machine.silence) {
            Ok(text) if text == ALIVE => {}
            Ok(text) => {
                if machine.console {
                    eprintln!("  | {text}");
                }
                line(&text);
                if tail.len() == KEPT_LINES {
                    tail.pop_front();
                }
                tail.push_back(format!("  | {text}\n"));
            }
            Err(RecvTimeoutError::Disconnected) => break false,
            Err(RecvTimeoutError::Timeout) => break true,
        }
    };
    if hung {
        tail.push_back(where_it_stands(&monitor));
        process.kill()?;
    }
    process.wait()?;
    let tail: String = tail.into_iter().collect();
    Ok(if hung { End::Hung(tail) } else { End::Off(tail) })
}

/// What QEMU's monitor says of a machine, or why it says nothing.
fn where_it_stands(monitor: &Path) -> String {
    let ask = || -> Result<String> {
        let mut stream = UnixStream::connect(monitor)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let mut answer = Vec::new();
        for _ in 0..TIMES_ASKED {
            stream.write_all(QUESTIONS)?;
            // It ends by the timeout.
            let _ = stream.read_to_end(&mut answer);
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    ask().unwrap_or_else(|error| format!("QEMU's monitor says nothing: {error:#}\n"))
}

/// Hands the outcomes among the lines on.
pub(super) fn outcomes(heard: &mut dyn FnMut(Outcome)) -> impl FnMut(&str) + '_ {
    move |line| {
        if let Some(outcome) = Outcome::parse(line) {
            heard(outcome);
        }
    }
}
