//! Short texts that are passed on: to the guest, into messages, onto terminals.

use super::error::{ConfigError, Problem};
use super::setting::Setting;

/// The text, if it has 1 to `max_bytes` printable ASCII characters. Nothing else is safe in all the places such a text
/// goes to: the kernel's command line, a terminal, a metric's label.
pub(super) fn printable(
    setting: Setting<String>,
    max_bytes: usize,
    allowed: &'static str,
) -> Result<String, ConfigError> {
    if let Some(character) = setting.value.chars().find(|c| !matches!(c, ' '..='~')) {
        return Err(setting.fail(Problem::Character { character }));
    }
    if setting.value.is_empty() || setting.value.len() > max_bytes {
        let value = i64::try_from(setting.value.len()).unwrap_or(i64::MAX);
        return Err(setting.fail(Problem::OutOfRange { value, allowed }));
    }
    Ok(setting.value)
}
