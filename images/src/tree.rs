//! Directories of sources, without what a build of them left there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// How the names of files end that kbuild makes beside the sources; `guest-driver/.gitignore` has them too.
const BUILT: [&str; 7] = [".o", ".ko", ".mod", ".mod.c", ".cmd", "Module.symvers", "modules.order"];

/// What is in a directory of sources, in the order of the names.
pub(crate) fn sources_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut entries = fs::read_dir(dir)
        .with_context(|| format!("cannot read {}", dir.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    entries.retain(|path| !is_built(path));
    entries.sort();
    Ok(entries)
}

fn is_built(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    BUILT.iter().any(|end| name.ends_with(end)) || name == ".tmp_versions"
}

/// Copies a directory of sources.
pub(crate) fn copy_sources(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for from in sources_in(from)? {
        let to = to.join(from.file_name().unwrap_or_default());
        if from.is_dir() {
            copy_sources(&from, &to)?;
        } else {
            fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_build_left_is_not_copied() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("compat")).unwrap();
        for name in ["a.c", "a.o", ".a.o.cmd", "tmem.ko", "tmem.mod.c", "Module.symvers", "compat/b.h", "compat/b.o"] {
            fs::write(from.join(name), name).unwrap();
        }
        copy_sources(&from, &to).unwrap();
        assert_eq!(sources_in(&to).unwrap(), [to.join("a.c"), to.join("compat")]);
        assert_eq!(fs::read_dir(to.join("compat")).unwrap().count(), 1);
    }
}
