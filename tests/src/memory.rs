//! Processes that use memory: until the OOM killer comes, but never all that the machine has.

use std::hint::black_box;
use std::process::{Command, Stdio};
use std::{env, thread};

use anyhow::{Context, Result};

/// More than any container of the tests may have, and less than any machine has to spare.
const MOST_MIB: usize = 256;

/// Uses some memory for as long as the result lives.
pub(crate) fn use_up(mib: usize) -> Vec<Vec<u8>> {
    // Written to, or the kernel only promises it.
    (0..mib).map(|_| black_box(vec![1; 1 << 20])).collect()
}

/// Uses more memory than a container may have. Where nothing limits it the process ends with an error.
pub fn hog() -> ! {
    drop(use_up(MOST_MIB));
    eprintln!("{MOST_MIB} MiB are used, and nobody minds");
    std::process::exit(1)
}

/// Has a child do so.
pub(crate) fn hog_in_child() -> Result<()> {
    let program = env::current_exe().context("cannot find the own program")?;
    let mut command = Command::new(program);
    let mut child = command.args(["play", "hog"]).stdin(Stdio::null()).spawn().context("cannot start a child")?;
    thread::spawn(move || child.wait());
    Ok(())
}
