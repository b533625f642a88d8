//! Making a root disk: packages into a tar, the tar into an ext4.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};

use super::{Image, System};
use crate::{
    Cache, Key,
    apt::{self, Suite},
    command::Run,
    progress::Step,
};

/// Disks nobody asked for in this long are dropped when another is made.
const UNUSED_FOR: Duration = Duration::from_hours(2 * 24);
/// Where the driver's package is while it is installed.
const PACKAGE: &str = "/root/driver.deb";

/// From the tar to the disk, as root or what looks like it. `$1`: the disk's size; then units.
const MAKE_DISK: &str = r#"set -e
# Files of other users are in there, which this user could not remove later.
trap 'rm -rf root root.tar overlay' EXIT
bytes=$1
shift
mkdir root
# The devices are the kernel's to make, and only root could.
tar -C root -xf root.tar --numeric-owner --xattrs --xattrs-include='*' --exclude='./dev/*'
cp -r overlay/. root
# A guest makes its own.
rm -f root/etc/ssh/ssh_host_*
# What mmdebstrap left for this machine's proxies.
rm -f root/etc/apt/apt.conf.d/99mmdebstrap
SYSTEMD_OFFLINE=1 chroot root systemctl --quiet enable "$@"
cp root/vmlinuz vmlinuz
cp root/initrd.img initrd.img
truncate -s "$bytes" root.img
mke2fs -q -t ext4 -b 4096 -L root -E lazy_itable_init=0,lazy_journal_init=0 -O ^orphan_file,^metadata_csum_seed -d root root.img
"#;

pub(super) fn image(cache: &Cache, system: &System) -> Result<Image> {
    let suite = Suite::open(cache, system.suite.name())?;
    suite.refresh()?;
    let name = key(system, &suite)?.name();
    cache.drop_unused("debian", UNUSED_FOR)?;
    let dir = cache.entry("debian", &name, |staging| make(system, &suite, staging))?;
    Ok(Image { disk: dir.join("root.img"), kernel: dir.join("vmlinuz"), initrd: dir.join("initrd.img") })
}

fn key(system: &System, suite: &Suite) -> Result<Key> {
    let mut key = Key::new().with(MAKE_DISK).with(suite.state()?).with(system.all_packages());
    for (path, content) in &system.files {
        key = key.with(path).with(content);
    }
    key = key.with(system.enabled.join(" "));
    if let Some(driver) = &system.driver {
        key = key.with(fs::read(driver).with_context(|| format!("cannot read {}", driver.display()))?);
    }
    Ok(key.with(system.bytes.to_le_bytes()))
}

fn make(system: &System, suite: &Suite, staging: &Path) -> Result<()> {
    let step = Step::start(format!("installing Debian {}", system.suite));
    let tar = staging.join("root.tar");
    let mut command = Run::new("mmdebstrap")
        .args(["--quiet", "--variant=minbase", "--format=tar"])
        .arg(format!("--include={}", system.all_packages()))
        .arg("--customize-hook=chroot \"$1\" passwd --quiet --delete root");
    for option in apt::mirror_settings()? {
        command = command.arg(format!("--aptopt={option}"));
    }
    if let Some(driver) = &system.driver {
        command = command
            .arg(format!("--customize-hook=upload '{}' {PACKAGE}", driver.display()))
            .arg(format!("--customize-hook=chroot \"$1\" dpkg --install {PACKAGE}; rm \"$1\"{PACKAGE}"));
    }
    command
        .arg(system.suite.name())
        .arg(&tar)
        .arg(suite.source()?)
        .done()
        .with_context(|| format!("Debian {} was not installed", system.suite))?;
    step.done();

    let step = Step::start("writing its disk");
    for (path, content) in &system.files {
        let path = staging.join("overlay").join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap_or(staging))?;
        fs::write(path, content)?;
    }
    as_root()
        .args(["sh", "-c", MAKE_DISK, "make-disk"])
        .arg(system.bytes.to_string())
        .args(&system.enabled)
        .dir(staging)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .done()
        .context("the disk was not written; --size gives it more room")?;
    step.done();
    Ok(())
}

/// A command that may give files to any owner: directly, or in a namespace of users with this user's subordinate ids.
fn as_root() -> Run {
    if rustix::process::geteuid().is_root() {
        Run::new("env")
    } else {
        Run::new("unshare").args(["--map-auto", "--map-root-user"])
    }
}
