//! A termination as text for people.

mod connections;
mod escaped;
mod paint;
mod line;

use std::fmt::{self, Formatter};

pub(super) use escaped::Escaped;
pub(super) use line::Line;
pub(super) use paint::{Color, Paint, wanted};

use crate::report::{Container, Missed, Termination, Time};

/// Shows a termination: a head line, what happened to each container in the order of time, what was found.
pub(super) struct Text<'a> {
    of: &'a Termination,
    paint: Paint,
}

impl<'a> Text<'a> {
    /// Without colours.
    pub(super) fn plain(of: &'a Termination) -> Text<'a> {
        Text { of, paint: Paint::plain() }
    }

    /// With colours, if they are wanted.
    pub(super) fn painted(of: &'a Termination, paint: Paint) -> Text<'a> {
        Text { of, paint }
    }
}

/// `namespace/pod`, or the pod's uid when nobody has told of it.
pub(super) fn name_of(of: &Termination) -> String {
    match (&of.namespace, &of.pod) {
        (Some(namespace), Some(pod)) => format!("{}/{}", Escaped(namespace), Escaped(pod)),
        _ => format!("pod {}", Escaped(&of.uid)),
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Text { of, paint } = self;
        let word = of.outcome.as_deref().unwrap_or(&of.phase);
        let outcome = paint.outcome(word);
        write!(f, "{}  {outcome}{}{outcome:#}  {}", paint.bold(name_of(of)), Escaped(word), Escaped(&of.reason))?;
        match (of.grace_used_seconds, of.grace_period_seconds, of.utilization) {
            (Some(used), Some(grace), Some(utilization)) => {
                write!(f, "  {used:.3} s of {grace} s grace ({:.0} %)", utilization * 100.0)?;
            }
            (Some(used), _, _) => write!(f, "  {used:.3} s")?,
            _ => {}
        }
        writeln!(f, "\n  {}  {}", of.start, Escaped(&of.id))?;
        for (from, to) in &of.unseen {
            writeln!(f, "  nobody watched from {from} to {to}")?;
        }
        if let Some(missed) = of.missed {
            let Missed { connections, processes } = missed;
            writeln!(
                f,
                "  since the pod is known the kernel left out up to {connections} events of connections and {processes} of \
                 processes, of all pods together: counts may be off by so many"
            )?;
        }
        for container in &of.containers {
            write_container(f, container, of.start, *paint)?;
        }
        for finding in &of.findings {
            let name = |name| format!(" ({})", Escaped(name));
            let container = finding.container.as_deref().map(name).unwrap_or_default();
            writeln!(
                f,
                "  {}{container}: {}\n    {}",
                paint.warn(format!("! {}", Escaped(&finding.id))),
                Escaped(&finding.message),
                Escaped(&finding.advice)
            )?;
        }
        writeln!(f)
    }
}

fn write_container(f: &mut Formatter<'_>, of: &Container, start: Time, paint: Paint) -> fmt::Result {
    let name = of.name.as_deref().unwrap_or_else(|| of.id.get(..12).unwrap_or(&of.id));
    let mut lines: Vec<(Time, String)> = Vec::new();
    if let Some(hook) = &of.hook {
        let inferred = if hook.inferred { ", inferred" } else { "" };
        lines.push((hook.start, format!("preStop hook ({}{inferred}) starts", hook.handler)));
        if let Some(end) = hook.end {
            let mut text = format!("preStop hook ends: {}", hook.result.as_deref().unwrap_or("nobody saw how"));
            if let Some(status) = hook.http_status {
                text += &format!(", HTTP status {status}");
            }
            if let Some(code) = hook.exit_code {
                text += &format!(", exit code {code}");
            }
            if let (Some(processes), Some(cpu)) = (hook.processes, hook.cpu_seconds) {
                text += &format!(", {processes} processes, {cpu:.3} s of CPU");
            }
            lines.push((end, text));
        }
    }
    if let Some(stop) = &of.stop_signal {
        let disposition = stop.disposition.as_deref().map(|word| format!(", {word}")).unwrap_or_default();
        lines.push((stop.at, format!("{}{disposition}", stop.name)));
    }
    if let Some(at) = of.killed_at {
        lines.push((at, "SIGKILL".to_owned()));
    }
    if let Some(exit) = &of.exit {
        let how = match (&exit.signal, exit.code) {
            (Some(signal), _) => format!("killed by {signal}"),
            (None, Some(code)) => format!("exit code {code}"),
            (None, None) => "end unknown".to_owned(),
        };
        let oom = if exit.oom { ", out of memory" } else { "" };
        let cut = match &of.connections.zombie {
            Some(zombie) if zombie.inbound + zombie.outbound > 0 => {
                format!(", {} inbound and {} outbound connections open", zombie.inbound, zombie.outbound)
            }
            _ => String::new(),
        };
        lines.push((exit.at, format!("{how}{oom}{cut}")));
    }
    lines.sort_by_key(|(at, _)| *at);
    for (at, text) in lines {
        let after = at.0.0.saturating_sub(start.0.0) as f64 / 1e9;
        let what = match text.as_str() {
            text if text.starts_with("SIGKILL") || text.starts_with("killed by") => {
                paint.bad(Escaped(text).to_string())
            }
            text => Escaped(text).to_string(),
        };
        writeln!(f, "  {}  {}  {what}", paint.dim(format!("{after:>+9.3} s")), Escaped(name))?;
    }
    connections::write(f, of, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Handler, HookResult};
    use crate::report::fixture::{at, full, unknown_pod};
    use crate::report::termination;

    #[test]
    fn connections_and_who_they_were_with() {
        let mut timeline = full();
        timeline.containers[0].sidecar_lead =
            Some(crate::model::SidecarLead { ended: at(128.8), application_ended: at(132.0) });
        let text = Text::plain(&termination(&timeline, at(500.0))).to_string();
        let at = text.find("    connections of app").unwrap_or_else(|| panic!("{text}"));
        let end = text.find("  ! PRESTOP_TIMEOUT").unwrap();
        assert_eq!(
            text[at..end],
            *"    connections of app: 20 inbound at the start, 5 came later, 21 cut, 1 late, 3 aborted, 4 refused, new ones \
              for 30.250 s, 2 outbound failed\n      \
              10.0.0.7: 12 connections, 11 cut, 1 late, 2 aborted\n      \
              10.0.0.8:40000: 1 connection, 1 cut\n      \
              to 10.9.0.1:5432: 1 connection, 1 cut, 2 failed\n      \
              and 3 more\n    \
              sidecar app ended 3.200 s before the application\n",
            "{text}"
        );
        // What nobody measured is not said to be 0.
        let text = Text::plain(&termination(&unknown_pod(), super::tests::at(500.0))).to_string();
        assert!(!text.contains("connection"), "{text}");
    }

    #[test]
    fn what_may_be_missing_is_said() {
        let mut timeline = full();
        let text = |timeline: &_| Text::plain(&termination(timeline, at(500.0))).to_string();
        assert!(!text(&timeline).contains("left out"));
        timeline.missed = crate::model::Missed { connections: 7, processes: 1 };
        let says = "\n  since the pod is known the kernel left out up to 7 events of connections and 1 of processes, of all pods \
                    together: counts may be off by so many\n";
        assert!(text(&timeline).contains(says), "{}", text(&timeline));
    }

    #[test]
    fn a_hook_says_how_it_is_known_and_what_came_of_it() {
        let text = |handler, result, status, inferred| {
            let mut timeline = full();
            let hook = timeline.containers[0].hook.as_mut().unwrap();
            (hook.handler, hook.result, hook.http_status, hook.inferred) = (handler, result, status, inferred);
            (hook.status, hook.processes, hook.cpu) = (None, None, None);
            Text::plain(&termination(&timeline, at(500.0))).to_string()
        };
        let http = text(Handler::Http, Some(HookResult::Failed), Some(500), false);
        assert!(http.contains("preStop hook (http) starts\n"), "{http}");
        assert!(http.contains("preStop hook ends: failed, HTTP status 500\n"), "{http}");
        let sleep = text(Handler::Sleep, Some(HookResult::Success), None, true);
        assert!(sleep.contains("preStop hook (sleep, inferred) starts\n"), "{sleep}");
        let unseen = text(Handler::Http, None, None, true);
        assert!(unseen.contains("preStop hook ends: nobody saw how\n"), "{unseen}");
    }

    #[test]
    fn colours_change_nothing_else() {
        let report = termination(&full(), at(500.0));
        let plain = Text::plain(&report).to_string();
        let painted = Text::painted(&report, Paint::coloured()).to_string();
        assert!(painted.contains("\u{1b}[") && !plain.contains('\u{1b}'));
        assert_eq!(anstyle_stripped(&painted), plain);
    }

    #[test]
    fn hostile_names_command_no_terminal() {
        let mut timeline = full();
        timeline.pod = Some("a\u{1b}[2J\u{202e}b\n".into());
        timeline.containers[0].name = Some("\u{9b}31m\u{7}".into());
        timeline.findings[0].message = "\u{2067}x\u{1b}]0;t\u{7}".into();
        let text = Text::plain(&termination(&timeline, at(500.0))).to_string();
        let bad = |c: char| c != '\n' && (c.is_control() || "\u{202e}\u{2067}".contains(c));
        assert!(!text.contains(bad), "{text:?}");
        assert!(text.starts_with("default/a\\u{1b}[2J\\u{202e}b\\n  forced"), "{text}");
    }

    /// Without what sets colours.
    fn anstyle_stripped(text: &str) -> String {
        let mut parts = text.split('\u{1b}');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
    }
}
