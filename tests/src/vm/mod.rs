//! The suite that runs in a virtual machine: the agent on a kernel that is not this machine's, with cgroup v2 and all its
//! controllers. The same program is the machine's init, the suite, and every part of the node.

mod suite;
mod cases;
mod hooks;
mod connections;
mod init;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::parts::Part;

/// Where the virtual machine's file system has the agent.
const AGENT: &str = "/bin/gracetrace";

/// Tries gracetrace on the kernel of a virtual machine. `cargo xtask vm-test` makes one and starts this as its init.
#[derive(Debug, clap::Parser)]
#[command(name = "gracetrace-vm-suite", args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    suite: SuiteArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Play a part; for the node.
    #[command(hide = true)]
    Play {
        #[command(subcommand)]
        part: Part,
    },
}

/// What is expected of this kernel.
#[derive(Debug, Clone, clap::Args)]
struct SuiteArgs {
    /// Hooks that this kernel does not have.
    #[arg(long, value_delimiter = ',')]
    missing: Vec<String>,
    /// Hooks that the agent is told to leave out.
    #[arg(long, value_delimiter = ',')]
    disable: Vec<String>,
    /// No time may be off by more milliseconds.
    #[arg(long, default_value_t = 10)]
    each_ms: u64,
    /// The median of all must be less.
    #[arg(long, default_value_t = 1)]
    median_ms: u64,
    /// So many pods at a time.
    #[arg(long, default_value_t = 1)]
    pods: usize,
    /// Only these scenarios.
    #[arg(long)]
    scenario: Vec<String>,
    /// The agent.
    #[arg(long, default_value = AGENT)]
    agent: PathBuf,
    /// Where the results go.
    #[arg(long, default_value = "/dev/stdout")]
    results: PathBuf,
}

/// Runs the program: the init, the suite or a part.
pub fn main() -> ExitCode {
    // A sandbox and a container are the first of a pid namespace too, and play a part.
    if std::process::id() == 1 && std::env::args().nth(1).as_deref() != Some("play") {
        return init::run();
    }
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Play { part }) => part.play().map(|()| ExitCode::SUCCESS),
        None => suite::run(&cli.suite),
    };
    result.unwrap_or_else(|error| {
        eprintln!("gracetrace-vm-suite: {error:#}");
        ExitCode::FAILURE
    })
}
