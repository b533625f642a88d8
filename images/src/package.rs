//! The driver as a package for Debian guests: `tmem-guest-dkms`.
//!
//! `dpkg-deb` puts it together from `guest-driver/`, the ABI header and `guest-driver/debian/`. The tools that Debian
//! builds its own packages with would add forty packages to this machine for what is a dozen files here.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::{Cache, Key, command::Run, progress::Step, tree::copy_sources, workspace};

const NAME: &str = "tmem-guest-dkms";
/// This project's version, which the package has and `dkms.conf` must have.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Files of `guest-driver/debian` and the directories where they go.
const INSTALLED: [(&str, &str); 4] = [
    ("90-tmem.rules", "usr/lib/udev/rules.d"),
    ("copyright", "usr/share/doc/tmem-guest-dkms"),
    ("dev-tmem0.swap", "usr/lib/systemd/system"),
    ("tmem-format.service", "usr/lib/systemd/system"),
];
/// The same, compressed on the way, with their names there.
const COMPRESSED: [(&str, &str); 2] = [
    ("changelog", "usr/share/doc/tmem-guest-dkms/changelog.gz"),
    ("tmem-guest.4", "usr/share/man/man4/tmem-guest.4.gz"),
];
/// Scripts that dpkg runs.
const SCRIPTS: [&str; 3] = ["postinst", "postrm", "prerm"];

/// Makes the package of this checkout's driver as `version`; equal sources give equal bytes. Returns its path.
///
/// # Errors
/// Where `dkms.conf` has another version than this project, or `dpkg-deb` fails.
pub fn driver(cache: &Cache, version: &str) -> Result<PathBuf> {
    let sources = workspace().join("guest-driver");
    let abi = workspace().join("hypercall-abi/include");
    let key = Key::new().with(version).with_tree(&sources)?.with_tree(&abi)?;
    let file = format!("{NAME}_{version}_all.deb");
    let entry = cache.entry("packages", &key.name(), |staging| {
        let step = Step::start(format!("packing {file}"));
        let tree = staging.join("tree");
        module_sources(&sources, &abi, &tree, version)?;
        from_debian(&sources.join("debian"), &tree, version)?;
        Run::new("dpkg-deb")
            .args(["--root-owner-group", "-Zxz", "--build"])
            .arg(&tree)
            .arg(staging.join(&file))
            .env("SOURCE_DATE_EPOCH", date_of(&sources.join("debian/changelog"))?)
            .done()?;
        fs::remove_dir_all(&tree)?;
        step.done();
        Ok(())
    })?;
    Ok(entry.join(file))
}

/// What DKMS builds from.
fn module_sources(sources: &Path, abi: &Path, tree: &Path, version: &str) -> Result<()> {
    let to = tree.join("usr/src").join(format!("tmem-{version}"));
    copy_sources(sources, &to)?;
    fs::remove_dir_all(to.join("debian"))?;
    fs::remove_file(to.join(".gitignore"))?;
    copy_sources(abi, &to.join("include"))?;
    let conf = fs::read_to_string(to.join("dkms.conf"))?;
    let line = |version: &str| format!("PACKAGE_VERSION=\"{version}\"\n");
    ensure!(conf.contains(&line(VERSION)), "guest-driver/dkms.conf has another version than this project, {VERSION}");
    Ok(fs::write(to.join("dkms.conf"), conf.replace(&line(VERSION), &line(version)))?)
}

/// What the package adds to them, and what dpkg reads.
fn from_debian(debian: &Path, tree: &Path, version: &str) -> Result<()> {
    for (name, dir) in INSTALLED {
        let dir = tree.join(dir);
        fs::create_dir_all(&dir)?;
        fs::copy(debian.join(name), dir.join(name))?;
    }
    for (name, to) in COMPRESSED {
        let to = tree.join(to);
        fs::create_dir_all(to.parent().unwrap_or(tree))?;
        fs::write(to, Run::new("gzip").args(["-9", "-n", "-c"]).arg(debian.join(name)).bytes()?)?;
    }
    all_readable(tree)?;
    let sums =
        Run::new("sh").args(["-c", "find usr -type f | LC_ALL=C sort | xargs -d '\\n' md5sum"]).dir(tree).bytes()?;
    let size = bytes_of(&tree.join("usr"))?.div_ceil(1024).to_string();
    let control = tree.join("DEBIAN");
    fs::create_dir(&control)?;
    fs::write(control.join("md5sums"), sums)?;
    for name in SCRIPTS.into_iter().chain(["control"]) {
        let text = fs::read_to_string(debian.join(name))?;
        fs::write(control.join(name), text.replace("@VERSION@", version).replace("@INSTALLED_SIZE@", &size))?;
    }
    all_readable(&control)?;
    for name in SCRIPTS {
        fs::set_permissions(control.join(name), PermissionsExt::from_mode(0o755))?;
    }
    Ok(())
}

/// Bytes of the files in a directory: those of the directories differ between file systems.
fn bytes_of(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { bytes_of(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

/// Gives everything the modes that files of packages have, whatever this user's are.
fn all_readable(dir: &Path) -> Result<()> {
    fs::set_permissions(dir, PermissionsExt::from_mode(0o755))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            all_readable(&entry.path())?;
        } else {
            fs::set_permissions(entry.path(), PermissionsExt::from_mode(0o644))?;
        }
    }
    Ok(())
}

/// The date of a changelog's newest entry, in seconds since 1970: that of the package's files.
fn date_of(changelog: &Path) -> Result<String> {
    let text = fs::read_to_string(changelog)?;
    let signed = text.lines().find(|line| line.starts_with(" -- ")).context("the changelog has no signed entry")?;
    let date = signed.rsplit("  ").next().unwrap_or_default();
    Ok(Run::new("date").args(["-d", date, "+%s"]).text()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_has_the_sources_the_header_and_the_units() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path()).unwrap();
        let package = driver(&cache, "0.1.0+test").unwrap();
        let list = Run::new("dpkg-deb").arg("--contents").arg(&package).text().unwrap();
        for path in [
            "./usr/src/tmem-0.1.0+test/include/tmem_abi.h",
            "./usr/src/tmem-0.1.0+test/tmem_main.c",
            "./usr/src/tmem-0.1.0+test/compat/disk.c",
            "./usr/lib/systemd/system/dev-tmem0.swap",
            "./usr/share/man/man4/tmem-guest.4.gz",
        ] {
            assert!(list.lines().any(|line| line.ends_with(path)), "{path} is not in\n{list}");
        }
        assert!(!list.contains("debian/control"), "{list}");
        assert!(list.lines().all(|line| line.contains("root/root")), "{list}");
        let version = Run::new("dpkg-deb").arg("--field").arg(&package).arg("Version").text().unwrap();
        assert_eq!(version.trim(), "0.1.0+test");
    }

    #[test]
    fn equal_sources_give_equal_bytes() {
        let make = || {
            let dir = tempfile::tempdir().unwrap();
            fs::read(driver(&Cache::at(dir.path()).unwrap(), VERSION).unwrap()).unwrap()
        };
        assert!(make() == make());
    }
}
