//! Module builds: the guest driver for one kernel.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result, ensure};

use crate::{
    Cache, Key,
    build_root::{self, BuildRoot},
    command::Run,
    kernels::{BuildIn, Kernel},
    progress::Step,
    tree::copy_sources,
    workspace,
};

/// The guest driver, built.
#[derive(Debug, Clone)]
pub struct Driver {
    /// `tmem.ko`.
    pub tmem: PathBuf,
    /// `dm-tmem.ko`, where the kernel has a device mapper.
    pub disk_cache: Option<PathBuf>,
}

/// Builds the guest driver of this checkout for `kernel`.
///
/// `debug` adds the test store inside the guest, see `guest-driver/Kconfig`.
///
/// # Errors
/// What the compiler said where the driver does not build; failures to make a build root.
pub fn build(cache: &Cache, kernel: &Kernel, debug: bool) -> Result<Driver> {
    let sources = workspace().join("guest-driver");
    let abi = workspace().join("hypercall-abi/include");
    let options: &[&str] = if debug { &["CONFIG_TMEM_DEBUG=y"] } else { &[] };
    let built = build_modules(cache, kernel, &sources, &[(&abi, "include")], options)?;
    let (tmem, disk_cache) = (built.join("tmem.ko"), built.join("dm-tmem.ko"));
    ensure!(tmem.exists(), "the build made no tmem.ko");
    Ok(Driver { tmem, disk_cache: disk_cache.exists().then_some(disk_cache) })
}

/// Builds the modules of `sources` for `kernel`: in a copy, to which each of `extra` is added as a subdirectory, with
/// `options` for make. Returns the directory where they are.
fn build_modules(
    cache: &Cache,
    kernel: &Kernel,
    sources: &Path,
    extra: &[(&Path, &str)],
    options: &[&str],
) -> Result<PathBuf> {
    let key = || -> Result<String> {
        let mut key =
            Key::new().with(&kernel.release).with(&kernel.package_version).with("modules").with_tree(sources)?;
        for (dir, place) in extra {
            key = key.with(place).with_tree(dir)?;
        }
        for option in kernel.recipe.make.iter().map(String::as_str).chain(options.iter().copied()) {
            key = key.with(option);
        }
        if kernel.recipe.build_in == BuildIn::Machine {
            key = key.with(Run::new(kernel.recipe.compiler()).arg("--version").bytes()?);
        }
        Ok(key.name())
    };
    let made_of = key()?;
    cache.entry("modules", &made_of, |staging| {
        let tree = staging.join("build");
        copy_sources(sources, &tree)?;
        for (dir, place) in extra {
            copy_sources(dir, &tree.join(place))?;
        }
        ensure!(key()? == made_of, "{} changed while it was being copied; run this again", sources.display());
        let make = make_in(cache, kernel, &tree)?;
        let step = Step::start(format!("building the driver for {}", kernel.release));
        make.args(&kernel.recipe.make)
            .args(options)
            .arg("modules")
            .done()
            .with_context(|| format!("the driver does not build for {}", kernel.release))?;
        for entry in fs::read_dir(&tree)? {
            let path = entry?.path();
            if let (Some("ko"), Some(name)) = (path.extension().and_then(OsStr::to_str), path.file_name()) {
                fs::rename(&path, staging.join(name))?;
            }
        }
        fs::remove_dir_all(&tree)?;
        step.done();
        Ok(())
    })
}

/// The command `make` for a module in `tree`, with whose tools the kernel's recipe says; without a target yet.
fn make_in(cache: &Cache, kernel: &Kernel, tree: &Path) -> Result<Run> {
    let (make, headers, module) = match kernel.recipe.build_in {
        BuildIn::Machine => (Run::new("make"), kernel.headers(), tree.to_path_buf()),
        BuildIn::Suite => {
            let inside = Path::new(build_root::KERNEL);
            let headers = inside.join(kernel.headers().strip_prefix(&kernel.root)?);
            let enter = BuildRoot::of(cache, kernel)?.command(kernel, tree);
            (enter.arg("make"), headers, build_root::MODULE.into())
        }
    };
    let jobs = thread::available_parallelism().map_or(1, Into::into);
    Ok(make.arg("-C").arg(headers).arg(format!("M={}", module.display())).arg(format!("-j{jobs}")))
}
