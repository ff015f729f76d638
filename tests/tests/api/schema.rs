//! The API is what its OpenAPI document says: schemathesis makes requests from it, right ones and wrong ones, and compares the
//! answers with it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use gracetrace_tests::agent::output;

use crate::node::Node;

/// Where `cargo xtask setup` and `cargo xtask test` put it.
fn schemathesis() -> PathBuf {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/schemathesis/bin/schemathesis");
    let program = env::var_os("GRACETRACE_SCHEMATHESIS").map_or_else(own, PathBuf::from);
    assert!(
        program.is_file(),
        "no schemathesis at {}: `cargo xtask test` installs it, or set GRACETRACE_SCHEMATHESIS to one",
        program.display()
    );
    program
}

#[test]
fn the_document_is_true() {
    let node = Node::new("schema");
    let mut agent = node.agent();
    // Something to be listed: one that has ended, and one that goes on.
    let mut ended = node.run(1, None);
    ended.delete();
    ended.end();
    let told = agent.termination();
    let going_on = node.run(2, Some("1000"));
    going_on.delete();
    let mut hook = going_on.start_hook();
    going_on.seen(&agent, |it| it["phase"] == "in_hook");
    let folder = tempfile::tempdir().expect("a folder");
    let said = output(
        Command::new(schemathesis())
            .args(["run", &format!("http://{}/api/v1/openapi.json", agent.address())])
            // It has no end.
            .args(["--exclude-path", "/api/v1/stream"])
            .args(["--max-examples", "50", "--seed", "7", "--no-color", "--request-timeout", "30"])
            .current_dir(folder.path()),
    );
    assert!(said.contains("No issues found"), "{said}");
    hook.kill().expect("it runs");
    hook.wait().expect("it ends");
    assert!(
        agent.get(&format!("/api/v1/terminations/{}", told["id"].as_str().expect("an id"))).starts_with("HTTP/1.1 200")
    );
    agent.kill();
}
