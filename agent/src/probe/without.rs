//! What is not measured without a hook.
#![forbid(unsafe_code)]

use gracetrace_ebpf::Hook;

/// One clause for people: the header of the hook's program says the same.
pub(crate) fn without(hook: Hook) -> &'static str {
    match hook {
        Hook::SchedProcessExec => "no exec hook is seen, and the init is known only where the agent finds it by itself",
        Hook::SchedProcessFork => {
            "of a hook's descendants only those are counted whose parent is still there when they execute a program or exit"
        }
        Hook::SchedProcessExit => "no termination is seen to end before its cgroup is empty, and no hook has a result",
        Hook::SignalGenerate => {
            "nothing tells when and by whom a container was stopped; late connections are not counted"
        }
        Hook::SignalDeliver => "a signal that was not ignored at once counts as handled",
        Hook::MarkVictim => "an OOM kill looks like a crash by SIGKILL",
        Hook::InetSockSetState => "nothing is said about connections",
        Hook::CgroupMkdir => "what a container does before the agent has found it is missed",
        Hook::CgroupRmdir => "what is gone is found by the next walk of the tree",
        Hook::CgroupNotifyPopulated => "a container ends with its init's exit",
        Hook::CgroupSkbEgress => "httpGet hooks are inferred from the spec and the stop signal",
        Hook::CgroupSkbIngress => "what became of an httpGet hook is not known, nor when it ended",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_programs_headers_say_the_same() {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent-ebpf/src/probes");
        for hook in Hook::ALL {
            let program = std::fs::read_to_string(programs.join(hook.name()).with_extension("rs")).unwrap();
            let header: Vec<&str> = program.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
            let expected = format!("Without it: {}.", without(hook));
            assert!(header.join(" ").contains(&expected), "{}: {expected}", hook.name());
        }
    }
}
