//! Which module of the agent may use which: the arrows of ARCHITECTURE.md.

use super::Finding;
use super::source::{Source, is_word};

/// What one module, with all below it, may use of the crate. The longest path wins.
struct Rule {
    module: &'static str,
    may: &'static [&'static str],
    never: &'static [&'static str],
    /// No clock, no environment, no files, no sockets; `#![forbid(unsafe_code)]` at its top.
    is_pure: bool,
}

/// The arrows. A module that is missing here is a finding: decide where it belongs.
const RULES: &[Rule] = &[
    Rule { module: "model", may: &[], never: &[], is_pure: true },
    Rule { module: "correlator", may: &["model"], never: &[], is_pure: true },
    Rule { module: "identity", may: &["model"], never: &[], is_pure: false },
    Rule { module: "identity::index", may: &["model", "identity"], never: IDENTITY_IO, is_pure: true },
    Rule { module: "identity::path", may: &["model", "identity"], never: IDENTITY_IO, is_pure: true },
    Rule { module: "identity::roles", may: &["model"], never: IDENTITY_IO, is_pure: true },
    Rule { module: "identity::podlist", may: &["model", "identity"], never: IDENTITY_IO, is_pure: true },
    Rule { module: "identity::cri::pace", may: &[], never: &[], is_pure: true },
    Rule {
        module: "identity::cri::answers",
        may: &["model", "identity::roles", "identity::cri::answers"],
        never: &[],
        is_pure: true,
    },
    Rule { module: "probe", may: &["model"], never: &[], is_pure: false },
    Rule { module: "probe::decode", may: &["model"], never: &[], is_pure: true },
    Rule { module: "report", may: &["model"], never: &[], is_pure: true },
    Rule { module: "store", may: &["model", "report"], never: &[], is_pure: true },
    Rule { module: "metrics", may: &["model", "report"], never: &[], is_pure: false },
    Rule {
        module: "http",
        may: &["model", "identity", "report", "store", "metrics"],
        never: IDENTITY_IO,
        is_pure: false,
    },
    Rule { module: "input", may: &["model", "identity"], never: IDENTITY_IO, is_pure: true },
    Rule { module: "line_writer", may: &[], never: &[], is_pure: false },
    Rule { module: "logging", may: &[], never: &[], is_pure: false },
    Rule {
        module: "recording",
        may: &["model", "identity", "input", "line_writer"],
        never: IDENTITY_IO,
        is_pure: false,
    },
    Rule { module: "clock", may: &["model"], never: &[], is_pure: false },
    Rule {
        module: "state",
        may: &["model", "identity", "input", "recording", "correlator", "clock"],
        never: IDENTITY_IO,
        is_pure: false,
    },
    Rule { module: "pipeline", may: &[""], never: &["cli"], is_pure: false },
    Rule { module: "cli", may: &[""], never: &[], is_pure: false },
    Rule { module: "main", may: &[""], never: &[], is_pure: false },
    Rule { module: "", may: &[""], never: &[], is_pure: false },
];

const IDENTITY_IO: &[&str] = &["identity::cgroupfs", "identity::cri", "identity::kubernetes", "identity::pods_file"];

/// Words that pure code has no use for, with the reason.
const IMPURE: [(&str, &str); 14] = [
    ("Instant", "the clock"),
    ("SystemTime", "the clock"),
    ("std::env", "the environment"),
    ("std::fs", "files"),
    ("std::process", "processes"),
    ("std::thread", "threads"),
    ("TcpListener", "sockets"),
    ("TcpStream", "sockets"),
    ("UdpSocket", "sockets"),
    ("UnixStream", "sockets"),
    ("libc", "the kernel"),
    ("rustix", "the kernel"),
    ("tokio", "the runtime"),
    ("tracing", "the log"),
];

