//! `cargo xtask image` and `cargo xtask clean`: what guests are made of.

mod debian;
mod kernels;

use anyhow::Result;
use images::Cache;

/// Arguments of `cargo xtask image`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    product: Option<Product>,
    #[command(flatten)]
    kernels: kernels::KernelArguments,
}

#[derive(clap::Subcommand)]
enum Product {
    /// Make a root disk with Debian on it, and what is needed to run it
    Debian(debian::Arguments),
}

/// Makes what was asked for; nothing named, the kernels and the driver for each.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.product {
        Some(Product::Debian(debian)) => debian::run(debian),
        None => kernels::run(&arguments.kernels),
    }
}

/// Empties the cache.
pub fn clean() -> Result<()> {
    let cache = Cache::open()?;
    let root = cache.root().to_owned();
    cache.clear()?;
    println!("emptied {}", root.display());
    Ok(())
}
