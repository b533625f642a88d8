//! Why a policy is not put in force, in words for those who may know the VMs and for those who may not.

/// Most VMs that are named.
const NAMED_MAX: usize = 10;

/// Most of a text that is kept, in characters: it goes into a message with others, and may quote a file.
const TEXT_MAX_CHARS: usize = 2000;

/// VMs that a policy could not serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("with it these VMs would not have their reservation: {}", in_words(.0))]
pub(crate) struct Unservable(pub Vec<String>);

/// Some of the names, and how many more there are.
fn in_words(names: &[String]) -> String {
    let named = names.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// Why a policy is not put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Objection {
    full: String,
    /// Without the names of VMs.
    discreet: String,
}

impl Objection {
    /// About the policy's files.
    pub(crate) fn of_files(error: &impl ToString) -> Self {
        let full: String = error.to_string().chars().take(TEXT_MAX_CHARS).collect();
        Self { discreet: full.clone(), full }
    }

    /// What an operator is told, or anybody.
    pub(crate) fn to(&self, is_operator: bool) -> &str {
        if is_operator { &self.full } else { &self.discreet }
    }
}

impl From<Unservable> for Objection {
    fn from(short: Unservable) -> Self {
        let count = short.0.len();
        Self { full: short.to_string(), discreet: format!("with it {count} VMs would not have their reservation") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_told_some_names_and_others_a_number() {
        let names: Vec<String> = (0..1000).map(|n| format!("vm{n:03}")).collect();
        let objection = Objection::from(Unservable(names));
        let named = "vm000, vm001, vm002, vm003, vm004, vm005, vm006, vm007, vm008, vm009 and 990 more";
        assert_eq!(objection.to(true), format!("with it these VMs would not have their reservation: {named}"));
        assert_eq!(objection.to(false), "with it 1000 VMs would not have their reservation");
        assert!(Unservable(vec!["a".into(), "b".into()]).to_string().ends_with(": a, b"));
    }

    #[test]
    fn what_a_file_says_fits_into_a_message() {
        let objection = Objection::of_files(&"\u{1b}".repeat(1 << 20));
        let status = serde_json::to_string(objection.to(true)).unwrap();
        assert!(status.len() < protocol::MESSAGE_MAX_BYTES / 2, "{}", status.len());
    }
}
