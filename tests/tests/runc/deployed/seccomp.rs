//! The profile that a runtime applies for `RuntimeDefault`, from Debian's package golang-github-containers-common.

use std::fs;

use serde_json::{Value, json};

const FILE: &str = "/usr/share/containers/seccomp.json";

/// Whose rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runtime {
    /// As CRI-O has them: the file as it is.
    CriO,
    /// containerd's differ in what matters here: `bpf` is allowed with CAP_BPF (contrib/seccomp/seccomp_default.go).
    Containerd,
}

/// The profile for a process with these capabilities, as the runtime specification has it.
pub(crate) fn profile(runtime: Runtime, capabilities: &[String]) -> Value {
    let text = fs::read_to_string(FILE);
    let text = text.unwrap_or_else(|error| panic!("{FILE}: {error}: apt-get install golang-github-containers-common"));
    let file: Value = serde_json::from_str(&text).expect("the profile is JSON");
    let has = |capability: &Value| capabilities.iter().any(|own| capability == own);
    let mut rules: Vec<Value> = list(&file["syscalls"])
        .filter(|rule| {
            let (includes, excludes) = (&rule["includes"], &rule["excludes"]);
            list(&includes["caps"]).all(has)
                && !list(&excludes["caps"]).any(has)
                && (includes["arches"].is_null() || list(&includes["arches"]).any(|arch| arch == "amd64"))
        })
        .map(|rule| {
            let wanted = ["names", "action", "args", "errnoRet"];
            let fields = wanted.iter().filter(|name| !rule[**name].is_null());
            fields.map(|name| ((*name).to_owned(), rule[*name].clone())).collect()
        })
        .collect();
    if runtime == Runtime::Containerd && has(&json!("CAP_BPF")) {
        for rule in &mut rules {
            rule["names"].as_array_mut().expect("a rule has names").retain(|name| name != "bpf");
        }
        rules.push(json!({"names": ["bpf"], "action": "SCMP_ACT_ALLOW"}));
    }
    json!({
        "defaultAction": file["defaultAction"],
        "defaultErrnoRet": file["defaultErrnoRet"],
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": rules,
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
