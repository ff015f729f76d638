//! The board on a screen of any size.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table, TableState, Wrap};

use super::board::{Board, Budget, Entry, Link, View};
use crate::cli::text::{Escaped, Text, name_of};
use crate::model::BootTime;

/// How it is to look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looks {
    /// Colours; without, bold and reversed text have to do.
    pub(super) coloured: bool,
}

impl Looks {
    fn colour(self, colour: Color) -> Style {
        if self.coloured { Style::new().fg(colour) } else { Style::new() }
    }

    fn outcome(self, word: &str) -> Style {
        match word {
            "graceful" | "completed" => self.colour(Color::Green),
            "forced" | "oom" | "crashed" | "killed" => self.colour(Color::Red).bold(),
            "incomplete" => self.colour(Color::Magenta),
            _ => self.colour(Color::Cyan),
        }
    }

    fn findings(self) -> Style {
        self.colour(Color::Yellow)
    }

    fn dim(self) -> Style {
        Style::new().dim()
    }
}

/// Columns that the smaller parts of the screen need.
const NARROW: u16 = 60;
const WIDE: u16 = 110;

/// Draws everything. Returns how many lines a page has.
pub(super) fn draw(frame: &mut Frame<'_>, board: &mut Board, place: &str, now: BootTime, looks: Looks) -> usize {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)]).areas(frame.area());
    frame.render_widget(head_line(board, place, now, looks), head);
    match board.view {
        View::Timeline => timeline(frame, body, board, now, looks),
        View::Help => frame.render_widget(Paragraph::new(HELP).wrap(Wrap { trim: false }), body),
        View::List | View::Filter => lists(frame, body, board, now, looks),
    }
    frame.render_widget(foot_line(board, looks), foot);
    usize::from(body.height.saturating_sub(2)).max(1)
}

const HELP: &str = "
  up, k / down, j     one up, one down
  PageUp, PageDown    a page
  Home, g / End, G    the first, the last
  Enter               the timeline of the termination under the cursor; again, or Esc, closes it
  /                   filter: words that all have to be there, of pod, namespace, workload, outcome, phase,
                      reason or finding; Enter keeps it, Esc clears it
  q, Ctrl-C           leave

  The bar is the grace period: \u{2588} used by the preStop hook, \u{2593} since the stop signal, \u{2592} other time, \u{2591} left.

  Any key goes back.";

fn head_line(board: &Board, place: &str, now: BootTime, looks: Looks) -> Line<'static> {
    let link = match &board.link {
        Link::Connecting => Span::styled("connecting", looks.colour(Color::Yellow)),
        Link::Live => Span::styled("live", looks.colour(Color::Green)),
        Link::Down { reason, again } => {
            let wait = again.since(now).as_secs_f64().ceil();
            let text = format!("disconnected, trying again in {wait:.0} s: {}", Escaped(reason));
            Span::styled(text, looks.colour(Color::Red).bold())
        }
    };
    let place = Span::styled(Escaped(place).to_string(), looks.dim());
    Line::from(vec!["gracetrace top".bold(), "  ".into(), link, "  ".into(), place])
}

fn foot_line(board: &Board, looks: Looks) -> Line<'static> {
    match board.view {
        View::Filter => Line::from(vec!["/".bold(), Escaped(&board.filter).to_string().into(), "\u{2588}".into()]),
        View::Timeline => Line::styled("Esc back  j k scroll  q leave", looks.dim()),
        View::Help => Line::styled("any key: back", looks.dim()),
        View::List if board.filter.is_empty() => {
            Line::styled("Enter timeline  / filter  j k move  ? help  q leave", looks.dim())
        }
        View::List => {
            let filter = format!("filter: {}", Escaped(&board.filter));
            Line::from(vec![Span::styled(filter, looks.findings()), Span::styled("  Esc clears it", looks.dim())])
        }
    }
}

