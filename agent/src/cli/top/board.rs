//! What `top` shows, and what keys do to it. No terminal, no clock, no connection.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::BootTime;
use crate::report::{Termination, Time, seconds};

/// As many terminations as an agent keeps by default.
pub(super) const MOST: usize = 2_000;

/// The whole state.
#[derive(Debug)]
pub(super) struct Board {
    entries: BTreeMap<String, Entry>,
    /// The id of the termination under the cursor.
    pub(super) selected: Option<String>,
    /// Words that all have to be there.
    pub(super) filter: String,
    /// What is open.
    pub(super) view: View,
    /// How far the view is scrolled down, in lines.
    pub(super) scroll: usize,
    /// How it stands with the agent.
    pub(super) link: Link,
}

/// One termination, and when it was heard of.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) of: Termination,
    heard: BootTime,
}

impl Entry {
    /// Grace used by `now`. Counted here from the last news on: the agent's clock may be another one.
    pub(super) fn used(&self, now: BootTime) -> Option<f64> {
        let used = self.of.grace_used_seconds?;
        Some(if self.of.end.is_some() { used } else { used + seconds(now.since(self.heard)) })
    }

    /// How it was used by `now`.
    pub(super) fn budget(&self, now: BootTime) -> Option<Budget> {
        let (of, used) = (&self.of, self.used(now)?);
        let after = |at: Time| (at.0.0.saturating_sub(of.start.0.0) as f64 / 1e9).clamp(0.0, used);
        let stopped =
            of.containers.iter().filter_map(|container| container.stop_signal.as_ref()).map(|stop| after(stop.at));
        let stopped = stopped.fold(None, |last: Option<f64>, at| Some(last.map_or(at, |last| last.max(at))));
        let hooks = of.containers.iter().filter_map(|container| container.hook.as_ref());
        let hook = hooks.map(|hook| hook.end.map_or(used, after).min(stopped.unwrap_or(used)) - after(hook.start));
        Some(Budget {
            used,
            grace: of.grace_period_seconds.map(|grace| grace as f64),
            hook: hook.fold(0.0, f64::max),
            drain: stopped.map_or(0.0, |stopped| used - stopped),
        })
    }

    fn matches(&self, filter: &str) -> bool {
        let of = &self.of;
        let workload = of.workload.as_ref().map(|workload| workload.name.as_str());
        let texts = [of.namespace.as_deref(), of.pod.as_deref(), workload, of.outcome.as_deref(), Some(&*of.phase)];
        let texts = texts.into_iter().flatten().chain([&*of.reason, of.uid.as_str()]);
        let texts: Vec<String> =
            texts.chain(of.findings.iter().map(|finding| &*finding.id)).map(str::to_lowercase).collect();
        filter.to_lowercase().split_whitespace().all(|word| texts.iter().any(|text| text.contains(word)))
    }
}

/// How grace was used, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Budget {
    pub(super) used: f64,
    pub(super) grace: Option<f64>,
    /// By the hook.
    pub(super) hook: f64,
    /// Since the stop signal.
    pub(super) drain: f64,
}

/// What is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum View {
    List,
    /// The list, while its filter is being written.
    Filter,
    /// The timeline of the one under the cursor.
    Timeline,
    Help,
}

/// How it stands with the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Link {
    Connecting,
    Live,
    /// Not there, for this reason; tried again at that time.
    Down {
        reason: String,
        again: BootTime,
    },
}

/// News.
#[derive(Debug)]
pub(super) enum News {
    /// All that there is.
    List(Vec<Termination>),
    /// One is new, or has changed.
    Changed(Box<Termination>),
    /// One has left.
    Gone(String),
    /// There is no agent, for this reason; the next try comes after so long.
    Down(String, Duration),
}

/// What a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Enter,
    Escape,
    Backspace,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
}

impl Default for Board {
    fn default() -> Board {
        Board {
            entries: BTreeMap::new(),
            selected: None,
            filter: String::new(),
            view: View::List,
            scroll: 0,
            link: Link::Connecting,
        }
    }
}

impl Board {
    /// Takes news, heard at `now`.
    pub(super) fn handle_news(&mut self, news: News, now: BootTime) {
        match news {
            News::List(list) => {
                self.link = Link::Live;
                self.entries.clear();
                list.into_iter().for_each(|of| self.put(of, now));
            }
            News::Changed(of) => self.put(*of, now),
            // What is being looked at stays.
            News::Gone(id) if self.view == View::Timeline && self.selected.as_ref() == Some(&id) => {}
            News::Gone(id) => drop(self.entries.remove(&id)),
            News::Down(reason, wait) => self.link = Link::Down { reason, again: now + wait },
        }
        let rows = self.rows();
        if self.selected.as_ref().is_none_or(|id| !rows.iter().any(|entry| entry.of.id == *id)) {
            self.selected = rows.first().map(|entry| entry.of.id.clone());
        }
    }