/// Checks one file of the agent; of others it says nothing.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let Some(module) = module_of(source.path) else { return Vec::new() };
    let name = module.join("::");
    let rule = RULES.iter().filter(|rule| is_below(&name, rule.module)).max_by_key(|rule| rule.module.len());
    let Some(rule) = rule.filter(|rule| !rule.module.is_empty() || module.is_empty()) else {
        return vec![source.finding(0, format!("the module {name} has no rule: add one to the arrows in xtask tidy"))];
    };
    let mut findings = Vec::new();
    for (at, path) in crate_paths(source, &module) {
        let used = path.join("::");
        let own = is_below(&used, rule.module) && !rule.module.is_empty();
        let may = own || rule.may.iter().any(|may| is_below(&used, may));
        let never = rule.never.iter().any(|never| is_below(&used, never));
        if !may || never {
            findings.push(source.finding(at, format!("{} must not use crate::{used}", rule.module)));
        }
    }
    let abi = source.words("gracetrace_ebpf").filter(|_| module.first() != Some(&"probe"));
    findings.extend(abi.map(|at| source.finding(at, "only probe may use the ABI")));
    let serde = source.words("serde").filter(|_| ["model", "correlator"].contains(&rule.module));
    findings.extend(serde.map(|at| source.finding(at, "serde belongs to types at the edge, not here")));
    if rule.is_pure {
        findings.extend(check_pure(source, rule, &name));
    }
    findings
}

fn check_pure(source: &Source, rule: &Rule, name: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (word, what) in IMPURE {
        for at in source.words(word).filter(|&at| !source.is_test(at)) {
            findings.push(source.finding(at, format!("{} is pure and must not touch {what}: {word}", rule.module)));
        }
    }
    if name == rule.module && !source.code.contains("#![forbid(unsafe_code)]") {
        findings.push(source.finding(0, format!("{name} is pure: begin it with #![forbid(unsafe_code)]")));
    }
    findings
}

/// Module path of a file of the agent's library or program.
fn module_of(path: &str) -> Option<Vec<&str>> {
    let path = path.strip_prefix("agent/src/")?.strip_suffix(".rs")?;
    let path = path.strip_suffix("/mod").unwrap_or(path);
    Some(if path == "lib" { Vec::new() } else { path.split('/').collect() })
}

