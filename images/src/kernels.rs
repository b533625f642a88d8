//! Debian's cloud kernels: fetched, unpacked and made ready for module builds, but not installed. And kernels of our
//! own, built from Debian's source.

mod recipe;
mod source;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use thiserror::Error;

pub use recipe::{BuildIn, Recipe, Source, all, named};

use crate::{
    Cache,
    apt::{self, Package, Suite},
    command::Run,
    module_tree,
    progress::{Step, note},
};

/// Debian's build of the kernel for virtual machines.
const FLAVOUR: &str = "cloud-amd64";

/// Kernels nobody asked for in this long are dropped when another is fetched.
pub(crate) const UNUSED_FOR: Duration = Duration::from_hours(30 * 24);

/// A kernel that cannot be had, and what to do about it.
#[derive(Debug, Error)]
pub enum Error {
    /// No recipe has that name.
    #[error("no kernel is called \"{name}\"; there are {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// Neither the recorded version nor any other is in the suite.
    #[error(
        "kernel {name}: the mirror no longer has {release} (packages {package_version}), nor any other {FLAVOUR} \
         kernel in {suite}; point TMEM_DEBIAN_MIRROR to an archive that has it, or record another suite in \
         images/kernels.toml"
    )]
    Gone {
        /// The kernel's name.
        name: String,
        /// Its suite.
        suite: String,
        /// The recorded `uname -r`.
        release: String,
        /// The recorded version of the packages.
        package_version: String,
    },
    /// A package the kernel needs is missing beside it.
    #[error("kernel {name}: {suite} has no package {package}; the mirror may be in the middle of an update, try later")]
    Incomplete {
        /// The kernel's name.
        name: String,
        /// Its suite.
        suite: String,
        /// What is missing.
        package: String,
    },
}

/// A kernel in the cache, unpacked.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// Where it comes from and how modules are built for it.
    pub recipe: &'static Recipe,
    /// Its version as `uname -r` says it.
    pub release: String,
    /// The version of its packages.
    pub package_version: String,
    /// The compressed image to boot.
    pub bzimage: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// Its `lib/modules/<release>`, with `modules.dep`.
    pub modules_dir: PathBuf,
    /// Everything unpacked, in the layout of a root file system.
    pub root: PathBuf,
}

impl Kernel {
    /// Whether this very version is recorded as working. Where it is not, and the recipe says `follow`, a failure is
    /// reported by name and is no reason to fail a run.
    #[must_use]
    pub fn is_known_good(&self) -> bool {
        self.release == self.recipe.release && self.package_version == self.recipe.package_version
    }

    /// The headers' directory, for `make -C`.
    pub(crate) fn headers(&self) -> PathBuf {
        self.root.join("usr/src").join(format!("linux-headers-{}", self.release))
    }

    fn open(recipe: &'static Recipe, root: PathBuf, release: String, package_version: String) -> Result<Self> {
        let modules_dir = root.join("lib/modules").join(&release);
        // Newer packages have everything beside the modules.
        let one_of = |new: &str, old: &str| {
            let candidates = [modules_dir.join(new), root.join("boot").join(format!("{old}-{release}"))];
            candidates
                .into_iter()
                .find(|path| path.exists())
                .with_context(|| format!("the packages of {release} hold no {old}"))
        };
        let (bzimage, config) = (one_of("vmlinuz", "vmlinuz")?, one_of("config", "config")?);
        Ok(Self { recipe, release, package_version, bzimage, config, modules_dir, root })
    }
}

/// Fetches and unpacks the kernel of that name with its modules and headers, or finds it in the cache. One of our own is
/// built, which takes minutes.
///
/// The recorded version needs no network once cached. A kernel that is *followed* asks the mirror for the newest, at
/// most once an hour; where the mirror does not answer, the recorded version serves if it is cached.
///
/// # Errors
/// [`Error`] where the mirror has not what is needed; otherwise what apt, dpkg, depmod or the compiler said.
pub fn fetch(cache: &Cache, name: &str) -> Result<Kernel> {
    let recipe = named(name)?;
    if let Some(source) = &recipe.source {
        return source::fetch(cache, recipe, source);
    }
    let recorded = cache.find("kernels", &entry_name(&recipe.release, &recipe.package_version));
    let open_recorded = |root| Kernel::open(recipe, root, recipe.release.clone(), recipe.package_version.clone());
    match recorded {
        Some(root) if !recipe.follow => open_recorded(root),
        Some(root) => fetch_newest(cache, recipe).or_else(|error| {
            note(&format!("kernel {name}: using the cached {}: {error:#}", recipe.release));
            open_recorded(root)
        }),
        None if recipe.follow => fetch_newest(cache, recipe),
        None => fetch_recorded(cache, recipe),
    }
}

