//! The commands.

mod run;
mod replay;
mod metrics;
mod text;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Shows how Kubernetes pods die.
#[derive(Debug, Parser)]
#[command(name = "gracetrace", version, about, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  gracetrace run                              watch every pod of this node
  gracetrace run --pods pods.json             … and know their names, hooks and grace periods
  gracetrace run --record incident.gz         … and keep every input for later
  gracetrace replay incident.gz               show the terminations of a recording
  gracetrace replay incident.gz --json | jq   … as the API gives them

Exit status: 0 on success, 1 on failure, 2 on a bad command line.";

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::Run>),
    Replay(replay::Replay),
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// With one chain of causes that names the file or resource, and the way out.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Run(run) => run.run(),
            Command::Replay(replay) => replay.run(),
        }
    }
}
