//! The name of a VM, which is also the name of its socket.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name in bytes. With [`SOCKET_PREFIX`] it stays well below the 107 bytes that `sockaddr_un` has for an
/// abstract name (unix(7)).
pub const NAME_MAX_BYTES: usize = 64;

/// What the abstract socket names of all VMs start with.
pub const SOCKET_PREFIX: &str = "tmem/vm/";

/// A name that is safe in a socket name, in a terminal and in a metric's label: `[A-Za-z0-9._-]{1,64}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VmName(String);

/// Why a text is no [`VmName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// a VM's name is empty
    #[error("a VM's name is empty")]
    Empty,
    /// a VM's name is too long
    #[error("a VM's name has {len} bytes, at most {NAME_MAX_BYTES} are allowed")]
    TooLong {
        /// Length of the text in bytes.
        len: usize,
    },
    /// a VM's name has a character outside the allowed set
    #[error("{character:?} in a VM's name, allowed are A-Z a-z 0-9 . _ -")]
    Character {
        /// The first such character.
        character: char,
    },
}

impl VmName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The abstract name of this VM's socket, without the NUL byte that makes it abstract.
    #[must_use]
    pub fn socket_name(&self) -> String {
        format!("{SOCKET_PREFIX}{}", self.0)
    }

    /// The VM whose socket has this abstract name, if it is one of ours.
    #[must_use]
    pub fn from_socket_name(socket_name: &str) -> Option<Self> {
        socket_name.strip_prefix(SOCKET_PREFIX)?.parse().ok()
    }
}

impl FromStr for VmName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_MAX_BYTES {
            return Err(NameError::TooLong { len: text.len() });
        }
        match text.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-')) {
            Some(character) => Err(NameError::Character { character }),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl TryFrom<String> for VmName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<VmName> for String {
    fn from(name: VmName) -> Self {
        name.0
    }
}

impl fmt::Display for VmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad` and not `write_str`: names stand in columns.
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_its_socket_name_lead_to_each_other() {
        let name: VmName = "web-1.blue_A".parse().unwrap();
        assert_eq!(name.socket_name(), "tmem/vm/web-1.blue_A");
        assert_eq!(VmName::from_socket_name("tmem/vm/web-1.blue_A"), Some(name));
    }

    #[test]
    fn names_that_could_break_a_line_a_path_or_a_terminal_are_refused() {
        assert_eq!("".parse::<VmName>(), Err(NameError::Empty));
        assert_eq!("a b".parse::<VmName>(), Err(NameError::Character { character: ' ' }));
        assert_eq!("../x".parse::<VmName>(), Err(NameError::Character { character: '/' }));
        assert_eq!("a\n".parse::<VmName>(), Err(NameError::Character { character: '\n' }));
        assert_eq!("a\u{1b}[2J".parse::<VmName>(), Err(NameError::Character { character: '\u{1b}' }));
        assert_eq!("ä".parse::<VmName>(), Err(NameError::Character { character: 'ä' }));
        assert_eq!("x".repeat(65).parse::<VmName>(), Err(NameError::TooLong { len: 65 }));
        assert!("x".repeat(64).parse::<VmName>().is_ok());
    }

    #[test]
    fn sockets_of_other_programs_are_no_vm() {
        assert_eq!(VmName::from_socket_name("tmem/host"), None);
        assert_eq!(VmName::from_socket_name("tmem/vm/"), None);
        assert_eq!(VmName::from_socket_name("tmem/vm/a/b"), None);
    }
}
