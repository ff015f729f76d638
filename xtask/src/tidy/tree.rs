//! Rules for every text file, and for what the tree must have.

use super::Finding;

/// Files without which the tree is not complete.
const NEEDED: [&str; 7] =
    ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", ".ci/run"];

/// Paths that only one machine has, and hosts that only one registry has. Taken apart, so that this file passes too.
const FOREIGN: [(&str, &str, &str); 11] = [
    ("/wo", "rk/", MACHINE),
    ("/ro", "ot/", MACHINE),
    ("/ho", "me/", MACHINE),
    ("/Us", "ers/", MACHINE),
    ("/tmp/ba", "sh_jobs", MACHINE),
    ("/tmp/w", "t/", MACHINE),
    ("index.cra", "tes.io", HOST),
    ("static.cra", "tes.io", HOST),
    ("deb.deb", "ian.org", HOST),
    ("registry.np", "mjs.org", HOST),
    ("py", "pi.org", HOST),
];

const MACHINE: &str = "a path of one machine";
const HOST: &str = "a registry's host";

/// Checks one file.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = foreign(path, text);
    if path == "Cargo.toml" || path.ends_with("/Cargo.toml") {
        findings.extend(licence(path, text));
    }
    if path == "CHANGELOG.md" && !text.contains("## [Unreleased]") {
        findings.push(whole(path, "no section [Unreleased]"));
    }
    findings
}

/// What is not there.
pub(super) fn missing(paths: &[String]) -> Vec<Finding> {
    let missing = NEEDED.into_iter().filter(|needed| !paths.iter().any(|path| path == needed));
    missing.map(|needed| whole(needed, "missing")).collect()
}

fn foreign(path: &str, text: &str) -> Vec<Finding> {
    let patterns = FOREIGN.map(|(first, second, what)| (format!("{first}{second}"), what));
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (pattern, what) in &patterns {
            if line.contains(pattern.as_str()) {
                findings.push(Finding { path: path.to_owned(), line: index + 1, reason: format!("{what}: {pattern}") });
            }
        }
    }
    findings
}

fn licence(path: &str, text: &str) -> Option<Finding> {
    let stated = text.lines().map(|line| line.split_whitespace().collect::<String>());
    let mut stated = stated.filter(|line| line == "license.workspace=true" || line == "license=\"MITORApache-2.0\"");
    stated.next().is_none().then(|| whole(path, "no licence: write license.workspace = true"))
}

fn whole(path: &str, reason: &str) -> Finding {
    Finding { path: path.to_owned(), line: 0, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_hosts_are_found_with_their_line() {
        for (first, second, what) in FOREIGN {
            let findings = check("docs/x.md", &format!("fine\nsee {first}{second}x"));
            assert_eq!(findings.len(), 1, "{first}{second}");
            assert_eq!((findings[0].line, findings[0].reason.starts_with(what)), (2, true));
        }
    }

    #[test]
    fn every_package_states_its_licence() {
        assert_eq!(
            check("x/Cargo.toml", "[package]\nname = \"x\"\n")[0].reason,
            "no licence: write license.workspace = true"
        );
        assert!(check("x/Cargo.toml", "license.workspace = true\n").is_empty());
        assert!(check("Cargo.toml", "license = \"MIT OR Apache-2.0\"\n").is_empty());
    }

    #[test]
    fn the_changelog_and_the_other_pages_are_there() {
        assert_eq!(check("CHANGELOG.md", "# Changelog\n").len(), 1);
        assert_eq!(missing(&[]).len(), NEEDED.len());
        let all: Vec<String> = NEEDED.map(str::to_owned).to_vec();
        assert!(missing(&all).is_empty());
    }
}