/// Whether a path is a module or below it. Everything is below the crate's root, "".
fn is_below(path: &str, module: &str) -> bool {
    module.is_empty() || path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every path into the crate, as segments from its root, and where it stands. Groups are taken apart.
fn crate_paths(source: &Source, module: &[&str]) -> Vec<(usize, Vec<String>)> {
    let mut paths = Vec::new();
    for at in source.words("crate") {
        // `pub(crate)` and `$crate` are no paths.
        let rest = &source.code[at + "crate".len()..];
        expand(rest, Vec::new(), at, &mut paths);
    }
    for at in source.words("super") {
        // Only the first of `super::super::x`.
        if source.code[..at].ends_with("::") || source.code[..at].ends_with('(') {
            continue;
        }
        // Inside `mod tests { … }`, the first `super` is the file's own module.
        let inline = source.is_test(at) && !source.is_test_file();
        let mut up = 0;
        let mut rest = &source.code[at..];
        while let Some(after) = rest.strip_prefix("super") {
            up += 1;
            rest = after;
            match after.trim_start().strip_prefix("::") {
                Some(next) if next.trim_start().starts_with("super") => rest = next.trim_start(),
                _ => break,
            }
        }
        let keep = (module.len() + usize::from(inline)).saturating_sub(up).min(module.len());
        let base: Vec<String> = module[..keep].iter().map(|&part| part.to_owned()).collect();
        let before = paths.len();
        expand(rest, base, at, &mut paths);
        // A path that stays within the crate's root names the root's own items.
        paths.retain(|(_, path): &(usize, Vec<String>)| !path.is_empty());
        debug_assert!(paths.len() >= before);
    }
    paths
}

/// Follows `::a::b` and `::{a, b::{c}}` to their ends.
fn expand(rest: &str, mut path: Vec<String>, at: usize, paths: &mut Vec<(usize, Vec<String>)>) {
    let Some(mut rest) = rest.trim_start().strip_prefix("::").map(str::trim_start) else {
        return;
    };
    loop {
        if rest.starts_with('{') {
            for item in group(rest) {
                let item = format!("::{item}");
                expand(&item, path.clone(), at, paths);
            }
            return;
        }
        let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        if length > 0 && &rest[..length] != "self" {
            path.push(rest[..length].to_owned());
        }
        match rest[length..].trim_start().strip_prefix("::").map(str::trim_start) {
            Some(next) if length > 0 => rest = next,
            _ => break,
        }
    }
    paths.push((at, path));
}

/// The items of a group in braces.
fn group(rest: &str) -> Vec<&str> {
    let inner = &rest[1..super::source::matching(rest, '{', '}').max(1)];
    let (mut depth, mut begin, mut items) = (0, 0, Vec::new());
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(inner[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    items.push(inner[begin..].trim());
    items.retain(|item| !item.is_empty());
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(path: &str, text: &str) -> Vec<String> {
        check(&Source::new(path, text))
            .into_iter()
            .map(|finding| format!("{}: {}", finding.line, finding.reason))
            .collect()
    }

    #[test]
    fn the_correlator_uses_the_model_only() {
        let text = "//! c\n#![forbid(unsafe_code)]\nuse crate::model::X;\nuse crate::{model::Y, http::{self, Z}};\n";
        assert_eq!(
            reasons("agent/src/correlator/mod.rs", text),
            ["4: correlator must not use crate::http", "4: correlator must not use crate::http::Z"]
        );
        assert_eq!(
            reasons("agent/src/correlator/stop.rs", "fn f() { crate::metrics::g() }"),
            ["1: correlator must not use crate::metrics::g"]
        );
    }

    #[test]
    fn the_model_uses_nothing() {
        let found = reasons(
            "agent/src/model/id.rs",
            "use super::time::T;\nuse super::super::report::R;\nuse serde::Serialize;",
        );
        assert_eq!(
            found,
            ["2: model must not use crate::report::R", "3: serde belongs to types at the edge, not here"]
        );
    }

    #[test]
    fn the_is_purehalf_of_identity_does_not_know_its_sources() {
        let found = reasons(
            "agent/src/identity/index/pods.rs",
            "use crate::identity::Source;\nuse crate::identity::cgroupfs::scan;",
        );
        assert_eq!(found, ["2: identity::index must not use crate::identity::cgroupfs::scan"]);
        assert!(reasons("agent/src/identity/cgroupfs/mod.rs", "use crate::identity::podlist; use std::fs;").is_empty());
    }

    #[test]
    fn super_in_an_inline_test_module_is_the_file() {
        let text = "use crate::model::A;\n#[cfg(test)]\nmod tests {\n use super::*;\n use super::super::http::B;\n}";
        assert_eq!(
            reasons("agent/src/store.rs", &format!("#![forbid(unsafe_code)]{text}")),
            ["5: store must not use crate::http::B"]
        );
    }

    #[test]
    fn is_puremodules_touch_nothing() {
        let found = reasons(
            "agent/src/probe/decode.rs",
            "#![forbid(unsafe_code)]\nuse gracetrace_ebpf::Header;\nuse std::fs::File;\nfn f() { Instant::now(); }",
        );
        assert_eq!(
            found,
            [
                "4: probe::decode is pure and must not touch the clock: Instant",
                "3: probe::decode is pure and must not touch files: std::fs"
            ]
        );
        assert_eq!(
            reasons("agent/src/model/mod.rs", "//! m"),
            ["1: model is pure: begin it with #![forbid(unsafe_code)]"]
        );
    }

    #[test]
    fn the_abi_stays_in_probe() {
        assert_eq!(
            reasons("agent/src/metrics/mod.rs", "use gracetrace_ebpf::Hook;"),
            ["1: only probe may use the ABI"]
        );
        assert!(reasons("agent/src/probe/load.rs", "use gracetrace_ebpf::Hook;").is_empty());
    }

    #[test]
    fn new_modules_need_a_rule() {
        assert_eq!(
            reasons("agent/src/helpers.rs", ""),
            ["1: the module helpers has no rule: add one to the arrows in xtask tidy"]
        );
        assert!(reasons("agent/src/lib.rs", "pub mod helpers; pub use crate::model::X;").is_empty());
        assert!(reasons("tests/src/lib.rs", "use crate::anything;").is_empty());
    }

    #[test]
    fn pipeline_uses_all_but_cli() {
        assert_eq!(
            reasons("agent/src/pipeline.rs", "use crate::{correlator, http, cli::Run};"),
            ["1: pipeline must not use crate::cli::Run"]
        );
    }
}
