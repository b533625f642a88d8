//! `vm.toml` as text: reading it, its schema, and finding the line and key of a mistake.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use policy::{ByteSize, SizeOrPercent};
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place, Problem};
use super::{Codec, CpuModel, Dedup, Eviction, MacAddress};

/// Longest configuration file in bytes.
const TEXT_MAX_BYTES: u64 = 1 << 20;

/// The schema of `vm.toml`, before anything is checked that needs more than the value itself.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub name: Option<Spanned<String>>,
    pub kernel: Option<Spanned<PathBuf>>,
    pub initrd: Option<Spanned<PathBuf>>,
    pub cmdline: Option<Spanned<String>>,
    pub vcpus: Option<Spanned<i64>>,
    pub memory: Option<Spanned<ByteSize>>,
    pub cpu: Option<Spanned<CpuModel>>,
    pub console: Option<Spanned<String>>,
    #[serde(default)]
    pub disk: Vec<DiskTable>,
    #[serde(default)]
    pub net: Vec<NetTable>,
    #[serde(default)]
    pub tmem: TmemTable,
}

/// One `[[disk]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DiskTable {
    pub path: Spanned<PathBuf>,
    #[serde(default)]
    pub read_only: bool,
    #[serde(default)]
    pub direct: bool,
    pub id: Option<Spanned<String>>,
}

/// One `[[net]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NetTable {
    pub tap: Spanned<String>,
    pub mac: Option<Spanned<MacAddress>>,
}

/// `[tmem]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TmemTable {
    pub enabled: Option<bool>,
    pub service: Option<Spanned<PathBuf>>,
    pub policy: Option<Spanned<PathBuf>>,
    pub limit: Option<Spanned<SizeOrPercent>>,
    pub reservation: Option<Spanned<SizeOrPercent>>,
    pub label: Option<Spanned<String>>,
    pub codec: Option<Codec>,
    pub staging: Option<Spanned<ByteSize>>,
    pub dedup: Option<Dedup>,
    pub eviction: Option<Eviction>,
    pub recompress_after_seconds: Option<u32>,
}

/// The text of a configuration file.
#[derive(Debug)]
pub(super) struct ConfigFile {
    path: PathBuf,
    text: String,
}

impl ConfigFile {
    /// Reads the file, at most [`TEXT_MAX_BYTES`] of it.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let fail = |problem| ConfigError::new(Place::File { path: path.to_owned(), line: None, key: None }, problem);
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(TEXT_MAX_BYTES + 1).read_to_string(&mut text))
            .map_err(|error| fail(Problem::Unreadable(error)))?;
        if u64::try_from(text.len()).is_ok_and(|len| len > TEXT_MAX_BYTES) {
            return Err(fail(Problem::TooLong { max_bytes: TEXT_MAX_BYTES }));
        }
        Ok(Self { path: path.to_owned(), text })
    }

    /// The file's name without its extension, if that is text.
    pub fn stem(&self) -> Option<&str> {
        self.path.file_stem()?.to_str()
    }

    /// The text in the schema.
    pub fn parse(&self) -> Result<Document, ConfigError> {
        toml::from_str(&self.text).map_err(|error| {
            let line = error.span().map(|span| self.line(&span));
            let key = error.span().and_then(|span| self.key_at(span.start));
            let place = Place::File { path: self.path.clone(), line, key };
            ConfigError::new(place, Problem::Text(error.message().to_owned()))
        })
    }

    /// Where a key's value stands.
    pub fn place_of(&self, key: &str, span: &Range<usize>) -> Place {
        Place::File { path: self.path.clone(), line: Some(self.line(span)), key: Some(key.to_owned()) }
    }

    /// The place of a key that is not there.
    pub fn place_without_line(&self, key: &str) -> Place {
        Place::File { path: self.path.clone(), line: None, key: Some(key.to_owned()) }
    }

    /// The path that a value of this file means: paths are relative to the folder of the file.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    fn line(&self, span: &Range<usize>) -> usize {
        self.text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1
    }

    /// The key at, or whose value is at, a byte offset. `None` where the text is not even TOML.
    fn key_at(&self, offset: usize) -> Option<String> {
        let table = DeTable::parse(&self.text).ok()?;
        key_in_table(table.get_ref(), offset)
    }
}

/// The innermost key at the offset. The span of a table is that of its header, so the search goes into every table and
/// not only into those whose span has the offset. Its depth is bounded by the parser's own recursion limit.
fn key_in_table(table: &DeTable<'_>, offset: usize) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let inner = match value.get_ref() {
            DeValue::Table(inner) => key_in_table(inner, offset),
            DeValue::Array(array) => array.iter().find_map(|element| match element.get_ref() {
                DeValue::Table(inner) => key_in_table(inner, offset),
                _ => None,
            }),
            _ => None,
        };
        match inner {
            Some(inner) => Some(format!("{}.{inner}", key.get_ref())),
            None if key.span().contains(&offset) || value.span().contains(&offset) => Some(key.get_ref().to_string()),
            None => None,
        }
    })
}
