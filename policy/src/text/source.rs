//! The files of a policy, laid end to end, so that one number says both the file and the place in it.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// The text that every policy starts from.
const DEFAULTS: &str = include_str!("../defaults.toml");

/// One file of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where it was found; what mistakes in it are told with.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// All files of a policy in the order in which they are merged. The defaults come first.
#[derive(Clone, Debug)]
pub struct Sources(Vec<Source>);

/// Where something stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// Its line, counted from 1.
    pub line: usize,
    /// The character in the line, counted from 1.
    pub column: usize,
    /// The bytes of the file's text.
    pub bytes: Range<usize>,
    /// The key, with the keys of the tables around it; `None` where the text is not even TOML.
    pub key: Option<String>,
}

impl Sources {
    /// These files on top of the defaults.
    pub(super) fn new(sources: Vec<Source>) -> Self {
        let defaults = Source { path: PathBuf::new(), text: DEFAULTS.to_owned() };
        Self(std::iter::once(defaults).chain(sources).collect())
    }

    /// The text of a file.
    #[must_use]
    pub fn text(&self, path: &Path) -> Option<&str> {
        self.0.iter().find(|source| source.path == path).map(|source| source.text.as_str())
    }

    /// Each file with the offset of its text, the defaults first.
    pub(super) fn with_offsets(&self) -> impl Iterator<Item = (usize, &Source)> {
        self.0.iter().scan(0, |next, source| {
            let offset = *next;
            // One byte between two files, so that the end of one is not the beginning of the next.
            *next += source.text.len() + 1;
            Some((offset, source))
        })
    }

    /// Whether what stands there was written by somebody and is no default.
    pub(crate) fn is_written(&self, span: &Range<usize>) -> bool {
        span.start > DEFAULTS.len()
    }

    /// The place of a span over all files.
    pub(crate) fn place(&self, span: &Range<usize>, key: Option<String>) -> Place {
        let found = self.with_offsets().filter(|(offset, _)| *offset <= span.start).last();
        let (path, text, offset) = found
            .map_or((PathBuf::new(), "", 0), |(offset, source)| (source.path.clone(), source.text.as_str(), offset));
        let start = text.floor_char_boundary((span.start - offset).min(text.len()));
        let end = text.ceil_char_boundary((span.end.max(span.start) - offset).min(text.len()));
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |feed| feed + 1);
        Place {
            path,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            bytes: start..end,
            key,
        }
    }
}
