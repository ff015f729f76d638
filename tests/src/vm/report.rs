//! What the machine's owner reads on the second serial port: a line each.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

/// The results, as they come.
pub(super) struct Report {
    output: File,
    failed: usize,
    passed: usize,
}

impl Report {
    /// Begins with the kernel's release.
    pub(super) fn begin(path: &Path) -> Result<Report> {
        let output = OpenOptions::new().append(true).open(path);
        let output = output.with_context(|| format!("cannot write to {}", path.display()))?;
        let mut report = Report { output, failed: 0, passed: 0 };
        report.line(format_args!("KERNEL {}", rustix::system::uname().release().to_string_lossy()))?;
        Ok(report)
    }

    /// Tells of a hook: whether it works, and what is wrong with that.
    pub(super) fn hook(&mut self, name: &str, works: bool, faults: &[String]) -> Result<()> {
        let works = if works { "yes" } else { "missing" };
        self.result(format_args!("HOOK {name} {works}"), faults)
    }

    /// Tells of a case, and what is wrong with it.
    pub(super) fn case(&mut self, name: &str, about: &str, faults: &[String]) -> Result<()> {
        let outcome = if faults.is_empty() { "pass" } else { "fail" };
        self.result(format_args!("CASE {name} {outcome} {about}"), faults)
    }

    /// Tells of something that is no result.
    pub(super) fn note(&mut self, note: impl Display) -> Result<()> {
        self.line(format_args!("NOTE {note}"))
    }

    /// Whether anything is wrong so far.
    pub(super) fn has_faults(&self) -> bool {
        self.failed > 0
    }

    /// Adds up.
    pub(super) fn end(&mut self, about: &str) -> Result<bool> {
        let (passed, failed) = (self.passed, self.failed);
        self.line(format_args!("SUMMARY {passed} passed, {failed} failed{about}"))?;
        Ok(!self.has_faults())
    }

    fn result(&mut self, line: impl Display, faults: &[String]) -> Result<()> {
        self.line(line)?;
        for fault in faults {
            self.line(format_args!("FAULT {fault}"))?;
        }
        *if faults.is_empty() { &mut self.passed } else { &mut self.failed } += 1;
        Ok(())
    }

    fn line(&mut self, line: impl Display) -> Result<()> {
        // A line of the protocol is one line, whatever is in it.
        let line = line.to_string().replace(['\n', '\r'], " ");
        writeln!(self.output, "{line}").context("cannot tell of a result")
    }
}
