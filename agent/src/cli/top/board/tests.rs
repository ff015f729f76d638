use super::*;
use crate::report::fixture::{at, full, in_progress, numbered};
use crate::report::termination;

fn board(numbers: impl IntoIterator<Item = u64>) -> Board {
    let mut board = Board::default();
    let list = numbers.into_iter().map(|number| termination(&numbered(number), at(500.0))).collect();
    board.handle_news(News::List(list), at(500.0));
    board
}

fn goes_on() -> Termination {
    termination(&in_progress(), at(112.0))
}

fn keys(board: &mut Board, keys: impl IntoIterator<Item = Key>) {
    keys.into_iter().for_each(|key| assert!(board.handle_key(key, 5)));
}

fn ids(rows: Vec<&Entry>) -> Vec<&str> {
    rows.into_iter().map(|entry| entry.of.id.as_str()).collect()
}

#[test]
fn the_cursor_stays_on_what_it_is_on() {
    let mut board = board(1..=9);
    assert_eq!(board.link, Link::Live);
    assert_eq!(board.selected.as_deref(), Some("uid-9"));
    keys(&mut board, [Key::Down, Key::Char('j')]);
    assert_eq!(board.selected.as_deref(), Some("uid-7"));
    board.handle_news(News::Changed(Box::new(goes_on())), at(500.0));
    board.handle_news(News::Changed(Box::new(termination(&numbered(20), at(500.0)))), at(500.0));
    assert_eq!(board.selected.as_deref(), Some("uid-7"), "others came");
    keys(&mut board, [Key::Home]);
    assert_eq!(board.selected, Some(full().id.to_string()), "what goes on is on top");
    keys(&mut board, [Key::Up, Key::PageDown]);
    assert_eq!(board.selected.as_deref(), Some("uid-6"));
    keys(&mut board, [Key::Char('G'), Key::Down]);
    assert_eq!(board.selected.as_deref(), Some("uid-1"));
    board.handle_news(News::Gone("uid-1".into()), at(500.0));
    assert_eq!(board.selected, Some(full().id.to_string()), "it is gone");
}

#[test]
fn a_filter_is_words_that_all_have_to_be_there() {
    let mut board = board(1..=12);
    keys(&mut board, "/WEB-1 forced".chars().map(Key::Char));
    assert_eq!(ids(board.ended()), ["uid-12", "uid-11", "uid-10", "uid-1"]);
    assert_eq!(board.view, View::Filter);
    keys(&mut board, [Key::Enter]);
    assert_eq!((&board.view, board.filter.as_str()), (&View::List, "WEB-1 forced"));
    keys(&mut board, [Key::Escape]);
    assert_eq!(board.ended().len(), 12);
    keys(&mut board, "/nobody".chars().map(Key::Char));
    assert_eq!((board.ended().len(), board.selected.as_ref()), (0, None));
    keys(&mut board, [Key::Enter, Key::Enter, Key::Down]);
    assert_eq!(board.view, View::List, "there is none to open");
    keys(&mut board, "/q".chars().map(Key::Char).chain([Key::Backspace]));
    assert_eq!(board.filter, "nobody", "q is a letter there");
    keys(&mut board, [Key::Escape]);
    assert_eq!(board.selected.as_deref(), Some("uid-12"));
    assert!(!board.handle_key(Key::Char('q'), 5));
}

#[test]
fn the_timeline_opens_and_closes_and_keeps_what_it_shows() {
    let mut board = board(1..=3);
    keys(&mut board, [Key::Enter, Key::Down, Key::PageDown]);
    assert_eq!((&board.view, board.scroll), (&View::Timeline, 6));
    board.handle_news(News::Gone("uid-3".into()), at(500.0));
    assert_eq!(board.under_cursor().unwrap().of.id, "uid-3", "it is being looked at");
    keys(&mut board, [Key::Char('g'), Key::Up, Key::Escape, Key::Char('?')]);
    assert_eq!((&board.view, board.scroll), (&View::Help, 0));
    keys(&mut board, [Key::Char('x')]);
    assert_eq!(board.view, View::List);
}

#[test]
fn grace_is_counted_on_between_news() {
    let mut board = Board::default();
    board.handle_news(News::Changed(Box::new(goes_on())), at(1_000.0));
    let entry = board.under_cursor().unwrap();
    let budget = entry.budget(at(1_003.0)).unwrap();
    assert_eq!(budget, Budget { used: 15.0, grace: Some(30.0), hook: 15.0, drain: 0.0 }, "its hook runs");
    assert_eq!(entry.used(at(900.0)), Some(12.0));
    assert!(board.is_moving());
    board.handle_news(News::Changed(Box::new(termination(&full(), at(500.0)))), at(1_004.0));
    let budget = board.under_cursor().unwrap().budget(at(2_000.0)).unwrap();
    // Stopped after 30 s under its hook, ended after 32.012 s.
    assert!((budget.hook - 30.0).abs() < 1e-6 && (budget.drain - 2.012).abs() < 1e-3, "{budget:?}");
}

#[test]
fn it_keeps_so_many_and_no_more() {
    let mut board = board(1..=MOST as u64 + 10);
    assert_eq!(board.len(), MOST);
    board.handle_news(News::Changed(Box::new(goes_on())), at(500.0));
    assert_eq!((board.len(), board.in_progress().len()), (MOST, 1), "what goes on stays, however old");
}

#[test]
fn an_agent_that_is_away() {
    let mut board = board(1..=3);
    board.handle_news(News::Down("connection refused".into(), Duration::from_secs(2)), at(600.0));
    assert_eq!(board.link, Link::Down { reason: "connection refused".into(), again: at(602.0) });
    assert_eq!(board.len(), 3, "what was known stays on the screen");
    board.handle_news(News::List(Vec::new()), at(603.0));
    assert_eq!((&board.link, board.len(), board.selected.as_ref()), (&Link::Live, 0, None));
}
