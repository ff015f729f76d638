//! The commands.

mod run;
mod replay;
mod top;
mod list;
mod show;
mod package;
mod client;
mod metrics;
mod text;

use std::io;
use std::process::ExitCode;

use anyhow::Context;
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
  gracetrace top                              watch pods being terminated, as the agent here sees it
  gracetrace list --since 1h --outcome forced list what it has seen
  gracetrace show POD                         … and the timeline of one
  gracetrace replay incident.gz               show the terminations of a recording
  gracetrace replay incident.gz --json | jq   … as the API gives them

Exit status: 0 on success, 1 on failure, 2 on a bad command line.";

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::Run>),
    Top(top::Top),
    List(Box<list::List>),
    Show(show::Show),
    Replay(replay::Replay),
    Completions(package::Completions),
    Man(package::Man),
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// With one chain of causes that names the file or resource, and the way out.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Run(run) => run.run(),
            Command::Top(top) => top.run(),
            Command::List(list) => list.run(),
            Command::Show(show) => show.run(),
            Command::Replay(replay) => replay.run(),
            Command::Completions(completions) => completions.run(),
            Command::Man(man) => man.run(),
        }
    }
}

/// A reader that has seen enough, such as `head`, is no failure.
fn broken_pipe(error: io::Error) -> anyhow::Result<ExitCode> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        _ => Err(error).context("cannot write to standard output"),
    }
}
