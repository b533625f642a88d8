//! What the halves of a case say to each other over the guest's console.
//!
//! The guest prints `@tmem NAME {json}` on a line of its own; where it waits for the host it then reads a line. The
//! console also carries whatever the kernel prints, so that a line counts only from its mark on.

use serde_json::Value;

const MARK: &str = "@tmem ";
/// Name of the marker that ends a guest half that went well.
pub const DONE: &str = "done";
/// Name of the marker that ends a guest half that failed; its value is the reason.
pub const FAILED: &str = "failed";

/// Name of a marker whose value is a figure for people, where there is no host half to print it.
pub const NOTE: &str = "note";

/// Why this cannot be the name of a marker; the other half would never hear it.
#[must_use]
pub fn wrong_name(name: &str) -> Option<String> {
    let wrong = name.is_empty() || name.contains(char::is_whitespace);
    wrong.then(|| format!("a marker's name is one word, not {name:?}"))
}

/// A line for the console.
#[must_use]
pub fn line(name: &str, value: &Value) -> String {
    format!("\n{MARK}{name} {value}\n")
}

/// The name and the value of a marker line.
#[must_use]
pub fn parse(line: &str) -> Option<(&str, Value)> {
    let (_, marked) = line.split_once(MARK)?;
    let (name, value) = marked.split_once(' ')?;
    Some((name, serde_json::from_str(value.trim_end()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_marker_is_found_behind_a_kernel_message() {
        let text = line("full", &json!({ "pages": 3 }));
        let noisy = format!("[    1.0] something{}", text.trim());
        assert_eq!(parse(&noisy), Some(("full", json!({ "pages": 3 }))));
        assert_eq!(parse("@tmem full {\"pages\": 3"), None, "a line that is not whole is none");
    }

    #[test]
    fn a_name_that_would_not_be_heard_is_refused() {
        assert_eq!(wrong_name("all-given"), None);
        assert!(wrong_name("all given").is_some_and(|why| why.contains("one word")));
        assert_eq!(parse(&line("all given", &json!(null))), None);
    }
}
