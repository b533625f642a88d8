//! A value together with the place where it was set.

use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;

use super::document::ConfigFile;
use super::error::{ConfigError, Place, Problem};

/// A value and its place, so that a later check can name the key or the flag.
#[derive(Debug)]
pub(super) struct Setting<T> {
    pub value: T,
    pub place: Place,
}

impl<T> Setting<T> {
    /// The value of a key.
    pub fn of_key(file: &ConfigFile, key: &str, spanned: Spanned<T>) -> Self {
        let Range { start, end } = spanned.span();
        Self { value: spanned.into_inner(), place: file.place_of(key, &(start..end)) }
    }

    /// The flag where it is given, else the key where it is there.
    pub fn choose(
        file: &ConfigFile,
        key: &str,
        spanned: Option<Spanned<T>>,
        flag_name: &'static str,
        flag: Option<T>,
    ) -> Option<Self> {
        match flag {
            Some(value) => Some(Self { value, place: Place::Flag(flag_name) }),
            None => spanned.map(|spanned| Self::of_key(file, key, spanned)),
        }
    }

    /// The same place, with a value made from this one.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Setting<U> {
        Setting { value: make(self.value), place: self.place }
    }

    /// This setting is wrong.
    pub fn fail(&self, problem: Problem) -> ConfigError {
        ConfigError::new(self.place.clone(), problem)
    }
}

impl Setting<PathBuf> {
    /// As [`Setting::choose`]; a path in the file is relative to the file's folder, one in a flag to the current folder.
    pub fn choose_path(
        file: &ConfigFile,
        key: &str,
        spanned: Option<Spanned<PathBuf>>,
        flag_name: &'static str,
        flag: Option<PathBuf>,
    ) -> Option<Self> {
        match flag {
            Some(value) => Some(Self { value, place: Place::Flag(flag_name) }),
            None => spanned.map(|spanned| Self::path_of_key(file, key, spanned)),
        }
    }

    /// As [`Setting::of_key`], relative to the file's folder.
    pub fn path_of_key(file: &ConfigFile, key: &str, spanned: Spanned<PathBuf>) -> Self {
        Setting::of_key(file, key, spanned).map(|path| file.resolve(&path))
    }
}
