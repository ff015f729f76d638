//! What the agent says, compared with what the driver has seen itself.

use gracetrace_tests::clock::{BootTime, WallOffset};
use gracetrace_tests::cri_node::kubelet::RunningPod;
use gracetrace_tests::cri_node::pod::{Handler, NAMESPACE};
use gracetrace_tests::cri_node::seen::{Call, ContainerSeen, HookEnd, PodSeen};
use serde_json::Value;

/// Both sides convert boot time to wall time, each with an offset that it measured; the wall clock may be slewed between.
const CLOCK_ERROR_NS: i64 = 2_000_000;
/// A hook can end this much after the answer to its call: the agent takes the end of its last process.
const AFTER_ANSWER_NS: i64 = 50_000_000;

/// A termination.
pub(crate) struct Report {
    pub(crate) all: Value,
    offset: WallOffset,
}

/// A container's part of it.
pub(crate) struct Part<'a> {
    report: &'a Report,
    value: &'a Value,
    seen: &'a ContainerSeen,
}

impl Report {
    pub(crate) fn new(all: Value) -> Report {
        assert_eq!(all["complete"], true, "{all:#}");
        Report { all, offset: WallOffset::measure() }
    }

    /// A part of the termination.
    pub(crate) fn is(&self, path: &str, expected: impl Into<Value>) {
        assert_eq!(self.get(path), &expected.into(), "{path} of {:#}", self.all);
    }

    /// All that can be compared of a termination by the kubelet without knowing the case: names, times, exit codes.
    pub(crate) fn agrees(&self, pod: &RunningPod, seen: &PodSeen) {
        self.is("/namespace", NAMESPACE);
        self.is("/pod", pod.plan.name.as_str());
        self.is("/uid", pod.uid.as_str());
        self.is("/grace_period_seconds", pod.plan.grace);
        self.is_between("/start", Call { from: seen.from, to: seen.to });
        self.is_between("/end", Call { from: seen.from, to: BootTime(seen.to.0 + AFTER_ANSWER_NS) });
        assert_eq!(self.get("/containers").as_array().map(Vec::len), Some(seen.containers.len()), "{:#}", self.all);
        for (container, seen) in pod.containers.iter().zip(&seen.containers) {
            let part = self.container(seen);
            part.has_image(container.plan.image);
            part.has_exit_code();
            if !seen.stops.is_empty() {
                part.was_stopped();
            }
            match container.plan.pre_stop {
                Some(Handler::Exec(_)) => part.had_exec_hook(),
                Some(_) => {}
                None => part.is("/hook", None::<bool>),
            }
        }
    }

    /// The part of one container.
    pub(crate) fn container<'a>(&'a self, seen: &'a ContainerSeen) -> Part<'a> {
        let containers = self.get("/containers").as_array().map(Vec::as_slice).unwrap_or_default();
        let found = containers.iter().find(|container| container["id"] == seen.id.as_str());
        let value = found.unwrap_or_else(|| panic!("no container {} in {:#}", seen.name, self.all));
        let part = Part { report: self, value, seen };
        part.is("/name", seen.name.as_str());
        part
    }

    /// Whether a finding is among them.
    pub(crate) fn has_finding(&self, id: &str) -> bool {
        let findings = self.get("/findings").as_array().map(Vec::as_slice).unwrap_or_default();
        findings.iter().any(|finding| finding["id"] == id)
    }

    fn is_between(&self, path: &str, call: Call) {
        self.time_is_between(self.get(path), path, call);
    }

    fn time_is_between(&self, value: &Value, path: &str, call: Call) {
        let at = self.time(value, path);
        let range = call.from.0 - CLOCK_ERROR_NS..=call.to.0 + CLOCK_ERROR_NS;
        let (early, late) = (call.from.0 - at.0, at.0 - call.to.0);
        assert!(range.contains(&at.0), "{path} is {early} ns too early or {late} ns too late\n{:#}", self.all);
    }

    fn time(&self, value: &Value, path: &str) -> BootTime {
        let text = value.as_str().unwrap_or_default();
        self.offset.parse(text).unwrap_or_else(|error| panic!("{path}: {error}\n{:#}", self.all))
    }

    fn get(&self, path: &str) -> &Value {
        self.all.pointer(path).unwrap_or_else(|| panic!("no {path} in {:#}", self.all))
    }
}

impl Part<'_> {
    pub(crate) fn is(&self, path: &str, expected: impl Into<Value>) {
        let (value, expected) = (self.get(path), expected.into());
        assert_eq!(value, &expected, "{path} of {}\n{:#}\n{:#?}", self.seen.name, self.report.all, self.seen);
    }

    pub(crate) fn is_between(&self, path: &str, call: Call) {
        let name = format!("{path} of {}", self.seen.name);
        self.report.time_is_between(self.get(path), &name, call);
    }

    /// When something happened, by the agent.
    pub(crate) fn time(&self, path: &str) -> BootTime {
        self.report.time(self.get(path), path)
    }

    pub(crate) fn seconds(&self, path: &str) -> f64 {
        self.get(path).as_f64().unwrap_or_else(|| panic!("no {path} of {} in {:#}", self.seen.name, self.report.all))
    }

    /// containerd 1.6 gives the id in its list, which is all that the kubelet has told it; later ones the name too.
    fn has_image(&self, name: &str) {
        let image = self.get("/image").as_str().unwrap_or_default();
        let is_id = image.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64);
        assert!(image == name || is_id, "the image of {} is not {name}: {:#}", self.seen.name, self.report.all);
    }

    /// A runtime has one number for code and signal: 128 and the signal.
    fn has_exit_code(&self) {
        match self.seen.exit_code {
            code @ 0..128 => {
                self.is("/exit/code", code);
                self.is("/exit/signal", None::<bool>);
            }
            code => {
                self.is("/exit/code", None::<bool>);
                let signal = match code - 128 {
                    libc::SIGKILL => "SIGKILL",
                    libc::SIGTERM => "SIGTERM",
                    libc::SIGSEGV => "SIGSEGV",
                    libc::SIGABRT => "SIGABRT",
                    other => panic!("the init was killed by signal {other}"),
                };
                self.is("/exit/signal", signal);
            }
        }
    }

    /// The stop signal was sent within a call of StopContainer, and the container had ended when the last one returned.
    fn was_stopped(&self) {
        let (Some(first), Some(last)) = (self.seen.stops.first(), self.seen.stops.last()) else { return };
        let all = Call { from: first.from, to: last.to };
        self.is_between("/stop_signal/at", all);
        self.is_between("/exit/at", all);
    }

    /// Ran within the call of ExecSync, with the exit code that the kubelet was told. Of several the last: that those before
    /// it were no probes with the same command is what a runtime alone cannot tell.
    fn had_exec_hook(&self) {
        let Some(last) = self.seen.hooks.last() else {
            panic!("the hook of {} did not run: {:#?}", self.seen.name, self.seen)
        };
        self.is("/hook/handler", "exec");
        self.is("/hook/inferred", false);
        self.is_between("/hook/start", last.call);
        let until = BootTime(last.call.to.0 + AFTER_ANSWER_NS);
        self.is_between("/hook/end", Call { from: last.call.from, to: until });
        if let HookEnd::Exit(code) = last.end {
            self.is("/hook/exit_code", code);
        }
    }

    fn get(&self, path: &str) -> &Value {
        let found = self.value.pointer(path);
        found.unwrap_or_else(|| panic!("no {path} of {} in {:#}", self.seen.name, self.report.all))
    }
}
