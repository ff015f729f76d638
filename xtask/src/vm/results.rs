//! What a guest tells on its second serial port.

/// The results of one guest.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Results {
    /// The kernel's release, as uname(2) tells it.
    pub(super) release: String,
    /// Hooks, and whether they work.
    pub(super) hooks: Vec<(String, bool)>,
    /// Cases with what they are about, and whether they went well.
    pub(super) cases: Vec<Case>,
    /// What went wrong, with the hook or case before it.
    pub(super) faults: Vec<String>,
    /// What is worth knowing and no fault.
    pub(super) notes: Vec<String>,
    /// The suite's own sum.
    pub(super) summary: Option<String>,
    /// The suite's exit status; without it the guest broke down.
    pub(super) exit: Option<i32>,
}

/// A case of the suite.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) good: bool,
}

impl Results {
    /// Reads them.
    pub(super) fn parse(text: &str) -> Results {
        let mut results = Results::default();
        let mut last = "suite".to_owned();
        for line in text.lines() {
            let line = line.trim_end_matches('\r');
            if let Some(code) = line.strip_prefix("EXIT=") {
                results.exit = code.parse().ok();
                continue;
            }
            let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
            match kind {
                "KERNEL" => results.release = rest.to_owned(),
                "HOOK" => {
                    let (name, works) = rest.split_once(' ').unwrap_or((rest, ""));
                    last = name.to_owned();
                    results.hooks.push((name.to_owned(), works == "yes"));
                }
                "CASE" => {
                    let mut words = rest.splitn(3, ' ');
                    let mut word = || words.next().unwrap_or_default().to_owned();
                    let (name, outcome, about) = (word(), word(), word());
                    last.clone_from(&name);
                    results.cases.push(Case { name, about, good: outcome == "pass" });
                }
                "FAULT" => results.faults.push(format!("{last}: {rest}")),
                "NOTE" => results.notes.push(rest.to_owned()),
                "SUMMARY" => results.summary = Some(rest.to_owned()),
                // A line that was cut off.
                _ => {}
            }
        }
        results
    }

    /// Whether everything went well, said so explicitly.
    pub(super) fn are_good(&self) -> bool {
        self.exit == Some(0) && self.faults.is_empty() && self.summary.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_run() {
        let text = "KERNEL 6.1.0-1\r\nCASE oom pass one is killed\r\nHOOK a yes\r\nHOOK b missing\r\n\
                    NOTE a left one out\r\nSUMMARY 3 passed, 0 failed\r\nEXIT=0\r\n";
        let results = Results::parse(text);
        assert!(results.are_good());
        assert_eq!(results.release, "6.1.0-1");
        assert_eq!(results.notes, ["a left one out"]);
        assert_eq!(results.hooks, [("a".to_owned(), true), ("b".to_owned(), false)]);
        let case = Case { name: "oom".to_owned(), about: "one is killed".to_owned(), good: true };
        assert_eq!(results.cases, [case]);
    }

    #[test]
    fn silence_is_no_success() {
        assert!(!Results::parse("").are_good());
        assert!(!Results::parse("KERNEL x\nSUMMARY 1 passed, 0 failed\n").are_good(), "it was not seen to end");
        assert!(!Results::parse("EXIT=0\n").are_good(), "nothing was tried");
        let faulty = Results::parse("CASE a fail about\nFAULT it is not\nSUMMARY 0 passed, 1 failed\nEXIT=1\n");
        assert_eq!(faulty.faults, ["a: it is not"]);
        assert!(!faulty.are_good());
    }
}
