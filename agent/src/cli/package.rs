//! What a package of the program contains besides: completions for shells, manual pages.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::{Cli, broken_pipe};

/// Print the completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Completions {
    /// Which shell
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  gracetrace completions bash > /usr/share/bash-completion/completions/gracetrace
  gracetrace completions zsh > /usr/share/zsh/vendor-completions/_gracetrace
  gracetrace completions fish > /usr/share/fish/vendor_completions.d/gracetrace.fish";

impl Completions {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut command(), NAME, &mut text);
        match io::stdout().write_all(&text) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => broken_pipe(error),
        }
    }
}

/// Write the manual pages, one for each command.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  gracetrace man /usr/share/man/man1")]
pub(super) struct Man {
    /// Where to; made if it is missing
    dir: PathBuf,
}

impl Man {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        fs::create_dir_all(&self.dir).with_context(|| format!("cannot make {}", self.dir.display()))?;
        let mut command = command();
        command.build();
        write(&self.dir, &command)?;
        for command in
            command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
        {
            write(&self.dir, command)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

const NAME: &str = "gracetrace";

fn command() -> Command {
    // Defaults that a machine's own variables set are none of the program's.
    Cli::command().mut_subcommands(|command| command.mut_args(|argument| argument.hide_env_values(true)))
}

fn write(dir: &Path, command: &Command) -> anyhow::Result<()> {
    let page = clap_mangen::Man::new(command.clone());
    let file = dir.join(page.get_filename());
    let mut text = Vec::new();
    page.render(&mut text).context("cannot write a manual page")?;
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_command_has_a_page_and_every_shell_its_completions() {
        let dir = tempfile::tempdir().unwrap();
        Man { dir: dir.path().join("man1") }.run().unwrap();
        let mut pages: Vec<String> = fs::read_dir(dir.path().join("man1"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        pages.sort();
        let names = ["-completions", "-list", "-man", "-replay", "-run", "-show", "-top", ""];
        assert_eq!(pages, names.map(|name| format!("gracetrace{name}.1")));
        let run = fs::read_to_string(dir.path().join("man1/gracetrace-run.1")).unwrap();
        for part in ["GRACETRACE_LISTEN", "keep\\-terminations", "Examples"] {
            assert!(run.contains(part), "{part}");
        }
        for shell in Shell::value_variants() {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut command(), NAME, &mut text);
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("keep-terminations") && text.contains("replay"), "{shell}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }
}
