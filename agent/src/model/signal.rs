//! Signals by number and by the name that Kubernetes and people use.

use std::fmt;

/// A signal number of Linux on x86-64 and arm64 (signal(7), "Standard signals"), 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(pub u8);

const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

impl Signal {
    /// SIGKILL
    pub const KILL: Signal = Signal(9);
    /// SIGTERM
    pub const TERM: Signal = Signal(15);

    /// Reads `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`; the forms of an image's `STOPSIGNAL` and of the pod's `stopSignal`.
    pub fn parse(text: &str) -> Option<Signal> {
        let text = text.trim();
        if let Ok(number) = text.parse::<u8>() {
            return (1..=RTMAX).contains(&number).then_some(Signal(number));
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let realtime = |from: u8, by: &str, up: bool| {
            let by: u8 = if by.is_empty() { 0 } else { by.get(1..)?.parse().ok()? };
            let number = if up { from.checked_add(by)? } else { from.checked_sub(by)? };
            (RTMIN..=RTMAX).contains(&number).then_some(Signal(number))
        };
        if let Some(by) = name.strip_prefix("RTMIN") {
            return realtime(RTMIN, by, true);
        }
        if let Some(by) = name.strip_prefix("RTMAX") {
            return realtime(RTMAX, by, false);
        }
        let index = NAMES.iter().position(|known| &known[3..] == name)?;
        u8::try_from(index + 1).ok().map(Signal)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            number @ 1..=31 => f.write_str(NAMES[usize::from(number) - 1]),
            RTMIN => f.write_str("SIGRTMIN"),
            number @ RTMIN..=RTMAX => write!(f, "SIGRTMIN+{}", number - RTMIN),
            number => write!(f, "SIG{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_reads_back() {
        for number in (1..=31).chain(34..=64) {
            let signal = Signal(number);
            assert_eq!(Signal::parse(&signal.to_string()), Some(signal), "{signal}");
            assert_eq!(Signal::parse(&number.to_string()), Some(signal));
        }
    }

    #[test]
    fn forms_of_the_field() {
        assert_eq!(Signal::parse("TERM"), Some(Signal::TERM));
        assert_eq!(Signal::parse("sigterm"), Some(Signal::TERM));
        assert_eq!(Signal::parse("SIGRTMIN+3"), Some(Signal(37)));
        assert_eq!(Signal::parse("SIGRTMAX-1"), Some(Signal(63)));
        for bad in ["", "0", "65", "SIG", "RTMIN+99", "RTMAX-99", "RTMIN+", "RTMIN3", "NOPE", "-1"] {
            assert!(!matches!(Signal::parse(bad), Some(Signal(n)) if n == 0 || n > 64), "{bad}");
        }
        assert_eq!(Signal::parse("NOPE"), None);
        assert_eq!(Signal::parse("RTMIN+99"), None);
    }
}
