//! Debian packages by apt's own client, with a state of its own: the machine's apt is read, never changed.

mod mirror;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{Cache, command::Run, progress::Step};

/// How old a suite's index may be before the mirror is asked again. The archive changes four times a day and keeps
/// replaced packages for longer than this.
const INDEX_AGE: Duration = Duration::from_hours(1);
/// Where the package `debian-archive-keyring` puts the keys that sign the suites.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One suite of the Debian archive.
pub(crate) struct Suite {
    name: String,
    dir: PathBuf,
    // apt's state is used by one process at a time.
    _lock: File,
}

/// What the suite's index says of a package.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Names it depends on; of alternatives the first.
    pub(crate) depends: Vec<String>,
}

impl Suite {
    /// Prepares the private state for `name`, for example `bookworm-backports`.
    pub(crate) fn open(cache: &Cache, name: &str) -> Result<Self> {
        let lock = cache.lock(&format!("apt-{name}"))?;
        let dir = cache.root().join("apt").join(name);
        for part in ["lists/partial", "archives/partial", "debs"] {
            fs::create_dir_all(dir.join(part))?;
        }
        let suite = Self { name: name.to_owned(), dir, _lock: lock };
        fs::write(suite.dir.join("sources.list"), format!("{}\n", suite.source()?))?;
        fs::write(suite.dir.join("status"), "")?;
        fs::write(suite.dir.join("apt.conf"), configuration(&suite.dir))?;
        Ok(suite)
    }

    /// The suite as a line of apt's sources.
    pub(crate) fn source(&self) -> Result<String> {
        // No Signed-By where the keyring is elsewhere: then apt's trusted keys decide.
        let signed = if Path::new(KEYRING).exists() { format!("[signed-by={KEYRING}] ") } else { String::new() };
        Ok(format!("deb {signed}{} {} main", mirror::address()?, self.name))
    }

    /// What changes whenever the suite does: the text that its archive signed, as fetched by [`Suite::refresh`].
    pub(crate) fn state(&self) -> Result<Vec<u8>> {
        let lists = fs::read_dir(self.dir.join("lists"))?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        let release = lists.iter().find(|path| path.as_os_str().as_encoded_bytes().ends_with(b"Release"));
        Ok(fs::read(release.with_context(|| format!("apt has no Release of {}", self.name))?)?)
    }

    /// Fetches the suite's index unless that was done a short while ago.
    pub(crate) fn refresh(&self) -> Result<()> {
        let stamp = self.dir.join("refreshed");
        let age = fs::metadata(&stamp).and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age < INDEX_AGE) {
            return Ok(());
        }
        let step = Step::start(format!("fetching the package index of {}", self.name));
        self.run("apt-get").args(["update", "--error-on=any"]).done().with_context(|| {
            format!(
                "the mirror gives no index of the suite {}: is it reachable? If the suite has moved to an \
                     archive, set {} to the archive's address",
                self.name,
                mirror::OVERRIDE
            )
        })?;
        fs::write(stamp, "")?;
        step.done();
        Ok(())
    }

    /// The newest version of each of `names` in the suite; those it has not are left out.
    pub(crate) fn packages(&self, names: &[String]) -> Result<Vec<Package>> {
        // apt-cache fails where one name is unknown, though it prints the others.
        let known = self.run("apt-cache").args(["pkgnames", "linux-"]).text()?;
        let known: Vec<_> = names.iter().filter(|name| known.lines().any(|line| line == *name)).collect();
        if known.is_empty() {
            return Ok(Vec::new());
        }
        let stanzas = self.run("apt-cache").args(["show", "--no-all-versions"]).args(known).text()?;
        Ok(stanzas.split("\n\n").filter_map(parse_stanza).collect())
    }

    /// Downloads packages into the suite's own directory. Parts left by a broken download are continued, finished
    /// files are kept, and apt checks each against the signed index.
    pub(crate) fn download(&self, packages: &[Package]) -> Result<Vec<PathBuf>> {
        let debs = self.debs();
        let wanted = packages.iter().map(|package| format!("{}={}", package.name, package.version));
        self.run("apt-get")
            .arg("download")
            .args(wanted)
            .dir(&debs)
            .done()
            .context("the download broke off; what arrived is kept, the next run continues it")?;
        packages.iter().map(|package| find_deb(&debs, package)).collect()
    }

    /// Downloads the newest of `names` and of everything they depend on, as if nothing were installed.
    pub(crate) fn download_closure(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        // What the suite no longer has must not end up beside what it has.
        self.run("apt-get").arg("autoclean").done()?;
        self.run("apt-get")
            .args(["install", "--download-only", "--yes", "--no-install-recommends"])
            .args(names)
            .done()
            .context("the download broke off; what arrived is kept, the next run continues it")?;
        let mut debs: Vec<_> =
            fs::read_dir(self.dir.join("archives"))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        debs.retain(|path| path.extension().is_some_and(|kind| kind == "deb"));
        debs.sort();
        Ok(debs)
    }

    fn debs(&self) -> PathBuf {
        self.dir.join("debs")
    }

    fn run(&self, program: &str) -> Run {
        Run::new(program).arg("-qq").arg("-c").arg(self.dir.join("apt.conf"))
    }
}

