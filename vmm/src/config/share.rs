//! `tmem.service` and `tmem.policy`: who says what the store may hold.

use std::path::PathBuf;

use toml::Spanned;

use super::ShareConfig;
use super::document::ConfigFile;
use super::error::{ConfigError, Problem};
use super::setting::Setting;

/// `sun_path` of a Unix socket has 108 bytes, the last of them NUL (unix(7)).
const SOCKET_PATH_MAX_BYTES: usize = 107;

/// The service where one is named, which need not be there; else the policy, which must be there and valid.
pub(super) fn share(
    file: &ConfigFile,
    service: Option<Spanned<PathBuf>>,
    policy: Option<Spanned<PathBuf>>,
) -> Result<ShareConfig, ConfigError> {
    let service = service.map(|path| Setting::path_of_key(file, "tmem.service", path));
    let policy = policy.map(|path| Setting::path_of_key(file, "tmem.policy", path));
    match (service, policy) {
        (None, None) => Ok(ShareConfig::Alone),
        (Some(_), Some(policy)) => Err(policy.fail(Problem::ServiceAndPolicy)),
        (Some(service), None) => {
            if service.value.as_os_str().len() > SOCKET_PATH_MAX_BYTES {
                return Err(service.fail(Problem::SocketPath { max_bytes: SOCKET_PATH_MAX_BYTES }));
            }
            Ok(ShareConfig::Service(service.value))
        }
        (None, Some(path)) => {
            let invalid = |text: String| path.fail(Problem::Policy(text));
            let files = policy::load(&path.value).map_err(|error| invalid(error.to_string()))?;
            let reading = policy::read(files, observe::memory_bytes());
            let policy = reading
                .policy
                .map_err(|mistakes| invalid(mistakes.first().map(ToString::to_string).unwrap_or_default()))?;
            Ok(ShareConfig::Policy(Box::new(policy)))
        }
    }
}
