//! Set-up, build, demo, tests and benches of gracetrace. Run as `cargo xtask`.

mod setup;
mod build;
mod cross;
mod image;
mod package;
mod apt;
mod test;
mod vm;
mod counting;
mod rules;
mod dashboards;
mod tidy;
mod docs;
mod screenshots;
mod command;

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Result, anyhow};
use clap::{Parser, Subcommand};

use self::build::{AGENT, BENCH, DEMO, Kind, Program};

const EXAMPLES: &str = "\
Examples:
  cargo xtask demo                 pods come and go until Ctrl-C; sets everything up first
  cargo xtask demo --once          every scenario once, compared with what really happened
  cargo xtask test                 every test; needs root
  cargo xtask test -p gracetrace correlator::
                                   some tests: arguments go to cargo test
  cargo xtask vm-test              every kernel that Debian ships, each in a virtual machine
  cargo xtask build --static       one file without shared libraries
  cargo xtask build --target aarch64
                                   the same for arm64
  cargo xtask image                the same as a container image in one file
  cargo xtask package              the same with completions and manual pages, as a package installs them
  cargo xtask bench                what the agent costs; --peers: beside other tools
  cargo xtask rules                rules and alerts for Prometheus, from xtask/src/rules
  cargo xtask dashboards           the Grafana dashboards in deploy/dashboards, written anew
  cargo xtask screenshots          pictures of the page, in target/screenshots
  cargo xtask setup                only find or install the eBPF toolchain
";

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Tasks of gracetrace", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Trace real processes being stopped like pods (needs root)
    #[command(disable_help_flag = true)]
    Demo {
        /// For the demo: see `cargo xtask demo --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run every test (needs root)
    Test {
        /// For `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run the agent on every kernel of the matrix, each in a virtual machine
    VmTest(vm::VmTest),
    /// Measure what the agent costs (needs root)
    #[command(disable_help_flag = true)]
    Bench {
        /// For the bench: see `cargo xtask bench --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build the agent, and print its path
    Build {
        /// As it is shipped
        #[arg(long)]
        release: bool,
        /// For release, without shared libraries
        #[arg(long = "static")]
        is_static: bool,
        /// The same for another kind of machine, such as aarch64, and try it out under an emulator
        #[arg(long, value_name = "TARGET")]
        target: Option<String>,
    },
    /// Make a container image of one static file, as a tarball for containerd, CRI-O and Docker
    Image {
        /// The tarball [default: target/gracetrace-image.tar]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// The image's name [default: localhost/gracetrace:VERSION]
        #[arg(long, value_name = "NAME[:TAG]")]
        tag: Option<String>,
    },
    /// Make the tree that a package installs: the program, completions, manual pages
    Package {
        /// Where it goes, the prefix of a package [default: target/package]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Make recording rules, alerts and SLOs for Prometheus
    Rules(rules::Rules),
    /// Write the Grafana dashboards in deploy/dashboards
    Dashboards,
    /// Write what is generated from the code: docs/metrics.md, agent/src/http/openapi.json
    Docs,
    /// Make pictures of the page in every view, light and dark, wide and narrow (needs root)
    Screenshots {
        /// Where they go [default: target/screenshots]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Check the rules of the tree that neither rustc nor clippy knows
    Tidy,
    /// Find the eBPF toolchain, or install it (Debian, as root)
    Setup,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Demo { arguments } => become_program(DEMO, &arguments),
        Task::Bench { arguments } => {
            if arguments.iter().any(|argument| argument == "--peers")
                && let Err(error) = setup::programs_for_peers()
            {
                eprintln!("setup: {error:#}; going on without them");
            }
            become_program(BENCH, &arguments)
        }
        Task::Test { arguments } => test::run(&arguments),
        Task::VmTest(task) => vm::run(&task),
        Task::Build { target: Some(target), .. } => cross::run(&target),
        Task::Build { is_static: true, .. } => build::run(Kind::Static),
        Task::Build { release: true, .. } => build::run(Kind::Release),
        Task::Build { .. } => build::run(Kind::Debug),
        Task::Image { output, tag } => image::run(output, tag.as_deref()),
        Task::Package { out } => package::run(out),
        Task::Rules(task) => task.run(),
        Task::Dashboards => dashboards::run(),
        Task::Docs => docs::run(),
        Task::Screenshots { out } => screenshots::run(out),
        Task::Tidy => tidy::run(),
        Task::Setup => setup::ebpf_toolchain(),
    }
}

/// Builds the agent and a program that drives it, and becomes that program, so that signals and the exit status are its own.
fn become_program(program: Program, arguments: &[String]) -> Result<()> {
    setup::ebpf_toolchain()?;
    let built = build::programs(Kind::Release, &[AGENT, program])?;
    let mut command = Command::new(&built[1]);
    command.arg("--agent").arg(&built[0]).args(arguments);
    for name in command::outer_cargo_variables() {
        command.env_remove(name);
    }
    let error = command.exec();
    Err(anyhow!(error).context(format!("cannot run {}", built[1].display())))
}
