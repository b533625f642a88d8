//! `tmem check`

use std::process::ExitCode;

use anyhow::Result;
use vmm::host_check::{Finding, Standing, check_host};

use crate::screen;

/// Says what this host can do for VMs; an exit code of failure where none can run.
pub fn check(json: bool) -> Result<ExitCode> {
    let findings = check_host();
    let text = if json { format!("{}\n", serde_json::to_string_pretty(&findings)?) } else { in_words(&findings) };
    screen::print(&text)?;
    let is_bad = findings.iter().any(|finding| finding.standing == Standing::Bad);
    Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn in_words(findings: &[Finding]) -> String {
    let rows = findings.iter().flat_map(|finding| {
        let standing = match finding.standing {
            Standing::Good => "ok",
            Standing::Weak => "weak",
            Standing::Bad => "BAD",
        };
        let found = [finding.thing, standing, &finding.found].map(str::to_owned);
        let mend = finding.mend.as_ref().map(|mend| [String::new(), String::new(), format!("→ {mend}")]);
        std::iter::once(found).chain(mend)
    });
    let mut text = screen::table(rows);
    let verdict = match findings.iter().map(|finding| finding.standing).max() {
        Some(Standing::Bad) => "This host cannot run VMs until what is BAD is mended.",
        Some(Standing::Weak) => "This host runs VMs; what is weak can be better.",
        _ => "This host runs VMs.",
    };
    text.push_str(&format!("\n{verdict}\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(standing: Standing, mend: Option<&str>) -> Finding {
        Finding { thing: "kvm", standing, found: "as found".into(), mend: mend.map(Into::into) }
    }

    #[test]
    fn each_finding_is_followed_by_its_remedy() {
        let findings = [finding(Standing::Good, None), finding(Standing::Bad, Some("mend it"))];
        let wanted = "\
kvm  ok   as found
kvm  BAD  as found
          → mend it

This host cannot run VMs until what is BAD is mended.
";
        assert_eq!(in_words(&findings), wanted);
        assert!(in_words(&findings[..1]).ends_with("\nThis host runs VMs.\n"));
    }

    #[test]
    fn findings_are_plain_json() {
        let json = serde_json::to_value(finding(Standing::Weak, Some("so"))).unwrap();
        let wanted = serde_json::json!({ "thing": "kvm", "standing": "weak", "found": "as found", "mend": "so" });
        assert_eq!(json, wanted);
    }
}
