//! Files that a task writes and that are checked in.

use std::fs;

use super::Finding;
use crate::command;

/// Those that are not what the task would write now.
pub(super) fn check(files: &[(String, String)], task: &str) -> Vec<Finding> {
    let differs = |path: &str, text: &str| {
        fs::read_to_string(command::workspace().join(path)).map_or(true, |found| found != text)
    };
    let stale = files.iter().filter(|(path, text)| differs(path, text));
    stale
        .map(|(path, _)| Finding { path: path.clone(), line: 0, reason: format!("out of date: run `{task}`") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_differs_or_is_missing_is_out_of_date() {
        let path = "xtask/src/tidy/generated.rs";
        let text = fs::read_to_string(command::workspace().join(path)).unwrap();
        let check = |path: &str, text: &str| check(&[(path.to_owned(), text.to_owned())], "this");
        assert!(check(path, &text).is_empty());
        assert_eq!(check(path, &(text.clone() + "x"))[0].reason, "out of date: run `this`");
        assert_eq!(check("deploy/none.json", &text).len(), 1);
    }
}
