//! Rules for every Rust file.

use super::Finding;
use super::source::{Source, is_word, matching};

/// Most lines of a file that are not tests.
const MOST_LINES: usize = 500;
/// Most lines of a file, and of a file of tests.
const MOST_LINES_WITH_TESTS: usize = 800;

/// Where time is read. Everything else gets it as an argument.
const CLOCK: &str = "agent/src/clock.rs";
/// What reads it.
const NOW: [&str; 4] = ["Instant::now", "SystemTime::now", "clock_gettime", "Timestamp::now"];

/// Files that may sleep, with the reason. A sleep in a test hides what the test should wait for.
const MAY_SLEEP: [(&str, &str); 8] = [
    ("tests/src/wait.rs", "waits for a condition, for all tests"),
    ("agent/tests/prometheus/server.rs", "waits for a condition: what a Prometheus has scraped"),
    ("tests/src/node/cgroup.rs", "a cgroup of processes that are leaving says EBUSY; there is nothing to wait on"),
    ("tests/src/runtime/delete.rs", "the same, for the runtime's delete"),
    ("xtask/src/vm/guest.rs", "waits for a child with a time limit, which wait(2) does not know"),
    ("tests/src/demo/mod.rs", "waits a bounded time for a process that is not its child"),
    ("tests/src/bench/peers.rs", "waits for the end of a process that it has told to leave, for a while"),
    ("tests/src/bench/agent.rs", "the bench watches an idle agent for a given time"),
];

/// All rules that need nothing but the file.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings: Vec<Finding> = size(source).into_iter().collect();
    findings.extend(safety(source));
    findings.extend(attributes(source));
    findings.extend(unfinished(source));
    findings.extend(clock(source));
    findings.extend(sleep(source));
    findings
}

fn size(source: &Source) -> Option<Finding> {
    let lines = source.text.lines().count();
    let tests = if source.is_test_file() { lines } else { source.test_lines() };
    if lines - tests.min(lines) > MOST_LINES {
        return Some(
            source.finding(0, format!("{} lines without tests, more than {MOST_LINES}: split it", lines - tests)),
        );
    }
    (lines > MOST_LINES_WITH_TESTS)
        .then(|| source.finding(0, format!("{lines} lines, more than {MOST_LINES_WITH_TESTS}: split it")))
}

/// Each `unsafe` says why it is sound, or, for a function, what its caller must hold.
fn safety(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for at in source.words("unsafe") {
        let next = source.code[at + "unsafe".len()..].trim_start();
        // `#[unsafe(no_mangle)]`; and the type of a pointer to an unsafe function.
        if next.starts_with('(') || is_function_pointer(next) {
            continue;
        }
        let is_function = !next.starts_with('{') && !next.starts_with("impl") && names_function(next);
        let (mark, reason) = match is_function {
            true => ("# Safety", "unsafe fn without a `# Safety` section in its documentation"),
            false => ("SAFETY:", "unsafe without a `// SAFETY:` comment above it"),
        };
        // An unsafe fn of a trait's implementation is documented at the trait: a comment does as well.
        if !above(source, source.line(at), &[mark, "SAFETY:"]) {
            findings.push(source.finding(at, reason));
        }
    }
    findings
}

fn is_function_pointer(next: &str) -> bool {
    next.find("fn").is_some_and(|at| {
        next[..at].chars().all(|c| is_word(c) || c.is_whitespace() || c == '"')
            && next[at + 2..].trim_start().starts_with('(')
    })
}

fn names_function(next: &str) -> bool {
    let head = &next[..next.find(['{', ';', '(']).unwrap_or(next.len())];
    head.split_whitespace().any(|word| word == "fn")
}

/// Whether a mark stands in the comments right above the statement that a line is part of.
fn above(source: &Source, line: usize, marks: &[&str]) -> bool {
    let has = |line: usize| marks.iter().any(|mark| source.text_line(line).contains(mark));
    if has(line) {
        return true;
    }
    for line in (1..line).rev() {
        let (text, code) = (source.text_line(line).trim(), source.code_line(line).trim());
        let is_comment = !text.is_empty() && code.is_empty();
        if is_comment && has(line) {
            return true;
        }
        let is_attribute = code.starts_with("#[");
        if text.is_empty() || (!is_comment && !is_attribute && code.ends_with([';', '}', '{', ','])) {
            return false;
        }
    }
    false
}

/// `#[expect]` instead of `#[allow]`, each with its reason; nothing is `#[ignore]`d.
fn attributes(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, _) in source.code.match_indices("#[").chain(source.code.match_indices("#![")) {
        let begin = at + source.code[at..].find('[').unwrap_or(0);
        let length = matching(&source.code[begin..], '[', ']');
        let name = source.code[begin + 1..begin + length].trim_start();
        let has_reason = name.contains("reason");
        if name.starts_with("allow") {
            findings.push(source.finding(at, "allow: write #[expect(lint, reason = \"…\")] instead"));
        } else if name.starts_with("expect") && !has_reason {
            findings.push(source.finding(at, "expect without a reason"));
        } else if name == "ignore" || name.starts_with("ignore ") || name.starts_with("ignore=") {
            findings.push(source.finding(at, "a test that does not run is no test: #[ignore]"));
        }
    }
    findings
}

