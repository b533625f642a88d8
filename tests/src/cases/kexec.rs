//! kexec in the middle of the guest's puts: the old pools live until the new kernel's driver says HELLO, and not longer.

use super::exactness::host_counter;
use super::restart::{first_life, held, swap_once, swap_without_end};
use crate::case::{Case, Runs};
use crate::guest::Guest;
use crate::host::{Host, Spec};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;

pub(super) const CASE: Case = Case {
    name: "kexec",
    shows: "kexec mid-put: the new driver's HELLO ends the old pools",
    runs: Runs::ON_6_1,
    host,
    guest,
};

const SECTOR_BYTES: u64 = 512;

fn host(host: &mut Host) -> Result<()> {
    let mut spec = Spec { memory_mib: 320, ..Spec::default() };
    for (name, file) in [("kernel", host.bzimage()), ("initramfs", host.initramfs())] {
        // A disk is a whole number of sectors; the guest is told the file's length.
        let disk = host.dir().join(name);
        let length = fs::copy(&file, &disk)?;
        File::options().write(true).open(&disk)?.set_len(length.next_multiple_of(SECTOR_BYTES))?;
        spec = spec.disk(disk).arguments([&length.to_string()]);
    }
    let mut vm = host.start(&spec)?;
    first_life(&mut vm)?;
    vm.expect("booted")?;
    let (kept, _) = held(&vm.show()?)?;
    ensure!(kept > 1_000, "{kept} pages: a pool was dropped before HELLO");
    vm.say("second")?;
    vm.expect("loaded")?;
    let report = vm.show()?;
    let (pages, _) = held(&report)?;
    ensure!(pages == 0, "{pages} pages of the old life after HELLO");
    ensure!(host_counter(&report, "hypercall", "calls_hello")? == 2, "two lives say HELLO twice");
    vm.go()?;
    vm.expect("swapped")?;
    vm.go()?;
    vm.finish()
}

fn guest(guest: &mut Guest) -> Result<()> {
    if guest.sync("booted", &Value::Null)? != "first" {
        guest.load_driver(&[])?;
        guest.sync("loaded", &Value::Null)?;
        return swap_once(guest);
    }
    load_kernel(&image(guest, "/dev/vda", 0)?, &image(guest, "/dev/vdb", 1)?)?;
    guest.load_driver(&[])?;
    swap_without_end(guest)?;
    guest.command("sync", &[])?;
    // SAFETY: the call has no arguments in memory; it either fails or ends this kernel.
    unsafe { libc::reboot(libc::LINUX_REBOOT_CMD_KEXEC) };
    Err(io::Error::last_os_error()).context("kexec")
}

/// Copies as many bytes of a disk as the host half says into a file: the kernel takes images from files only.
fn image(guest: &Guest, disk: &str, argument: usize) -> Result<File> {
    let length: u64 = guest.argument(argument)?.parse()?;
    let path = format!("/tmp/image{argument}");
    let copied = io::copy(&mut File::open(disk)?.take(length), &mut File::create(&path)?)?;
    ensure!(copied == length, "{disk} ended after {copied} of {length} bytes");
    Ok(File::open(path)?)
}

/// Has `LINUX_REBOOT_CMD_KEXEC` start this kernel, with the command line of the one that runs.
pub(super) fn load_kernel(kernel: &File, initramfs: &File) -> Result<()> {
    let cmdline = CString::new(fs::read_to_string("/proc/cmdline")?.trim())?;
    let length = cmdline.as_bytes_with_nul().len();
    // SAFETY: the command line is a C string of that length which outlives the call; the descriptors are open.
    let result = unsafe {
        libc::syscall(libc::SYS_kexec_file_load, kernel.as_raw_fd(), initramfs.as_raw_fd(), length, cmdline.as_ptr(), 0)
    };
    if result != 0 {
        bail!("kexec_file_load: {}", io::Error::last_os_error());
    }
    Ok(())
}
