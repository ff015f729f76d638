//! `docs/kernels.md`: what gracetrace measures on which kernel, as the matrix has shown.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::guest::Ended;
use super::results::Results;
use crate::command;

const HEAD: &str = "# Kernels

What gracetrace measures on which kernel. Made by `cargo xtask vm-test --write` from a run of its suite in a virtual machine with
each kernel; `cargo xtask vm-test` fails when a run says anything else. Kernels are those of Debian's packages
`linux-image-cloud-amd64`; their last digits change with every update and are not compared.

";

const TAIL: &str = "
## Chosen at load

From the kernel's BTF, never from its version:

| what | older | newer |
| --- | --- | --- |
| the cgroup of a socket | a tagged word, `sk_cgrp_data.val` (before 5.15) | a pointer, `sk_cgrp_data.cgroup` |
| the OOM killer's victim | its thread id | its task (6.8) |
| the last thread of a process | the one that leaves `signal->live` at 0; of two, the first | `group_dead` of `sched_process_exit` (6.16) |
| runs that the kernel leaves out | of a packet that interrupts a program: programs of tracepoints are not preempted | exec, exit and changes of sockets have a second program each, where tracepoints are under SRCU (seen on 7.3) |

Where a structure, a member or a tracepoint is not there, or the verifier refuses a program, the hook is missing: the agent says so
when it starts, with the verifier's last words and with what is not measured then, and `gracetrace_hook_attached` is 0. All hooks are in the
kernel itself; none needs the BTF of a module. Without `/sys/kernel/btf/vmlinux`, or before 5.8, the agent refuses to start.
";

/// The document's path.
pub(super) fn path() -> PathBuf {
    command::workspace().join("docs/kernels.md")
}

/// Writes the document.
pub(super) fn write(ended: &[Ended]) -> Result<()> {
    let path = path();
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&path, document(ended)).with_context(|| format!("cannot write {}", path.display()))
}

/// Fails when the document says anything else than a run.
pub(super) fn check(ended: &[Ended]) -> Result<()> {
    let path = path();
    let written = fs::read_to_string(&path).unwrap_or_default();
    let differs = difference(&written, &document(ended));
    match differs {
        None => Ok(()),
        Some(line) => bail!(
            "{} does not say what this run has shown:\n  {line}\nLook into why; `cargo xtask vm-test --write` writes it anew",
            command::short(&path).display()
        ),
    }
}

/// The first line of a run's document that the written one does not have. Releases of kernels are not compared.
fn difference(written: &str, run: &str) -> Option<String> {
    let compared = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with(RELEASES)).map(str::to_owned).collect()
    };
    let (written, run) = (compared(written), compared(run));
    if written == run {
        return None;
    }
    let line = run.iter().zip(written.iter().map(Some).chain(std::iter::repeat(None)));
    let line = line.filter(|(new, old)| Some(*new) != *old).map(|(new, _)| new.clone()).next();
    Some(line.unwrap_or_else(|| "it has more lines than there are results".to_owned()))
}

const RELEASES: &str = "| release |";

fn document(ended: &[Ended]) -> String {
    let mut text = HEAD.to_owned();
    let row = |first: &str, cells: &[String]| format!("| {first} | {} |\n", cells.join(" | "));
    let cells = |cell: &dyn Fn(&Ended) -> String| ended.iter().map(cell).collect::<Vec<_>>();

    text += "## Hooks\n\n`yes`: attached, and its program ran. `no`: this kernel does not have it; its measure is missing.\n\n";
    let and = |mut cells: Vec<String>, last: &str| {
        cells.push(last.to_owned());
        cells
    };
    text += &row("hook", &and(cells(&|each| each.kernel.name.to_owned()), "what for"));
    text += &row("---", &and(cells(&|_| "---".to_owned()), "---"));
    text += &row("of", &and(cells(&|each| each.kernel.about.to_owned()), ""));
    text += &row("release", &and(cells(&|each| each.results.release.clone()), ""));
    for hook in names(ended, |results| results.hooks.iter().map(|(name, _)| name.clone()).collect()) {
        let works = |each: &Ended| each.results.hooks.iter().any(|(name, works)| *name == hook && *works);
        let works = cells(&|each| if works(each) { "yes" } else { "no" }.to_owned());
        text += &row(&format!("`{hook}`"), &and(works, &measures(&hook)));
    }

    text += "\n## Terminations and connections\n\n`yes`: the agent's account was what the driver, the workload and its clients measured \
             themselves.\n\n";
    text += &row("termination", &and(cells(&|each| each.kernel.name.to_owned()), "what happens"));
    text += &row("---", &and(cells(&|_| "---".to_owned()), "---"));
    for case in names(ended, |results| results.cases.iter().map(|case| case.name.clone()).collect()) {
        let find = |each: &'_ Ended| each.results.cases.iter().position(|other| other.name == case);
        let good = |each: &Ended| find(each).is_some_and(|at| each.results.cases[at].good);
        let about = ended.iter().find_map(|each| Some(each.results.cases[find(each)?].about.clone()));
        let good = cells(&|each| if good(each) { "yes" } else { "no" }.to_owned());
        text += &row(&case, &and(good, &about.unwrap_or_default()));
    }
    text + TAIL
}

/// What a hook is for, as the header of its program says.
fn measures(hook: &str) -> String {
    let program = command::workspace().join("agent-ebpf/src/probes").join(hook).with_extension("rs");
    feeds(&fs::read_to_string(program).unwrap_or_default())
}

/// The sentence after `Feeds:` in a file's header, over as many lines as it takes.
fn feeds(program: &str) -> String {
    let header = program.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let mut lines = header.skip_while(|line| !line.starts_with("Feeds:"));
    let first = lines.next().unwrap_or_default().trim_start_matches("Feeds:").trim().to_owned();
    lines
        .take_while(|line| !line.is_empty() && !line.starts_with("Without it"))
        .fold(first, |all, line| all + " " + line)
}

/// Every name in any of the results, sorted: guests end their cases in an order of their own.
fn names(ended: &[Ended], of: impl Fn(&Results) -> Vec<String>) -> Vec<String> {
    let mut names: Vec<String> = ended.iter().flat_map(|each| of(&each.results)).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::matrix::KERNELS;
    use super::*;

    fn ended(release: &str, hook: &str) -> Ended {
        let text = format!("KERNEL {release}\nHOOK a {hook}\nCASE oom pass one is killed\nSUMMARY x\nEXIT=0\n");
        let results = Results::parse(&text);
        Ended { kernel: &KERNELS[0], results, took: Duration::ZERO, failure: None }
    }

    #[test]
    fn what_a_hook_is_for_is_in_its_header() {
        let program = "//! Hook: `x(y)`.\n//!\n//! Feeds: this,\n//! and that.\n//! Without it: nothing.\n\nuse y;\n";
        assert_eq!(feeds(program), "this, and that.");
        assert_eq!(feeds("use y;\n"), "");
        assert!(measures("mark_victim").contains("oom"));
    }

    #[test]
    fn releases_are_not_compared_but_everything_else() {
        let text = document(&[ended("5.10.0-1", "yes")]);
        assert!(text.contains("| `a` | yes |  |") && text.contains("| oom | yes | one is killed |"), "{text}");
        assert_eq!(difference(&text, &document(&[ended("5.10.0-2", "yes")])), None);
        assert_eq!(difference(&text, &document(&[ended("5.10.0-1", "missing")])).as_deref(), Some("| `a` | no |  |"));
        assert!(difference("", &text).is_some());
        assert!(difference(&(text.clone() + "more\n"), &text).is_some());
    }
}