fn unfinished(source: &Source) -> Vec<Finding> {
    let macros =
        ["todo", "unimplemented", "dbg"].into_iter().flat_map(|name| source.words(name).map(move |at| (name, at)));
    macros
        .filter(|(name, at)| source.code[at + name.len()..].starts_with('!'))
        .map(|(name, at)| source.finding(at, format!("unfinished: {name}!")))
        .collect()
}

fn clock(source: &Source) -> Vec<Finding> {
    if !source.path.starts_with("agent/src/") || source.path == CLOCK {
        return Vec::new();
    }
    let reads = NOW.into_iter().flat_map(|name| source.words(name)).filter(|&at| !source.is_test(at));
    reads.map(|at| source.finding(at, format!("only {CLOCK} reads the time: take it as an argument"))).collect()
}

fn sleep(source: &Source) -> Vec<Finding> {
    if MAY_SLEEP.iter().any(|(path, _)| *path == source.path) {
        return Vec::new();
    }
    source
        .words("thread::sleep")
        .map(|at| {
            source.finding(
                at,
                "thread::sleep: wait for what you are waiting for, or add the file and a reason to xtask tidy",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(path: &str, text: &str) -> Vec<String> {
        let mut findings = check(&Source::new(path, text));
        findings.sort();
        findings.into_iter().map(|finding| format!("{}: {}", finding.line, finding.reason)).collect()
    }

    #[test]
    fn unsafe_needs_a_reason() {
        let bad = "fn f() {\n    unsafe { g() }\n}\n";
        assert_eq!(reasons("x.rs", bad), ["2: unsafe without a `// SAFETY:` comment above it"]);
        assert!(reasons("x.rs", "fn f() {\n    // SAFETY: g has no needs.\n    unsafe { g() }\n}\n").is_empty());
        assert!(
            reasons("x.rs", "fn f() {\n    // SAFETY: g has no needs.\n    let x =\n        unsafe { g() };\n}\n")
                .is_empty()
        );
        assert_eq!(
            reasons("x.rs", "// SAFETY: of a.\nunsafe { a() };\nunsafe { b() };\n"),
            ["3: unsafe without a `// SAFETY:` comment above it"]
        );
        assert_eq!(
            reasons("x.rs", "unsafe impl Send for X {}\n"),
            ["1: unsafe without a `// SAFETY:` comment above it"]
        );
    }

    #[test]
    fn unsafe_functions_say_what_their_caller_must_hold() {
        let reason = "1: unsafe fn without a `# Safety` section in its documentation";
        assert_eq!(reasons("x.rs", "pub unsafe fn f() {}\n"), [reason]);
        assert_eq!(reasons("x.rs", "unsafe extern \"C\" fn f() {}\n"), [reason]);
        assert!(
            reasons("x.rs", "/// F.\n///\n/// # Safety\n/// Call it once.\n#[inline]\npub unsafe fn f() {}\n")
                .is_empty()
        );
        assert!(reasons("x.rs", "type F = unsafe extern \"C\" fn(i32);\n#[unsafe(no_mangle)]\nfn g() {}\n").is_empty());
    }

    #[test]
    fn lints_are_expected_with_a_reason() {
        assert_eq!(
            reasons("x.rs", "#[allow(dead_code)]\nfn f() {}\n"),
            ["1: allow: write #[expect(lint, reason = \"…\")] instead"]
        );
        assert_eq!(reasons("x.rs", "#![allow(dead_code, reason = \"x\")]\n").len(), 1);
        assert_eq!(reasons("x.rs", "#[expect(dead_code)]\nfn f() {}\n"), ["1: expect without a reason"]);
        assert!(reasons("x.rs", "#[expect(dead_code, reason = \"for [x]\")]\nfn f() {}\n").is_empty());
    }

    #[test]
    fn nothing_is_ignored_or_unfinished() {
        assert_eq!(
            reasons("x.rs", "#[ignore = \"slow\"]\nfn f() { todo!() }\nfn g() { unimplemented!() }\n"),
            [
                "1: a test that does not run is no test: #[ignore]",
                "2: unfinished: todo!",
                "3: unfinished: unimplemented!"
            ]
        );
    }

    #[test]
    fn only_the_clock_reads_the_time() {
        let text = "fn f() { Instant::now(); }\n#[cfg(test)]\nmod tests {\n    fn g() { Instant::now(); }\n}\n";
        assert_eq!(
            reasons("agent/src/http/mod.rs", text),
            ["1: only agent/src/clock.rs reads the time: take it as an argument"]
        );
        assert!(reasons("agent/src/clock.rs", text).is_empty());
        assert!(reasons("tests/src/lib.rs", text).is_empty());
    }

    #[test]
    fn sleeping_needs_a_reason() {
        assert_eq!(reasons("agent/src/http/mod.rs", "use std::thread::sleep;\n").len(), 1);
        assert!(reasons("tests/src/node/cgroup.rs", "use std::thread::sleep;\n").is_empty());
    }

    #[test]
    fn long_files_are_split() {
        assert_eq!(reasons("x.rs", &"\n".repeat(501)), ["1: 501 lines without tests, more than 500: split it"]);
        let tests = format!("#[cfg(test)]\nmod tests {{{}}}\n", "\n".repeat(600));
        assert!(reasons("x.rs", &tests).is_empty());
        assert_eq!(reasons("x/tests.rs", &"\n".repeat(801)), ["1: 801 lines, more than 800: split it"]);
    }
}
