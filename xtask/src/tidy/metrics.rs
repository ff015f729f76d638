//! Whether `docs/metrics.md` has the metrics that the agent registers, with their unit and help.
//!
//! Tidy runs before anything is built, so that it reads names from the source. Labels, types and buckets are compared by
//! a test of the agent, which has the registry itself.

use super::Finding;
use super::source::Source;

/// Where metrics are registered.
const FOLDER: &str = "agent/src/metrics/";
/// What takes them in; it registers nothing of its own.
const REGISTRY: &str = "agent/src/metrics/registry.rs";
const PAGE: &str = "docs/metrics.md";
const WAY_OUT: &str = "run `cargo xtask docs`";

/// Checks the tree's files, each with its text.
pub(super) fn check(files: &[(String, String)]) -> Vec<Finding> {
    let page = files.iter().find(|(path, _)| path == PAGE).map_or("", |(_, text)| text);
    let mut rows: Vec<(usize, &str)> =
        page.lines().enumerate().filter(|(_, line)| is_metric(line)).map(|(index, line)| (index + 1, line)).collect();
    let mut findings = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| path.starts_with(FOLDER) && path != REGISTRY) {
        let source = Source::new(path, text);
        for word in ["register", "register_with_unit", "register_info"] {
            for at in source.words(word).filter(|&at| !source.is_test(at)) {
                let Some(arguments) = source.code[..at].ends_with('.').then(|| &text[at + word.len()..]) else {
                    continue;
                };
                let Some(metric) = Registered::read(arguments, word == "register_with_unit") else {
                    findings.push(
                        source.finding(at, "write name, help and unit as literals: they are compared with the docs"),
                    );
                    continue;
                };
                match rows.iter().position(|(_, row)| metric.is_in(row)) {
                    Some(row) => drop(rows.remove(row)),
                    None => findings.push(source.finding(at, format!("{PAGE} has not {}: {WAY_OUT}", metric.name))),
                }
            }
        }
    }
    let left = rows.into_iter().map(|(line, _)| Finding {
        path: PAGE.to_owned(),
        line,
        reason: format!("no such metric is registered: {WAY_OUT}"),
    });
    findings.extend(left);
    findings
}

/// Rows of metrics have five columns; other tables begin with something else.
fn is_metric(row: &str) -> bool {
    (row.starts_with("| `gracetrace_") || row.starts_with("| `process_")) && row.matches(" | ").count() >= 4
}

/// A metric as the source has it.
#[derive(Debug, PartialEq, Eq)]
struct Registered {
    /// With its unit.
    name: String,
    help: String,
}

impl Registered {
    /// Reads `("name", "help", …`, with a unit as third.
    fn read(arguments: &str, has_unit: bool) -> Option<Registered> {
        let (mut name, rest) = literal(arguments.strip_prefix('(')?)?;
        let (help, rest) = literal(rest.trim_start().strip_prefix(',')?)?;
        if has_unit {
            let unit = rest.trim_start().strip_prefix(',')?.trim_start().strip_prefix("Unit::")?;
            let unit = match unit.strip_prefix("Other(") {
                Some(other) => literal(other)?.0,
                None => unit.split(',').next()?.trim().to_lowercase(),
            };
            name = format!("{name}_{unit}");
        }
        Some(Registered { name, help })
    }

    fn is_in(&self, row: &str) -> bool {
        let mut cells = row.trim_start_matches("| ").split(" | ");
        let name = cells.next().unwrap_or_default().trim_matches('`');
        let name = name.strip_prefix("gracetrace_").unwrap_or(name);
        let bare = name.strip_suffix("_total").or_else(|| name.strip_suffix("_info")).unwrap_or(name);
        [name, bare].contains(&self.name.as_str()) && row.ends_with(&format!(" | {}. |", self.help))
    }
}

/// The string literal that the text begins with, and what follows it.
fn literal(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start().strip_prefix('"')?;
    let mut value = String::new();
    let mut rest = text;
    loop {
        let end = rest.find(['"', '\\'])?;
        value.push_str(&rest[..end]);
        match rest[end..].strip_prefix("\\\n") {
            Some(next) => rest = next.trim_start(),
            None if rest[end..].starts_with('"') => return Some((value, &rest[end + 1..])),
            None => {
                let escaped = rest[end + 1..].chars().next()?;
                value.push(escaped);
                rest = &rest[end + 1 + escaped.len_utf8()..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"fn new(registry: &mut Registry) {
    registry.register("hooks", "Hooks \
        that ran", hooks.clone());
    registry.register_with_unit(
        "age",
        "An \"age\"",
        Unit::Seconds,
        age.clone(),
    );
    registry.register_with_unit("used", "Used", Unit::Other("ratio".to_owned()), used.clone());
}
"#;

    const ROWS: [&str; 3] = [
        "| `gracetrace_hooks_total` | counter |  | `x` | Hooks that ran. |",
        "| `gracetrace_age_seconds` | gauge | seconds |  | An \"age\". |",
        "| `gracetrace_used_ratio` | gauge | ratio |  | Used. |",
    ];

    fn findings(source: &str, rows: &[&str]) -> Vec<String> {
        let page = format!("# Metrics\n\n{}\n", rows.join("\n"));
        let files = [(format!("{FOLDER}x.rs"), source.to_owned()), (PAGE.to_owned(), page)];
        check(&files)
            .into_iter()
            .map(|finding| format!("{}:{}: {}", finding.path, finding.line, finding.reason))
            .collect()
    }

    #[test]
    fn what_agrees_is_fine() {
        assert_eq!(findings(SOURCE, &ROWS), [""; 0]);
    }

    #[test]
    fn what_differs_is_found_on_both_sides() {
        let reason = "docs/metrics.md has not age_seconds: run `cargo xtask docs`";
        assert_eq!(findings(SOURCE, &[ROWS[0], ROWS[2]]), [format!("{FOLDER}x.rs:4: {reason}")]);
        let renamed = findings(&SOURCE.replace("\"hooks\"", "\"calls\""), &ROWS);
        assert_eq!(renamed.len(), 2, "{renamed:?}");
        assert_eq!(renamed[1], "docs/metrics.md:3: no such metric is registered: run `cargo xtask docs`");
        assert_eq!(findings(&SOURCE.replace("that ran", "that run"), &ROWS).len(), 2, "the help counts");
        assert_eq!(findings(&SOURCE.replace("Unit::Seconds", "Unit::Bytes"), &ROWS).len(), 2, "the unit too");
        let computed = findings(&SOURCE.replace("\"hooks\"", "name"), &ROWS);
        assert!(computed[0].contains("as literals"), "{computed:?}");
    }
}
