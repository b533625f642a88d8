//! Kernels built from Debian's source, for what no kernel of Debian's has switched on. The result has the layout that
//! the packages of a built kernel unpack to.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result, bail};

use super::{Error, Kernel, Recipe, UNUSED_FOR, recipe::Source};
use crate::{
    Cache, Key,
    apt::{self, Package, Suite},
    command::Run,
    module_tree::DEPMOD,
    progress::{Step, note},
    workspace,
};

/// What a module build needs of the tree, and the directories of which only one part is needed.
const NEEDED: [&str; 5] = [".config", "Makefile", "Module.symvers", "include", "scripts"];
const NEEDED_PARTS: [(&str, &str); 2] = [("arch", "x86"), ("tools", "objtool")];

/// Builds the kernel, or finds it in the cache: under a name made of everything that it is made from.
pub(super) fn fetch(cache: &Cache, recipe: &'static Recipe, source: &Source) -> Result<Kernel> {
    let configuration = configuration(source)?;
    let compiler = Run::new(recipe.compiler()).arg("--version").bytes()?;
    let entry_name = |version: &str| {
        let key = Key::new().with(version).with(&configuration).with(&compiler);
        let key = recipe.make.iter().fold(key, Key::with);
        format!("{}_{}", recipe.name, key.name())
    };
    if let Some(root) = cache.find("kernels", &entry_name(&recipe.package_version)) {
        return open(recipe, root, recipe.package_version.clone());
    }
    let suite = Suite::open(cache, &recipe.suite)?;
    suite.refresh()?;
    let packages = suite.packages(std::slice::from_ref(&source.package))?;
    let package = packages.first().ok_or_else(|| Error::Gone {
        name: recipe.name.clone(),
        suite: recipe.suite.clone(),
        release: source.package.clone(),
        package_version: recipe.package_version.clone(),
    })?;
    if package.version != recipe.package_version {
        note(&format!(
            "kernel {}: the mirror no longer has {} {}; trying {}. If the tests pass with it, record it in \
             images/kernels.toml",
            recipe.name, package.name, recipe.package_version, package.version
        ));
    }
    cache.drop_unused("kernels", UNUSED_FOR)?;
    let root = cache.entry("kernels", &entry_name(&package.version), |staging| {
        let tree = unpack(&suite, package, staging)?;
        let step = Step::start(format!("building kernel {} (minutes)", recipe.name));
        configure(&tree, recipe, &configuration)?;
        make(&tree, recipe).args(["bzImage", "modules"]).done()?;
        install(&tree, recipe, staging)?;
        step.done();
        Ok(())
    })?;
    open(recipe, root, package.version.clone())
}

/// The files with the options, one after the other.
fn configuration(source: &Source) -> Result<String> {
    let dir = workspace().join("images/kernels");
    let read = |name: &String| {
        let path = dir.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    source.options.iter().map(read).collect()
}

/// Fetches the package and unpacks the tree that is in it.
fn unpack(suite: &Suite, package: &Package, staging: &Path) -> Result<PathBuf> {
    let step = Step::start(format!("fetching {} {}", package.name, package.version));
    let unpacked = staging.join("package");
    for deb in suite.download(std::slice::from_ref(package))? {
        apt::unpack(&deb, &unpacked)?;
        fs::remove_file(deb)?;
    }
    let archive = unpacked.join("usr/src").join(format!("{}.tar.xz", package.name));
    Run::new("tar").arg("-xf").arg(&archive).arg("-C").arg(staging).done()?;
    fs::remove_dir_all(&unpacked)?;
    step.done();
    Ok(staging.join(&package.name))
}

/// Switches on what the options say, and nothing else.
fn configure(tree: &Path, recipe: &Recipe, configuration: &str) -> Result<()> {
    let wanted = tree.join("wanted.config");
    fs::write(&wanted, configuration)?;
    make(tree, recipe).env("KCONFIG_ALLCONFIG", &wanted).arg("allnoconfig").done()?;
    let lost = lost(configuration, &fs::read_to_string(tree.join(".config"))?);
    if !lost.is_empty() {
        bail!("kernel {}: these options need others that are off: {}", recipe.name, lost.join(", "));
    }
    Ok(())
}

/// Options that are wanted and are not as wanted. Of an option named twice the last counts.
fn lost(wanted: &str, made: &str) -> Vec<String> {
    let options = |text: &str| -> BTreeMap<String, String> {
        let lines = text.lines().filter(|line| line.starts_with("CONFIG_"));
        lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect()
    };
    let made = options(made);
    let missing = |(name, value): &(String, String)| made.get(name) != Some(value);
    options(wanted).into_iter().filter(missing).map(|(name, value)| format!("{name}={value}")).collect()
}

/// Brings what was built into the places where packages have it, and drops the rest.
fn install(tree: &Path, recipe: &Recipe, root: &Path) -> Result<()> {
    make(tree, recipe)
        .arg(format!("INSTALL_MOD_PATH={}", root.display()))
        .arg(format!("DEPMOD={DEPMOD}"))
        .arg("modules_install")
        .done()?;
    let release = fs::read_to_string(tree.join("include/config/kernel.release"))?;
    let release = release.trim();
    // They name this tree by the place where it was built.
    for link in ["build", "source"] {
        fs::remove_file(root.join("lib/modules").join(release).join(link))?;
    }
    let (boot, headers) = (root.join("boot"), root.join("usr/src"));
    fs::create_dir_all(&boot)?;
    fs::copy(tree.join("arch/x86/boot/bzImage"), boot.join(format!("vmlinuz-{release}")))?;
    fs::copy(tree.join(".config"), boot.join(format!("config-{release}")))?;
    fs::create_dir_all(&headers)?;
    let headers = headers.join(format!("linux-headers-{release}"));
    fs::create_dir(&headers)?;
    for path in NEEDED {
        fs::rename(tree.join(path), headers.join(path))?;
    }
    for (dir, part) in NEEDED_PARTS {
        fs::create_dir(headers.join(dir))?;
        fs::rename(tree.join(dir).join(part), headers.join(dir).join(part))?;
    }
    Ok(fs::remove_dir_all(tree)?)
}

fn open(recipe: &'static Recipe, root: PathBuf, package_version: String) -> Result<Kernel> {
    let modules = fs::read_dir(root.join("lib/modules"))?.next().context("the kernel has no release")??;
    let release = modules.file_name().to_string_lossy().into_owned();
    Kernel::open(recipe, root, release, package_version)
}

fn make(tree: &Path, recipe: &Recipe) -> Run {
    let jobs = thread::available_parallelism().map_or(1, Into::into);
    Run::new("make").dir(tree).args(&recipe.make).arg(format!("-j{jobs}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_was_dropped_or_changed_is_named() {
        let wanted = "# why\nCONFIG_A=y\nCONFIG_B=y\nCONFIG_C=\"old\"\nCONFIG_C=\"new\"\n";
        assert_eq!(
            lost(wanted, "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"old\"\n"),
            ["CONFIG_B=y", "CONFIG_C=\"new\""]
        );
        assert_eq!(lost(wanted, "CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=\"new\"\n"), [""; 0]);
    }

    #[test]
    fn the_recorded_kernels_have_their_options() {
        for recipe in super::super::all() {
            if let Some(source) = &recipe.source {
                assert!(configuration(source).unwrap().contains("CONFIG_CLEANCACHE=y"), "{}", recipe.name);
            }
        }
    }
}
