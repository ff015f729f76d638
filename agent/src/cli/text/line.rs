//! A termination in one line.

use std::fmt::{self, Formatter};

use super::{Escaped, Paint, name_of};
use crate::report::Termination;

/// When, whose, how, for how long, what was found.
pub(in crate::cli) struct Line<'a> {
    /// What.
    pub(in crate::cli) of: &'a Termination,
    /// How.
    pub(in crate::cli) paint: Paint,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Line { of, paint } = self;
        let word = of.outcome.as_deref().unwrap_or(&of.phase);
        let outcome = paint.outcome(word);
        // The time of day of an RFC 3339 time.
        let at = of.end.unwrap_or(of.start).to_string();
        let at = at.get(11..19).unwrap_or(&at);
        write!(
            f,
            "{}  {outcome}{:<10}{outcome:#}  {}",
            paint.dim(at),
            Escaped(word).to_string(),
            paint.bold(name_of(of))
        )?;
        if of.reason != "deletion" && of.reason != "unknown" {
            write!(f, "  {}", Escaped(&of.reason))?;
        }
        if let Some(used) = of.grace_used_seconds {
            write!(f, "  {used:.1} s")?;
            if let Some(grace) = of.grace_period_seconds {
                write!(f, " of {grace} s")?;
            }
        }
        let mut said: Vec<&str> = Vec::new();
        for finding in &of.findings {
            if !said.contains(&&*finding.id) {
                said.push(&finding.id);
                write!(f, "  {}", paint.warn(Escaped(&finding.id)))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{at, full, in_progress, unknown_pod};
    use crate::report::termination;

    #[test]
    fn one_line_says_it_all() {
        let line = |timeline| Line { of: &termination(&timeline, at(112.34)), paint: Paint::plain() }.to_string();
        assert_eq!(
            line(full()),
            "22:15:32  forced      default/web-7d9c5b7c4-x2x4q  32.0 s of 30 s  PRESTOP_TIMEOUT  GRACE_EXHAUSTED"
        );
        assert_eq!(line(in_progress()), "22:15:00  in_hook     default/web-7d9c5b7c4-x2x4q  12.3 s of 30 s");
        assert_eq!(line(unknown_pod()), "22:15:00  incomplete  pod 0c0ffee0");
    }
}
