//! This machine itself, where its KVM has hardware behind it.

use super::files::{DISKS, FILE_SYSTEMS, GuestFiles, SSH_KEY};
use super::qemu::outcomes;
use super::{Images, Job, Outcome};
use anyhow::{Context, Result};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Runs the job's cases here. Returns the last lines, of which there are none: everything else went to stderr.
pub(super) fn run(images: &Images, job: &Job, heard: &mut dyn FnMut(Outcome)) -> Result<String> {
    let guest = GuestFiles::of(images, job)?;
    // Not in /tmp, which may be memory: the demo compares with a disk.
    let directory = images.scratch()?;
    let of_kernel = directory.path().join("images").join(&job.kernel);
    fs::create_dir_all(&of_kernel)?;
    fs::copy(&guest.kernel, of_kernel.join("bzImage"))?;
    fs::copy(&guest.initramfs, of_kernel.join("initramfs"))?;
    if let Some(file_systems) = &guest.file_systems {
        fs::copy(file_systems, of_kernel.join(FILE_SYSTEMS))?;
    }
    if let Some(key) = &guest.ssh_key {
        fs::copy(key, of_kernel.join(SSH_KEY))?;
    }
    for (disk, name) in guest.disks.iter().flatten().zip(DISKS) {
        images::disk::copy(disk, &of_kernel.join(name))?;
    }

    let mut process = Command::new(&images.cases)
        .arg("host")
        .arg("--tmem")
        .arg(&images.tmem)
        .arg("--images")
        .arg(directory.path().join("images"))
        .arg("--scratch")
        .arg(directory.path().join("scratch"))
        .args(["--kernel", &job.kernel])
        .args(job.cases.iter().map(|case| case.name))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start tmem-cases")?;
    let stdout = process.stdout.take().context("no pipe from tmem-cases")?;
    let mut line = outcomes(heard);
    BufReader::new(stdout).lines().map_while(Result::ok).for_each(|text| line(&text));
    process.wait()?;
    directory.close()?;
    Ok(String::new())
}
