//! Which mirror this machine's own apt uses: no host name is written into this project.

use std::{env, fs, path::Path};

use anyhow::{Result, bail};

use crate::command::Run;

/// Overrides what apt's configuration says, for machines that are not Debian themselves.
pub(super) const OVERRIDE: &str = "TMEM_DEBIAN_MIRROR";

/// The address of the Debian archive, as the machine's apt has it.
///
/// apt's own answer is used where it has package lists; where it has none (a fresh container), its source files are
/// searched for an address that ends in `/debian`, in either of their formats.
pub(super) fn address() -> Result<String> {
    if let Ok(address) = env::var(OVERRIDE) {
        return Ok(address);
    }
    let targets = Run::new("apt-get")
        .args(["indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages"])
        .text()?;
    match of_targets(&targets).or_else(of_source_files) {
        Some(address) => Ok(address),
        None => bail!("no Debian mirror among apt's sources; set {OVERRIDE} to the address of one"),
    }
}

/// The first target of the Debian archive itself, not of its security or third-party ones.
fn of_targets(targets: &str) -> Option<String> {
    targets.lines().find_map(|line| line.strip_prefix("Debian|Debian|")).map(str::to_owned)
}

fn of_source_files() -> Option<String> {
    let places = Run::new("apt-config")
        .args(["shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"])
        .text()
        .ok()?;
    let value = |name| places.lines().find_map(|line| line.strip_prefix(name)).map(|path| path.trim_matches('\''));
    let mut files: Vec<_> = value("PARTS=")
        .and_then(|dir| fs::read_dir(Path::new(dir)).ok())
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|kind| kind == "list" || kind == "sources"))
        .collect();
    files.sort();
    files.extend(value("LIST=").map(Into::into));
    files.iter().find_map(|file| of_source_text(&fs::read_to_string(file).ok()?))
}

fn of_source_text(text: &str) -> Option<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace)
        .find(|word| word.contains("://") && word.trim_end_matches('/').ends_with("/debian"))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_told_from_security_and_third_parties() {
        let targets = "Other|Other|http://other.example/debian/\n\
                       Debian|Debian-Security|http://mirror.example/debian-security/\n\
                       Debian|Debian|http://mirror.example/debian/\n";
        assert_eq!(of_targets(targets).unwrap(), "http://mirror.example/debian/");
    }

    #[test]
    fn one_line_sources_are_understood() {
        let text = "# deb http://old.example/debian sid main\ndeb [arch=amd64] http://mirror.example/debian sid main";
        assert_eq!(of_source_text(text).unwrap(), "http://mirror.example/debian");
    }

    #[test]
    fn deb822_sources_are_understood() {
        let text = "Types: deb\nURIs: http://mirror.example/debian-security http://mirror.example/debian/\nSuites: sid";
        assert_eq!(of_source_text(text).unwrap(), "http://mirror.example/debian/");
    }

    #[test]
    fn no_debian_mirror_is_none() {
        assert_eq!(of_source_text("deb http://mirror.example/ubuntu noble main"), None);
    }
}