fn lists(frame: &mut Frame<'_>, area: Rect, board: &Board, now: BootTime, looks: Looks) {
    let (going_on, ended) = (board.in_progress(), board.ended());
    // A title and a row each at least; what goes on gets half at most.
    let wanted = u16::try_from(going_on.len()).unwrap_or(u16::MAX).max(1).saturating_add(1);
    let most = if ended.is_empty() { area.height.saturating_sub(2) } else { area.height / 2 };
    let [above, below] =
        Layout::vertical([Constraint::Length(wanted.min(most.max(2))), Constraint::Fill(1)]).areas(area);
    let title = format!(" Going on: {} ", going_on.len());
    let rows = going_on.iter().map(|entry| going_on_row(entry, area.width, now, looks)).collect();
    let none = if board.filter.is_empty() { "no pod is being terminated" } else { "none that passes the filter" };
    section(frame, above, Section { title, rows, none, at: position(&going_on, board) }, going_on_widths(area.width));
    let title = format!(" Ended: {} ", ended.len());
    let rows = ended.iter().map(|entry| ended_row(entry, area.width, looks)).collect();
    let none = match (board.len(), &board.link) {
        (0, Link::Live) => "the agent has seen no pod end so far",
        (0, _) => "nothing is known yet",
        _ if board.filter.is_empty() => "none so far",
        _ => "none that passes the filter",
    };
    section(frame, below, Section { title, rows, none, at: position(&ended, board) }, ended_widths(area.width));
}

struct Section<'a> {
    title: String,
    rows: Vec<Row<'a>>,
    none: &'static str,
    /// Of the cursor, if it is here.
    at: Option<usize>,
}

fn position(rows: &[&Entry], board: &Board) -> Option<usize> {
    rows.iter().position(|entry| Some(&entry.of.id) == board.selected.as_ref())
}

fn section(frame: &mut Frame<'_>, area: Rect, section: Section<'_>, widths: Vec<Constraint>) {
    let block = Block::new().borders(ratatui::widgets::Borders::TOP).title(section.title.bold());
    if section.rows.is_empty() {
        frame.render_widget(Paragraph::new(format!("  {}", section.none)).dim().block(block), area);
        return;
    }
    let table = Table::new(section.rows, widths)
        .block(block)
        .column_spacing(1)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(section.at));
}

fn going_on_widths(width: u16) -> Vec<Constraint> {
    let name = Constraint::Fill(1);
    let (phase, numbers) = (Constraint::Length(8), Constraint::Length(11));
    match width {
        0..NARROW => vec![name, phase, numbers],
        _ => vec![name, phase, Constraint::Length(bar_width(width)), numbers],
    }
}

fn bar_width(width: u16) -> u16 {
    (width / 4).min(40)
}

fn going_on_row(entry: &Entry, width: u16, now: BootTime, looks: Looks) -> Row<'static> {
    let of = &entry.of;
    let budget = entry.budget(now);
    let numbers = budget.map_or("-".to_owned(), |budget| match budget.grace {
        Some(grace) => format!("{:.1}/{grace:.0} s", budget.used),
        None => format!("{:.1} s", budget.used),
    });
    let phase = Cell::from(Span::styled(Escaped(&of.phase).to_string(), looks.outcome(&of.phase)));
    let name = Cell::from(name_of(of));
    let numbers = Cell::from(Line::from(numbers).right_aligned());
    match width {
        0..NARROW => Row::new([name, phase, numbers]),
        _ => Row::new([name, phase, Cell::from(bar(budget, bar_width(width), looks)), numbers]),
    }
}

/// The grace period: what of it was used, by what. Full when it is used up.
fn bar(budget: Option<Budget>, width: u16, looks: Looks) -> Line<'static> {
    let Some((budget, grace)) = budget.and_then(|budget| Some((budget, budget.grace.filter(|grace| *grace > 0.0)?)))
    else {
        return Line::default();
    };
    let whole = grace.max(budget.used);
    // Every number in here is from 0 to the width.
    let cells = |seconds: f64| ((seconds / whole * f64::from(width)).round() as usize).min(usize::from(width));
    let used = cells(budget.used);
    let hook = cells(budget.hook).min(used);
    let drain = cells(budget.drain).min(used - hook);
    let colour = if budget.used > grace * 0.8 { Color::Red } else { Color::Cyan };
    Line::from(vec![
        Span::styled("\u{2588}".repeat(hook), looks.colour(Color::Blue)),
        Span::styled("\u{2592}".repeat(used - hook - drain), looks.dim()),
        Span::styled("\u{2593}".repeat(drain), looks.colour(colour)),
        Span::styled("\u{2591}".repeat(usize::from(width) - used), looks.dim()),
    ])
}

