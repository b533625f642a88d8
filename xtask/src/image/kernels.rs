//! `cargo xtask image` itself: kernels, and the driver for each.

use std::iter;

use anyhow::{Result, bail};
use images::{
    Cache, driver,
    kernels::{self, Kernel, Recipe},
    requirements,
};

/// Arguments of `cargo xtask image`.
#[derive(clap::Args)]
pub struct KernelArguments {
    /// Only this kernel: 5.10, 5.10-reference, 5.10-debug, 6.1, 6.12 or sid [default: all]
    #[arg(long)]
    kernel: Option<String>,
    /// Only fetch, build no driver
    #[arg(long)]
    fetch_only: bool,
    /// Build the driver with its test store inside the guest
    #[arg(long)]
    debug: bool,
}

/// Fetches kernels, builds the driver for each, and prints where they are.
pub fn run(arguments: &KernelArguments) -> Result<()> {
    let recipes = match &arguments.kernel {
        Some(name) => vec![kernels::named(name)?],
        None => kernels::all().iter().collect(),
    };
    requirements::install()?;
    let cache = Cache::open()?;
    let failed: Vec<_> = recipes.into_iter().filter(|recipe| !made(&cache, recipe, arguments)).collect();
    if failed.is_empty() {
        return Ok(());
    }
    bail!("not made: {}", failed.iter().map(|recipe| recipe.name.as_str()).collect::<Vec<_>>().join(", "))
}

/// Makes one kernel ready. A failure is printed; it counts only where that version is known to work.
fn made(cache: &Cache, recipe: &'static Recipe, arguments: &KernelArguments) -> bool {
    let kernel = match kernels::fetch(cache, &recipe.name) {
        Ok(kernel) => kernel,
        Err(error) => {
            eprintln!("error: {error:#}");
            return false;
        }
    };
    match show(cache, &kernel, arguments) {
        Ok(()) => true,
        Err(error) => {
            let tried = recipe.follow && !kernel.is_known_good();
            let standing = if tried { "new and not counted" } else { "error" };
            eprintln!("{standing}: kernel {} {}: {error:#}", recipe.name, kernel.release);
            tried
        }
    }
}

fn show(cache: &Cache, kernel: &Kernel, arguments: &KernelArguments) -> Result<()> {
    let standing = if kernel.is_known_good() { "known good" } else { "newer than recorded" };
    println!("{} {} ({standing})", kernel.recipe.name, kernel.release);
    println!("  image    {}", kernel.bzimage.display());
    println!("  config   {}", kernel.config.display());
    println!("  modules  {}", kernel.modules_dir.display());
    if !arguments.fetch_only {
        let driver = driver::build(cache, kernel, arguments.debug)?;
        for module in iter::once(&driver.tmem).chain(&driver.disk_cache) {
            println!("  driver   {}", module.display());
        }
    }
    Ok(())
}
