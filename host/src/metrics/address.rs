//! Where metrics are served.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Where metrics are served: loopback, or a Unix socket. Who may see every VM is not for the network to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address of this host's loopback.
    Loopback(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Why a text is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// it is neither an address with a port nor a path
    #[error("{0:?} is no address; write 127.0.0.1:9464, [::1]:9464 or unix:/run/tmem/metrics.sock")]
    Form(String),
    /// it is not of this host alone
    #[error("{0} is no loopback address; a proxy in front of 127.0.0.1 can decide who may see metrics")]
    NotLoopback(IpAddr),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        let address: SocketAddr = text.parse().map_err(|_| AddressError::Form(text.to_owned()))?;
        if address.ip().is_loopback() {
            Ok(Self::Loopback(address))
        } else {
            Err(AddressError::NotLoopback(address.ip()))
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_stay_on_the_host() {
        assert_eq!("127.0.0.1:9464".parse(), Ok(Address::Loopback("127.0.0.1:9464".parse().unwrap())));
        assert!("[::1]:9464".parse::<Address>().is_ok());
        assert_eq!("unix:/run/m.sock".parse(), Ok(Address::Unix("/run/m.sock".into())));
        let message = |text: &str| text.parse::<Address>().unwrap_err().to_string();
        assert!(message("0.0.0.0:9464").contains("is no loopback address"));
        assert!(message("[2001:db8::1]:1").contains("is no loopback address"));
        for text in ["", "9464", "localhost:9464", "unix:", "/run/m.sock"] {
            assert!(message(text).contains("is no address; write 127.0.0.1:9464"), "{text}");
        }
    }
}
