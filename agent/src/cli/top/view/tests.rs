use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::super::board::{Key, News};
use super::*;
use crate::report::fixture::{at, full, in_progress, numbered, unknown_pod};
use crate::report::termination;

const PLACE: &str = "http://127.0.0.1:9464";

fn busy() -> Board {
    let mut board = Board::default();
    let mut list: Vec<_> = (1..=40).map(|number| termination(&numbered(number), at(500.0))).collect();
    list.push(termination(&unknown_pod(), at(500.0)));
    list.push(termination(&in_progress(), at(112.0)));
    let mut stopping = full();
    stopping.id = crate::model::TerminationId::new("stopping");
    stopping.pod = Some("cart-0".into());
    (stopping.end, stopping.outcome, stopping.phase) = (None, None, crate::model::Phase::Killed);
    stopping.containers[0].exit = None;
    list.push(termination(&stopping, at(131.5)));
    board.handle_news(News::List(list), at(1_000.0));
    board
}

fn screen(board: &mut Board, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| _ = draw(frame, board, PLACE, at(1_000.5), Looks { coloured: true })).unwrap();
    terminal.backend().to_string()
}

#[test]
fn a_usual_terminal() {
    insta::assert_snapshot!(screen(&mut busy(), 80, 24));
}

#[test]
fn a_wide_one() {
    insta::assert_snapshot!(screen(&mut busy(), 140, 16));
}

#[test]
fn a_narrow_one() {
    insta::assert_snapshot!(screen(&mut busy(), 40, 12));
}

#[test]
fn a_timeline() {
    let mut board = busy();
    board.handle_key(Key::End, 10);
    board.handle_key(Key::Enter, 10);
    insta::assert_snapshot!(screen(&mut board, 80, 24));
    board.handle_key(Key::Char('G'), 10);
    let end = screen(&mut board, 50, 12);
    assert!(
        end.contains("Raise terminationGracePeriodSeconds.") && !end.contains("default/web-1"),
        "its last line is in sight:\n{end}"
    );
}

#[test]
fn nothing_yet_and_no_agent() {
    let mut board = Board::default();
    let connecting = screen(&mut board, 80, 10);
    assert!(connecting.contains("connecting") && connecting.contains("nothing is known yet"), "{connecting}");
    board.handle_news(News::List(Vec::new()), at(1_000.0));
    let empty = screen(&mut board, 80, 10);
    assert!(empty.contains("live") && empty.contains("no pod is being terminated"), "{empty}");
    assert!(empty.contains("the agent has seen no pod end so far"), "{empty}");
    board.handle_news(News::Down("it is gone".into(), Duration::from_secs(4)), at(1_000.0));
    let down = screen(&mut board, 80, 10);
    assert!(down.contains("disconnected, trying again in 4 s: it is gone"), "{down}");
}

#[test]
fn help_and_filter() {
    let mut board = busy();
    board.handle_key(Key::Char('?'), 10);
    assert!(screen(&mut board, 100, 20).contains("the timeline of the termination under the cursor"));
    board.handle_key(Key::Escape, 10);
    "/web-40".chars().for_each(|char| assert!(board.handle_key(Key::Char(char), 10)));
    let filtered = screen(&mut board, 80, 24);
    assert!(filtered.contains("/web-40\u{2588}") && filtered.contains("Ended: 1 "), "{filtered}");
    board.handle_key(Key::Enter, 10);
    assert!(screen(&mut board, 80, 24).contains("filter: web-40"));
}

#[test]
fn no_size_is_too_small_and_no_text_too_hostile() {
    let mut hostile = full();
    hostile.pod = Some(format!("\u{1b}[2J\u{202e}{}日本", "x".repeat(10_000)).into());
    hostile.findings[0].message = "\u{7}\u{9b}".repeat(5_000);
    let mut board = busy();
    board.handle_news(News::Changed(Box::new(termination(&hostile, at(500.0)))), at(1_000.0));
    for key in [Key::Home, Key::Enter, Key::End, Key::Escape, Key::Char('?'), Key::Escape, Key::Char('/')] {
        board.handle_key(key, 3);
        for (width, height) in [(1, 1), (2, 3), (5, 2), (19, 7), (60, 4), (200, 60)] {
            let text = screen(&mut board, width, height);
            assert!(!text.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']), "{width}x{height}");
        }
    }
}

#[test]
fn without_colours_there_are_none() {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| _ = draw(frame, &mut busy(), PLACE, at(1_000.5), Looks { coloured: false })).unwrap();
    let cells = &terminal.backend().buffer().content;
    assert!(cells.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
}

#[test]
fn lines_are_broken_where_words_end() {
    assert_eq!(wrap("  one two three", 9), ["  one two ", "    three"]);
    assert_eq!(wrap("one", 9), ["one"]);
    assert_eq!(wrap("", 9), [""]);
    assert_eq!(wrap("abcdefghij", 4), ["abcd", "  ef", "  gh", "  ij"]);
    assert_eq!(wrap("日本語", 4), ["日本", "  語"]);
    for width in 0..5 {
        assert_eq!(wrap("    a bc", width).concat().replace(' ', ""), "abc");
    }
}