    fn put(&mut self, of: Termination, now: BootTime) {
        self.entries.insert(of.id.clone(), Entry { of, heard: now });
        while self.entries.len() > MOST {
            let oldest = self.entries.values().min_by_key(|entry| (entry.of.end.is_none(), entry.of.start));
            let Some(oldest) = oldest.map(|entry| entry.of.id.clone()) else { return };
            self.entries.remove(&oldest);
        }
    }

    /// Does what a key asks for; `page` is how many lines there are. False when it asks for the end.
    pub(super) fn handle_key(&mut self, key: Key, page: usize) -> bool {
        match (&self.view, key) {
            (View::Filter, key) => self.edit(key),
            (_, Key::Char('q')) => return false,
            (View::Help, _) => self.open(View::List),
            (View::Timeline, key) => self.read(key, page),
            (View::List, Key::Char('/')) => self.open(View::Filter),
            (View::List, Key::Char('?' | 'h')) => self.open(View::Help),
            (View::List, Key::Enter) if self.selected.is_some() => self.open(View::Timeline),
            (View::List, Key::Escape) => self.set_filter(String::new()),
            (View::List, key) => self.step(key, page),
        }
        true
    }

    fn open(&mut self, view: View) {
        self.view = view;
        self.scroll = 0;
    }

    fn edit(&mut self, key: Key) {
        /// More than anybody types.
        const LONG: usize = 200;

        let mut filter = self.filter.clone();
        match key {
            Key::Char(char) if filter.len() < LONG => filter.push(char),
            Key::Backspace => drop(filter.pop()),
            Key::Enter => self.view = View::List,
            Key::Escape => {
                filter.clear();
                self.view = View::List;
            }
            _ => {}
        }
        self.set_filter(filter);
    }

    fn set_filter(&mut self, filter: String) {
        self.filter = filter;
        let rows = self.rows();
        if !rows.iter().any(|entry| Some(&entry.of.id) == self.selected.as_ref()) {
            self.selected = rows.first().map(|entry| entry.of.id.clone());
        }
    }

    fn read(&mut self, key: Key, page: usize) {
        match key {
            Key::Escape | Key::Enter | Key::Backspace => self.open(View::List),
            Key::Up | Key::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            Key::Down | Key::Char('j') => self.scroll += 1,
            Key::PageUp => self.scroll = self.scroll.saturating_sub(page),
            Key::PageDown | Key::Char(' ') => self.scroll += page,
            Key::Home | Key::Char('g') => self.scroll = 0,
            // The view knows where the end is.
            Key::End | Key::Char('G') => self.scroll = usize::MAX / 2,
            Key::Char(_) => {}
        }
    }

    fn step(&mut self, key: Key, page: usize) {
        let rows = self.rows();
        let Some(last) = rows.len().checked_sub(1) else { return };
        let at = rows.iter().position(|entry| Some(&entry.of.id) == self.selected.as_ref()).unwrap_or_default();
        let to = match key {
            Key::Up | Key::Char('k') => at.saturating_sub(1),
            Key::Down | Key::Char('j') => at + 1,
            Key::PageUp => at.saturating_sub(page),
            Key::PageDown | Key::Char(' ') => at + page,
            Key::Home | Key::Char('g') => 0,
            Key::End | Key::Char('G') => last,
            _ => return,
        };
        self.selected = rows.get(to.min(last)).map(|entry| entry.of.id.clone());
    }

    /// Those that go on, then those that have ended.
    fn rows(&self) -> Vec<&Entry> {
        let (mut rows, ended) = (self.in_progress(), self.ended());
        rows.extend(ended);
        rows
    }

    /// Those that go on, the one that has for the longest first.
    pub(super) fn in_progress(&self) -> Vec<&Entry> {
        let mut rows: Vec<&Entry> = self.shown().filter(|entry| entry.of.end.is_none()).collect();
        rows.sort_by_key(|entry| (entry.of.start, &entry.of.id));
        rows
    }

    /// Those that have ended, the latest first.
    pub(super) fn ended(&self) -> Vec<&Entry> {
        let mut rows: Vec<&Entry> = self.shown().filter(|entry| entry.of.end.is_some()).collect();
        rows.sort_by_key(|entry| (std::cmp::Reverse(entry.of.end), &entry.of.id));
        rows
    }

    fn shown(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|entry| entry.matches(&self.filter))
    }

    /// The one under the cursor.
    pub(super) fn under_cursor(&self) -> Option<&Entry> {
        self.entries.get(self.selected.as_ref()?)
    }

    /// How many there are, shown or not.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it looks another way a moment later.
    pub(super) fn is_moving(&self) -> bool {
        !matches!(self.link, Link::Live) || self.entries.values().any(|entry| entry.of.end.is_none())
    }
}

#[cfg(test)]
mod tests;