fn fetch_recorded(cache: &Cache, recipe: &'static Recipe) -> Result<Kernel> {
    let suite = Suite::open(cache, &recipe.suite)?;
    suite.refresh()?;
    let image = suite.packages(&[format!("linux-image-{}", recipe.release)])?;
    if image.first().is_some_and(|package| package.version == recipe.package_version) {
        return install(cache, &suite, recipe, &recipe.release);
    }
    let newest = newest_release(&suite, recipe)?;
    note(&format!(
        "kernel {}: the mirror no longer has the recorded {} ({}); trying {newest}. If the tests pass with it, record \
         it in images/kernels.toml",
        recipe.name, recipe.release, recipe.package_version
    ));
    install(cache, &suite, recipe, &newest)
}

fn fetch_newest(cache: &Cache, recipe: &'static Recipe) -> Result<Kernel> {
    let suite = Suite::open(cache, &recipe.suite)?;
    suite.refresh()?;
    let newest = newest_release(&suite, recipe)?;
    install(cache, &suite, recipe, &newest)
}

/// The suite's newest kernel, as its meta-package says.
fn newest_release(suite: &Suite, recipe: &Recipe) -> Result<String, anyhow::Error> {
    let meta = suite.packages(&[format!("linux-image-{FLAVOUR}")])?;
    let release = meta.iter().flat_map(|package| &package.depends).find_map(|name| name.strip_prefix("linux-image-"));
    Ok(release.map(str::to_owned).ok_or_else(|| Error::Gone {
        name: recipe.name.clone(),
        suite: recipe.suite.clone(),
        release: recipe.release.clone(),
        package_version: recipe.package_version.clone(),
    })?)
}

/// Brings one release of the suite into the cache.
fn install(cache: &Cache, suite: &Suite, recipe: &'static Recipe, release: &str) -> Result<Kernel> {
    let packages = packages_of(suite, recipe, release)?;
    let package_version = packages.iter().find(|package| package.name.starts_with("linux-image-"));
    let package_version = package_version.map(|package| package.version.clone()).unwrap_or_default();
    // A followed kernel leaves one behind every few days.
    cache.drop_unused("kernels", UNUSED_FOR)?;
    let root = cache.entry("kernels", &entry_name(release, &package_version), |staging| {
        let step = Step::start(format!("fetching kernel {release} ({} packages)", packages.len()));
        let debs = suite.download(&packages)?;
        for deb in &debs {
            apt::unpack(deb, staging)?;
        }
        prepare(staging, release)?;
        for deb in &debs {
            fs::remove_file(deb)?;
        }
        step.done();
        Ok(())
    })?;
    Kernel::open(recipe, root, release.to_owned(), package_version)
}

/// The image and the headers of a release with the parts they are split into: those of its dependencies that carry
/// its version. The rest (initramfs tools, compilers) is for installed kernels.
fn packages_of(suite: &Suite, recipe: &Recipe, release: &str) -> Result<Vec<Package>> {
    let series = release.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let mut found: BTreeMap<String, Package> = BTreeMap::new();
    let mut wanted = vec![format!("linux-image-{release}"), format!("linux-headers-{release}")];
    while !wanted.is_empty() {
        let packages = suite.packages(&wanted)?;
        if let Some(package) = wanted.iter().find(|name| packages.iter().all(|package| package.name != **name)) {
            let (name, suite) = (recipe.name.clone(), recipe.suite.clone());
            return Err(Error::Incomplete { name, suite, package: package.clone() }.into());
        }
        found.extend(packages.into_iter().map(|package| (package.name.clone(), package)));
        let parts = found.values().flat_map(|package| &package.depends);
        let parts = parts.filter(|name| name.starts_with("linux-") && name.contains(&format!("-{series}")));
        wanted = parts.filter(|name| !found.contains_key(*name)).cloned().collect();
        wanted.sort();
        wanted.dedup();
    }
    Ok(found.into_values().collect())
}

/// Does what the packages' own scripts would have done, within `root`.
fn prepare(root: &Path, release: &str) -> Result<()> {
    // Packages for a merged /usr have no top-level lib.
    let lib = root.join("lib");
    if !lib.exists() {
        std::os::unix::fs::symlink("usr/lib", &lib)?;
    }
    // The headers name each other by the place they would be installed in; relative names work in any.
    let makefile = root.join("usr/src").join(format!("linux-headers-{release}/Makefile"));
    let text = fs::read_to_string(&makefile).with_context(|| format!("the headers of {release} hold no Makefile"))?;
    fs::write(&makefile, text.replace("/usr/src/", "../"))?;
    Run::new(module_tree::DEPMOD).arg("-b").arg(root).arg(release).done()
}

fn entry_name(release: &str, package_version: &str) -> String {
    format!("{release}_{package_version}")
}
