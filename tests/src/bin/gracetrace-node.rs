//! The processes of a real node that are the tests' own; see `cri_node`.

use std::env;
use std::path::Path;

use anyhow::{Context, Result, bail};
use gracetrace_tests::cri_node::{http_hook, runc, spaces};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().collect();
    let (name, rest) = arguments.split_first().context("a program without a name")?;
    match Path::new(name).file_name().and_then(|name| name.to_str()) {
        Some("runc") => return runc::run(rest),
        Some("kubelet") => return http_hook::serve(),
        _ => {}
    }
    let (part, rest) =
        rest.split_first().context("usage: hold SLICE | enter, visit or join PID CGROUP PROGRAM ARGUMENTS…")?;
    match part.as_str() {
        "hold" => spaces::hold(Path::new(rest.first().context("usage: hold SLICE")?)),
        "enter" => spaces::enter(rest),
        "visit" => spaces::visit(rest),
        "join" => spaces::join(rest),
        other => bail!("no part {other}: hold, enter, visit or join"),
    }
}
