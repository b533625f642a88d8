//! `cargo xtask image debian`: a VM's files, ready to run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use images::{
    Cache,
    debian::{self, Suite, System},
    disk, package, requirements,
};
use policy::ByteSize;

/// Arguments of `cargo xtask image debian`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Release of Debian: bookworm, trixie or sid
    #[arg(long, default_value = "bookworm")]
    suite: Suite,
    /// More packages, with what they depend on
    #[arg(long, value_name = "PACKAGE,...", value_delimiter = ',')]
    include: Vec<String>,
    /// Let the owner of this public key in by ssh, as root
    #[arg(long, value_name = "FILE")]
    ssh_key: Option<PathBuf>,
    /// Size of the disk; its file is sparse
    #[arg(long, default_value = "4GiB")]
    size: ByteSize,
    /// Leave the driver's package out
    #[arg(long)]
    without_driver: bool,
    /// Build of the kernel: linux-image-FLAVOUR
    #[arg(long, default_value = "cloud-amd64")]
    flavour: String,
    /// Where the disk goes; kernel, initrd and vm.toml go beside it [default: SUITE.img]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The files of a VM.
struct Output {
    disk: PathBuf,
    kernel: PathBuf,
    initrd: PathBuf,
    config: PathBuf,
}

/// Makes the disk, lays a copy and what boots it beside each other, and says how to run it.
pub fn run(arguments: &Arguments) -> Result<()> {
    let disk = arguments.output.clone().unwrap_or_else(|| format!("{}.img", arguments.suite).into());
    let output = Output::beside(disk)?;
    let mut system =
        System::new(arguments.suite).flavour(&arguments.flavour).include(&arguments.include).bytes(arguments.size.0)?;
    if let Some(path) = &arguments.ssh_key {
        system = system.ssh_key(&public_key(path)?);
    }
    requirements::install()?;
    let cache = Cache::open()?;
    if !arguments.without_driver {
        system = system.driver(package::driver(&cache, package::VERSION)?);
    }
    let image = system.build(&cache)?;
    for (from, to) in [(&image.disk, &output.disk), (&image.kernel, &output.kernel), (&image.initrd, &output.initrd)] {
        disk::copy(from, to)?;
    }
    let config = output.vm_toml();
    fs::write(&output.config, &config).with_context(|| format!("cannot write {}", output.config.display()))?;
    print!("{}:\n\n{config}", output.config.display());
    println!("\ntmem run {}    # log in as root, without a password; Ctrl-A x ends it", output.config.display());
    Ok(())
}

impl Output {
    /// Names the files after the disk. None may be there yet: a disk has somebody's data.
    fn beside(disk: PathBuf) -> Result<Self> {
        ensure!(disk.file_name().is_some(), "--output {} names no file", disk.display());
        let output = Self {
            kernel: disk.with_extension("vmlinuz"),
            initrd: disk.with_extension("initrd"),
            config: disk.with_extension("toml"),
            disk,
        };
        let all = [&output.disk, &output.kernel, &output.initrd, &output.config];
        if let Some(there) = all.into_iter().find(|path| path.exists()) {
            bail!("{} is there already; remove it, or choose another --output", there.display());
        }
        ensure!(all.iter().filter(|path| **path == &output.disk).count() == 1, "the disk's name must end in .img");
        Ok(output)
    }

    fn vm_toml(&self) -> String {
        // The file's paths are relative to its folder.
        let name = |path: &Path| path.file_name().map(PathBuf::from).unwrap_or_default();
        debian::vm_toml(&name(&self.disk), &name(&self.kernel), &name(&self.initrd))
    }
}

/// The key in a file, where that is a public one.
fn public_key(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read the key {}", path.display()))?;
    let is_public = |line: &str| line.starts_with("ssh-") || line.starts_with("ecdsa-") || line.starts_with("sk-");
    let is_key = !text.trim().is_empty() && text.lines().all(is_public);
    ensure!(is_key, "{} holds no public ssh key; give the file ending in .pub", path.display());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id");
        fs::write(&path, "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
        assert!(public_key(&path).unwrap_err().to_string().contains(".pub"));
        fs::write(&path, "\n").unwrap();
        assert!(public_key(&path).is_err(), "nobody could log in");
        fs::write(&path, "ssh-ed25519 AAAA me\n").unwrap();
        assert_eq!(public_key(&path).unwrap(), "ssh-ed25519 AAAA me\n");
    }

    #[test]
    fn a_disk_that_is_there_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("a.img");
        assert!(Output::beside(disk.clone()).is_ok());
        fs::write(dir.path().join("a.initrd"), "").unwrap();
        let error = Output::beside(disk).err().unwrap().to_string();
        assert!(error.contains("a.initrd"), "{error}");
    }

    #[test]
    fn a_disk_named_like_another_of_the_files_is_refused() {
        assert!(Output::beside("no-such-folder/a.toml".into()).is_err());
    }
}
