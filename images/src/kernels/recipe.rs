//! The kernels there are, from `images/kernels.toml`.

use std::sync::LazyLock;

use serde::Deserialize;

use super::Error;

/// Where a kernel comes from, which version is known to work, and how modules are built for it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What commands and tests call it: `5.10`, `6.1`, `6.12`, `sid`, `5.10-reference`.
    pub name: String,
    /// The Debian suite that carries it.
    pub suite: String,
    /// The last known good version, as `uname -r` says it.
    pub release: String,
    /// The last known good version of its packages.
    pub package_version: String,
    /// Whether the suite's newest is always tried; a failure of a version not yet known to be good is then reported
    /// by name and fails no run.
    #[serde(default)]
    pub follow: bool,
    /// Where modules are built.
    pub build_in: BuildIn,
    /// Arguments for `make` that a build needs.
    pub make: Vec<String>,
    /// Where it is not a kernel of Debian's: what it is built from.
    pub source: Option<Source>,
}

/// What a kernel of our own is built from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The package that holds the source.
    pub package: String,
    /// Files of `images/kernels` with the options that are on; of an option named twice the last counts.
    pub options: Vec<String>,
}

impl Recipe {
    /// The compiler of this machine that builds for it.
    pub(crate) fn compiler(&self) -> &str {
        self.make.iter().find_map(|argument| argument.strip_prefix("CC=")).unwrap_or("gcc")
    }
}

/// Whose tools build modules for a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildIn {
    /// This machine's.
    Machine,
    /// Those of the kernel's suite, in a build root unpacked from its packages: they need a newer libc than this machine's.
    Suite,
}

#[derive(Deserialize)]
struct File {
    kernel: Vec<Recipe>,
}

static RECIPES: LazyLock<Vec<Recipe>> = LazyLock::new(|| {
    let file: File =
        toml::from_str(include_str!("../../kernels.toml")).expect("kernels.toml is part of the program and tested");
    file.kernel
});

/// All kernels, oldest first.
#[must_use]
pub fn all() -> &'static [Recipe] {
    &RECIPES
}

/// The kernel of that name.
///
/// # Errors
/// [`Error::Unknown`], which lists the names there are.
pub fn named(name: &str) -> Result<&'static Recipe, Error> {
    all().iter().find(|recipe| recipe.name == name).ok_or_else(|| Error::Unknown {
        name: name.to_owned(),
        known: all().iter().map(|recipe| recipe.name.as_str()).collect::<Vec<_>>().join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kernels_are_recorded_and_only_sid_is_followed() {
        let names: Vec<_> = all().iter().map(|recipe| (recipe.name.as_str(), recipe.follow)).collect();
        assert_eq!(
            names,
            [
                ("5.10", false),
                ("5.10-reference", false),
                ("5.10-debug", false),
                ("6.1", false),
                ("6.12", false),
                ("sid", true)
            ]
        );
    }

    #[test]
    fn an_unknown_kernel_is_answered_with_the_known_ones() {
        let error = named("4.19").unwrap_err().to_string();
        assert!(error.contains("4.19") && error.contains("6.12"), "{error}");
    }
}