/// Unpacks a package into `into`, as `dpkg -x` does: its files, and nothing of its scripts.
pub(crate) fn unpack(deb: &Path, into: &Path) -> Result<()> {
    Run::new("dpkg").arg("-x").arg(deb).arg(into).done()
}

/// What the machine's apt says of its way to a mirror, proxies and whether its index may be old, each as a line of its
/// configuration: for programs that leave it aside.
pub(crate) fn mirror_settings() -> Result<Vec<String>> {
    let settings = Run::new("apt-config").args(["--format", "%F \"%v\";%n", "dump"]).text()?;
    Ok(settings.lines().filter(|line| is_of_mirrors(line)).map(str::to_owned).collect())
}

fn is_of_mirrors(line: &str) -> bool {
    let (name, value) = line.split_once(' ').unwrap_or((line, ""));
    let name = name.to_ascii_lowercase();
    let asked = name == "acquire::check-valid-until" || (name.starts_with("acquire::") && name.contains("proxy"));
    asked && value != "\"\";"
}

/// Read by apt after the machine's own configuration, so that proxies and credentials stay as they are there.
fn configuration(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "Dir::State \"{dir}\";\n\
         Dir::State::status \"{dir}/status\";\n\
         Dir::Cache \"{dir}\";\n\
         Dir::Cache::pkgcache \"pkgcache.bin\";\n\
         Dir::Cache::srcpkgcache \"srcpkgcache.bin\";\n\
         Dir::Etc::sourcelist \"{dir}/sources.list\";\n\
         Dir::Etc::sourceparts \"/dev/null\";\n\
         Dir::Etc::preferences \"/dev/null\";\n\
         Dir::Etc::preferencesparts \"/dev/null\";\n\
         Acquire::Languages \"none\";\n\
         Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n\
         Acquire::Retries \"3\";\n\
         APT::Sandbox::User \"root\";\n\
         #clear APT::Update::Post-Invoke;\n\
         #clear DPkg::Post-Invoke;\n"
    )
}

/// One stanza of `apt-cache show`.
fn parse_stanza(stanza: &str) -> Option<Package> {
    let field = |name: &str| {
        stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim).map(str::to_owned)
    };
    let depends = [field("Pre-Depends"), field("Depends")]
        .iter()
        .flatten()
        .flat_map(|list| list.split(','))
        .filter_map(|alternatives| alternatives.split_whitespace().next())
        .map(|name| name.split(':').next().unwrap_or(name).to_owned())
        .collect();
    Some(Package { name: field("Package")?, version: field("Version")?, depends })
}

/// The file `apt-get download` makes of a package: `name_version_architecture.deb`, the version's colon escaped.
fn find_deb(dir: &Path, package: &Package) -> Result<PathBuf> {
    let start = format!("{}_{}_", package.name, package.version.replace(':', "%3a"));
    fs::read_dir(dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(start.as_bytes())))
        .with_context(|| format!("apt downloaded no file {start}*.deb"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stanza_gives_the_first_of_alternatives_without_versions() {
        let package = parse_stanza(
            "Package: linux-headers-x\nVersion: 1:6.1-2\nPre-Depends: base (>= 4)\n\
             Depends: linux-image-x (= 6.1) | linux-image-x-unsigned, kbuild:any\nDescription: Depends: no\n",
        )
        .unwrap();
        assert_eq!(package.version, "1:6.1-2");
        assert_eq!(package.depends, ["base", "linux-image-x", "kbuild"]);
    }

    #[test]
    fn only_settings_of_mirrors_are_taken() {
        assert!(is_of_mirrors("Acquire::http::Proxy \"http://proxy.example:3142\";"));
        assert!(is_of_mirrors("Acquire::Check-Valid-Until \"false\";"));
        assert!(!is_of_mirrors("Acquire::http::Proxy \"\";"));
        assert!(!is_of_mirrors("Acquire::Languages \"proxy\";"));
        assert!(!is_of_mirrors("APT::Proxy \"http://proxy.example\";"));
    }

    #[test]
    fn a_stanza_without_a_version_is_no_package() {
        assert_eq!(parse_stanza("Package: virtual\n"), None);
    }

    #[test]
    fn an_epoch_is_escaped_in_a_file_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("make_1%3a4-1_amd64.deb");
        fs::write(&path, "").unwrap();
        let package = Package { name: "make".into(), version: "1:4-1".into(), depends: Vec::new() };
        assert_eq!(find_deb(dir.path(), &package).unwrap(), path);
    }
}
