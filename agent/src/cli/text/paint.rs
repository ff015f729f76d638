//! Colours of text on a terminal.

use std::env;
use std::fmt::Display;
use std::io::{IsTerminal, stdout};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;

/// Whether to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(in crate::cli) enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// In any case
    Always,
    /// Not at all
    Never,
}

impl Color {
    /// What that means for standard output.
    pub(in crate::cli) fn paint(self) -> Paint {
        let coloured = match self {
            Color::Auto => stdout().is_terminal() && wanted(),
            Color::Always => true,
            Color::Never => false,
        };
        if coloured { Paint::coloured() } else { Paint::plain() }
    }
}

/// Nobody asked for none (<https://no-color.org>, and terminals that have no colours).
pub(in crate::cli) fn wanted() -> bool {
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Paint {
    coloured: bool,
}

impl Paint {
    /// None.
    pub(in crate::cli) fn plain() -> Paint {
        Paint { coloured: false }
    }

    /// All.
    pub(in crate::cli) fn coloured() -> Paint {
        Paint { coloured: true }
    }

    fn with(self, style: Style, text: impl Display) -> String {
        if self.coloured { format!("{style}{text}{style:#}") } else { text.to_string() }
    }

    /// Names.
    pub(in crate::cli) fn bold(self, text: impl Display) -> String {
        self.with(Style::new().bold(), text)
    }

    /// What matters less.
    pub(in crate::cli) fn dim(self, text: impl Display) -> String {
        self.with(Style::new().dimmed(), text)
    }

    /// What was found.
    pub(in crate::cli) fn warn(self, text: impl Display) -> String {
        self.with(AnsiColor::Yellow.on_default().bold(), text)
    }

    /// What should not be.
    pub(in crate::cli) fn bad(self, text: impl Display) -> String {
        self.with(AnsiColor::Red.on_default(), text)
    }

    /// The style of an outcome, or of a phase while there is none.
    pub(in crate::cli) fn outcome(self, word: &str) -> Style {
        if !self.coloured {
            return Style::new();
        }
        match word {
            "graceful" | "completed" => AnsiColor::Green.on_default(),
            "forced" | "oom" | "crashed" | "killed" => AnsiColor::Red.on_default().bold(),
            "incomplete" => AnsiColor::Magenta.on_default(),
            _ => AnsiColor::Cyan.on_default(),
        }
    }
}