fn ended_widths(width: u16) -> Vec<Constraint> {
    let (at, outcome) = (Constraint::Length(8), Constraint::Length(10));
    match width {
        0..NARROW => vec![Constraint::Fill(1), outcome],
        NARROW..WIDE => vec![at, Constraint::Fill(1), outcome, Constraint::Length(11), Constraint::Fill(1)],
        _ => vec![at, Constraint::Fill(2), outcome, Constraint::Length(11), Constraint::Fill(3)],
    }
}

fn ended_row(entry: &Entry, width: u16, looks: Looks) -> Row<'static> {
    let of = &entry.of;
    let word = of.outcome.as_deref().unwrap_or(&of.phase);
    let outcome = Cell::from(Span::styled(Escaped(word).to_string(), looks.outcome(word)));
    let name = Cell::from(name_of(of));
    if width < NARROW {
        return Row::new([name, outcome]);
    }
    let at = of.end.map(|end| end.to_string()).unwrap_or_default();
    let used = match (of.grace_used_seconds, of.grace_period_seconds) {
        (Some(used), Some(grace)) => format!("{used:.1}/{grace} s"),
        (Some(used), None) => format!("{used:.1} s"),
        (None, _) => "-".to_owned(),
    };
    let mut findings: Vec<&str> = of.findings.iter().map(|finding| &*finding.id).collect();
    findings.dedup();
    Row::new([
        Cell::from(Span::styled(at.get(11..19).unwrap_or_default().to_owned(), looks.dim())),
        name,
        outcome,
        Cell::from(Line::from(used).right_aligned()),
        Cell::from(Span::styled(Escaped(&findings.join(" ")).to_string(), looks.findings())),
    ])
}

fn timeline(frame: &mut Frame<'_>, area: Rect, board: &mut Board, now: BootTime, looks: Looks) {
    let Some(entry) = board.under_cursor() else {
        frame.render_widget(Paragraph::new("  it is not there any more").dim(), area);
        return;
    };
    let mut lines = vec![bar(entry.budget(now), area.width.min(100), looks)];
    let text = Text::plain(&entry.of).to_string();
    for (at, line) in text.trim_end().lines().enumerate() {
        let style = match line.trim_start() {
            _ if at == 0 => looks.outcome(entry.of.outcome.as_deref().unwrap_or(&entry.of.phase)).bold(),
            line if line.starts_with("! ") => looks.findings(),
            line if line.contains("SIGKILL") => looks.colour(Color::Red),
            _ => Style::new(),
        };
        lines.extend(wrap(line, area.width).into_iter().map(|line| Line::styled(line, style)));
    }
    board.scroll = board.scroll.min(lines.len().saturating_sub(usize::from(area.height)));
    let shown: Vec<Line<'_>> = lines.into_iter().skip(board.scroll).take(usize::from(area.height)).collect();
    frame.render_widget(Paragraph::new(shown), area);
}

/// A line in pieces that fit, those after the first further in. Broken at spaces, or within a word that fits nowhere.
fn wrap(line: &str, width: u16) -> Vec<String> {
    let width = usize::from(width.max(1));
    let indent = line.len() - line.trim_start().len();
    let further = " ".repeat((indent + 4).min(width / 2));
    let (mut pieces, mut piece, mut column) = (Vec::new(), " ".repeat(indent.min(width / 2)), indent.min(width / 2));
    for word in line.trim_start().split_inclusive(' ') {
        let len = Span::raw(word.trim_end()).width();
        if column + len > width && !piece.trim_start().is_empty() {
            pieces.push(std::mem::replace(&mut piece, further.clone()));
            column = further.len();
        }
        for char in word.chars() {
            let len = Span::raw(char.to_string()).width();
            if column + len > width && char != ' ' {
                pieces.push(std::mem::replace(&mut piece, further.clone()));
                column = further.len();
            }
            piece.push(char);
            column += len;
        }
    }
    pieces.push(piece);
    pieces
}

#[cfg(test)]
mod tests;
