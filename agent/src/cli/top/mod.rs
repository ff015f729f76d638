//! `gracetrace top`: what goes on and what has ended, as it happens.

mod board;
mod follow;
mod view;

use std::io::{IsTerminal, stdin, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::client::{self, Agent};
use super::text::{Color, wanted};
use crate::clock;
use board::{Board, Key};
use view::Looks;

/// Watch pods being terminated, on a terminal.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Top {
    #[command(flatten)]
    agent: Agent,
    /// Whether to use colours
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    color: Color,
}

const EXAMPLES: &str = "\
Examples:
  gracetrace top
  gracetrace top --url http://127.0.0.1:9465      after `kubectl port-forward -n gracetrace POD 9465:9464`

Keys: arrows or j and k move, Enter opens a timeline, / filters, ? helps, q leaves.";

/// How often what moves is drawn.
const FRAME: Duration = Duration::from_millis(250);

impl Top {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        ensure!(
            stdin().is_terminal() && stdout().is_terminal(),
            "top needs a terminal; `gracetrace list` writes to files and pipes, and {}/api/v1/stream tells of changes",
            self.agent.url
        );
        client::run(self.watch())?;
        Ok(ExitCode::SUCCESS)
    }

    async fn watch(self) -> anyhow::Result<()> {
        let looks = Looks {
            coloured: match self.color {
                Color::Auto => wanted(),
                Color::Always => true,
                Color::Never => false,
            },
        };
        let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
        let mut hang_up = signal(SignalKind::hangup()).context("cannot handle SIGHUP")?;
        let place = self.agent.url.to_string();
        let (sender, mut news) = mpsc::channel(64);
        tokio::spawn(follow::follow(self.agent, sender));
        let mut input = read_input().context("cannot start a thread")?;
        let mut screen = Screen::open().context("cannot use the terminal")?;
        let mut board = Board::default();
        loop {
            let mut page = 1;
            let now = clock::boot_now();
            let drawn = screen.terminal.draw(|frame| page = view::draw(frame, &mut board, &place, now, looks));
            drawn.context("cannot write to the terminal")?;
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = hang_up.recv() => return Ok(()),
                event = input.recv() => match event {
                    Some(Ok(event)) => if !take_event(&mut board, &event, page) {
                        return Ok(());
                    },
                    Some(Err(error)) => return Err(error).context("cannot read from the terminal"),
                    None => return Ok(()),
                },
                Some(item) = news.recv() => {
                    board.handle_news(item, clock::boot_now());
                    // What has come meanwhile goes into the same picture.
                    while let Ok(item) = news.try_recv() {
                        board.handle_news(item, clock::boot_now());
                    }
                }
                () = sleep(FRAME), if board.is_moving() => {}
            }
        }
    }
}

/// The terminal while it is ours. Given back when dropped, and in a panic.
struct Screen {
    terminal: ratatui::DefaultTerminal,
}

impl Screen {
    fn open() -> std::io::Result<Screen> {
        Ok(Screen { terminal: ratatui::try_init()? })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.terminal.show_cursor();
        ratatui::restore();
    }
}

/// Reading blocks: it has a thread of its own, which ends with the process.
fn read_input() -> std::io::Result<mpsc::Receiver<std::io::Result<Event>>> {
    let (sender, events) = mpsc::channel(64);
    std::thread::Builder::new().name("terminal".to_owned()).spawn(move || {
        loop {
            let event = event::read();
            let is_last = event.is_err();
            if sender.blocking_send(event).is_err() || is_last {
                return;
            }
        }
    })?;
    Ok(events)
}

/// False when it asks for the end.
fn take_event(board: &mut Board, event: &Event, page: usize) -> bool {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => match meaning(key) {
            Meaning::Key(key) => board.handle_key(key, page),
            Meaning::Leave => false,
            Meaning::Nothing => true,
        },
        // Another size: it is drawn anew in any case.
        _ => true,
    }
}

enum Meaning {
    Key(Key),
    Leave,
    Nothing,
}

fn meaning(key: &KeyEvent) -> Meaning {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Meaning::Key(match key.code {
        KeyCode::Char('c' | 'd') if control => return Meaning::Leave,
        KeyCode::Char('f') if control => Key::PageDown,
        KeyCode::Char('b') if control => Key::PageUp,
        KeyCode::Char(char) if !control && !key.modifiers.contains(KeyModifiers::ALT) => Key::Char(char),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc | KeyCode::Left => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return Meaning::Nothing,
    })
}
