//! Programs of this workspace, linked statically so that they run in an image without libraries.

use std::{env, path::PathBuf};

use anyhow::{Context, Result, ensure};

use crate::{command::Run, progress::Step, workspace};

/// The target is named although it is the machine's own: only then do the flags stay away from build scripts and
/// procedural macros, which cannot be static.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds the binary `name` of any crate of the workspace, optimised and static, and returns its path.
///
/// It has a target directory of its own, so that its flags never cause a rebuild of the rest.
///
/// # Errors
/// Where the build fails.
pub fn guest(name: &str) -> Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let target = std::path::absolute(target)?.join("guest");
    let step = Step::start(format!("building {name} for guests"));
    Run::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--release", "--workspace", "--bin", name, "--target", TARGET, "--target-dir"])
        .arg(&target)
        .dir(&workspace())
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        // Symbols stay for backtraces; the rest would be most of the image.
        .env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo")
        .done()
        .with_context(|| format!("cannot build {name}"))?;
    step.done();
    let path = target.join(TARGET).join("release").join(name);
    ensure!(path.exists(), "cargo built no {}", path.display());
    Ok(path)
}
