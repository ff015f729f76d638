//! Who a container's connections were with: each change of a connection, summed by peer, in bounded room.
//!
//! The last few changes are kept one by one and sorted by their own time, so that neither the order of their arrival nor
//! that of the kill and the exit that they are compared with matters. The older ones are folded into sums.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use crate::model::{
    BootTime, Connection, ConnectionChange, Direction, OtherPeers, Peer, Peers as Told, SavedPeer, SavedPeers,
    SavedTally, Tally,
};

/// What was told of a container's connections.
#[derive(Debug, Clone, Default)]
pub(super) struct Peers {
    recent: VecDeque<(BootTime, Connection)>,
    inbound: Book,
    outbound: Book,
    since: Option<BootTime>,
}

/// When the container's init was killed and when it ended, as far as is known: what is closed later was cut.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Marks {
    pub(super) kill: Option<BootTime>,
    pub(super) exit: Option<BootTime>,
}

/// Which of the two cut the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Kill,
    Exit,
}

impl Peers {
    /// Changes kept one by one. Records overtake each other, but not by so many.
    pub(super) const RECENT: usize = 128;

    /// Takes note of a change; remembers `max` peers in each direction, for a while twice as many.
    pub(super) fn record(&mut self, at: BootTime, change: &Connection, marks: Marks, max: usize) {
        self.since = Some(self.since.map_or(at, |since| since.min(at)));
        let key = |at: BootTime, it: &Connection| (at, it.peer, it.local_port, it.change != ConnectionChange::Opened);
        let new = key(at, change);
        let index = self.recent.partition_point(|(at, known)| key(*at, known) <= new);
        self.recent.insert(index, (at, *change));
        if self.recent.len() > Self::RECENT {
            self.fold_first(marks, max);
        }
    }

    /// Whether any change was told.
    pub(super) fn is_empty(&self) -> bool {
        self.since.is_none()
    }

    /// When the first change was told.
    pub(super) fn since(&self) -> Option<BootTime> {
        self.since
    }

    /// The peers as they stand.
    pub(super) fn list(&self, marks: Marks, cut: Option<Cut>, max: usize) -> Told {
        let all = self.folded(marks, max);
        let mut told = Told::default();
        for (direction, book) in [(Direction::Inbound, &all.inbound), (Direction::Outbound, &all.outbound)] {
            let listed = book.peers.iter().map(|(key, entry)| entry.peer(*key, direction, cut));
            let listed: Vec<Peer> = listed.collect();
            if book.forgotten > 0 {
                let tally = listed.iter().fold(book.total.tally(cut), |rest, peer| minus(rest, peer.tally));
                told.others.push(OtherPeers { direction, peers: book.forgotten, tally });
            }
            told.listed.extend(listed);
        }
        told.listed.sort_by(|a, b| rank(&b.tally).cmp(&rank(&a.tally)).then_with(|| key(a).cmp(&key(b))));
        told
    }

    /// What a later run goes on from.
    pub(super) fn export(&self, marks: Marks, max: usize) -> SavedPeers {
        let all = self.folded(marks, max);
        let books = [(Direction::Inbound, &all.inbound), (Direction::Outbound, &all.outbound)];
        let peers = books.iter().flat_map(|(direction, book)| {
            book.peers.iter().map(|((address, _), entry)| SavedPeer {
                direction: *direction,
                address: *address,
                port: entry.port,
                local_port: entry.local_port,
                last: entry.last,
                tally: entry.sums,
            })
        });
        SavedPeers {
            peers: peers.collect(),
            totals: books.map(|(_, book)| book.total),
            forgotten: books.map(|(_, book)| book.forgotten),
            since: all.since,
        }
    }

    /// Adds what an earlier run has seen.
    pub(super) fn precede(&mut self, saved: &SavedPeers, max: usize) {
        self.since = self.since.into_iter().chain(saved.since).min();
        for of in &saved.peers {
            let key = (of.address, if of.direction == Direction::Outbound { of.port.unwrap_or(0) } else { 0 });
            let book = self.book(of.direction);
            let entry = Entry { sums: of.tally, port: of.port, local_port: of.local_port, last: of.last };
            book.add(key, &entry, max);
        }
        for (direction, index) in [(Direction::Inbound, 0), (Direction::Outbound, 1)] {
            let book = self.book(direction);
            book.total.add(&saved.totals[index]);
            book.forgotten = book.forgotten.saturating_add(saved.forgotten[index]);
        }
    }

    fn folded(&self, marks: Marks, max: usize) -> Peers {
        let mut all = self.clone();
        while !all.recent.is_empty() {
            all.fold_first(marks, max);
        }
        all.inbound.shrink(max);
        all.outbound.shrink(max);
        all
    }

    fn fold_first(&mut self, marks: Marks, max: usize) {
        let Some((at, change)) = self.recent.pop_front() else { return };
        let mut sums = SavedTally::default();
        let late = u64::from(change.late);
        match change.change {
            ConnectionChange::Opened => sums.opened = [1, late],
            ConnectionChange::Closed { aborted } => {
                let cut_by = |mark: Option<BootTime>| {
                    mark.is_some_and(|mark| at >= mark && change.opened.is_none_or(|opened| opened < mark))
                };
                sums.closed = [1, late];
                sums.aborted = aborted.into();
                (sums.received, sums.sent) = (change.received, change.sent);
                (sums.since_kill, sums.since_exit) = (cut_by(marks.kill).into(), cut_by(marks.exit).into());
            }
            ConnectionChange::Failed => sums.failed = 1,
        }
        let port = change.peer.port();
        // A client comes from another port each time.
        let key = (change.peer.ip(), if change.direction == Direction::Outbound { port } else { 0 });
        // The port of an outbound connection's own end is as good as random.
        let local_port = (change.direction == Direction::Inbound).then_some(change.local_port);
        let book = self.book(change.direction);
        book.total.add(&sums);
        book.add(key, &Entry { sums, port: Some(port), local_port, last: at }, max);
    }

    fn book(&mut self, direction: Direction) -> &mut Book {
        match direction {
            Direction::Inbound => &mut self.inbound,
            Direction::Outbound => &mut self.outbound,
        }
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.inbound.peers.len().max(self.outbound.peers.len())
    }

    #[cfg(test)]
    pub(super) fn recent(&self) -> usize {
        self.recent.len()
    }
}

/// Peers of one direction.
#[derive(Debug, Clone, Default)]
struct Book {
    /// By address, and port where that is the server's.
    peers: BTreeMap<(IpAddr, u16), Entry>,
    /// Everything, the forgotten ones too.
    total: SavedTally,
    forgotten: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    sums: SavedTally,
    port: Option<u16>,
    local_port: Option<u16>,
    last: BootTime,
}

impl Book {
    fn add(&mut self, key: (IpAddr, u16), new: &Entry, max: usize) {
        if let Some(known) = self.peers.get_mut(&key) {
            known.sums.add(&new.sums);
            known.port = known.port.filter(|port| new.port == Some(*port));
            known.local_port = known.local_port.filter(|port| new.local_port == Some(*port));
            known.last = known.last.max(new.last);
            return;
        }
        self.peers.insert(key, *new);
        // With some room above, so that a flood of new peers does not have all of them compared each time.
        if self.peers.len() > max.saturating_mul(2) {
            self.shrink(max);
        }
    }

    /// Forgets the least of more than `max`.
    fn shrink(&mut self, max: usize) {
        let Some(over) = self.peers.len().checked_sub(max).filter(|over| *over > 0) else { return };
        let worth = |entry: &Entry| (rank(&entry.sums.tally(entry.sums.likely_cut())), entry.last);
        let mut all: Vec<_> = self.peers.iter().map(|(key, entry)| (worth(entry), *key)).collect();
        all.sort_unstable();
        for (_, key) in all.into_iter().take(over) {
            self.peers.remove(&key);
        }
        self.forgotten = self.forgotten.saturating_add(over as u64);
    }
}

impl Entry {
    fn peer(&self, (address, _): (IpAddr, u16), direction: Direction, cut: Option<Cut>) -> Peer {
        Peer { address, port: self.port, local_port: self.local_port, direction, tally: self.sums.tally(cut) }
    }
}

impl SavedTally {
    fn add(&mut self, other: &SavedTally) {
        let (mine, theirs) = (self.to_array(), other.to_array());
        *self = SavedTally::from_array(std::array::from_fn(|index| mine[index].saturating_add(theirs[index])));
    }

    /// Every connection is told of when it closes, unless it was lost; while it is open only if it was opened under watch.
    fn tally(&self, cut: Option<Cut>) -> Tally {
        Tally {
            connections: self.opened[0].max(self.closed[0]),
            cut: match cut {
                Some(Cut::Kill) => self.since_kill,
                Some(Cut::Exit) => self.since_exit,
                None => 0,
            },
            late: self.opened[1].max(self.closed[1]),
            aborted: self.aborted,
            failed: self.failed,
            received: self.received,
            sent: self.sent,
        }
    }

    fn likely_cut(&self) -> Option<Cut> {
        Some(if self.since_kill > 0 { Cut::Kill } else { Cut::Exit })
    }
}

/// What makes one peer more worth telling of than another.
fn rank(tally: &Tally) -> [u64; 5] {
    [tally.cut, tally.late, tally.failed, tally.aborted, tally.connections]
}

fn key(peer: &Peer) -> (Direction, IpAddr, Option<u16>) {
    (peer.direction, peer.address, peer.port)
}

fn minus(all: Tally, part: Tally) -> Tally {
    Tally {
        connections: all.connections.saturating_sub(part.connections),
        cut: all.cut.saturating_sub(part.cut),
        late: all.late.saturating_sub(part.late),
        aborted: all.aborted.saturating_sub(part.aborted),
        failed: all.failed.saturating_sub(part.failed),
        received: all.received.saturating_sub(part.received),
        sent: all.sent.saturating_sub(part.sent),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    fn change(number: u32, change: ConnectionChange) -> Connection {
        Connection {
            change,
            direction: if number.is_multiple_of(2) { Direction::Inbound } else { Direction::Outbound },
            peer: (Ipv6Addr::from(u128::from(number)), (number % 60_000) as u16).into(),
            local_port: (number % 3) as u16,
            opened: None,
            late: number.is_multiple_of(7),
            received: u64::MAX,
            sent: 1,
        }
    }

    #[test]
    fn a_million_peers() {
        let (mut peers, marks) = (Peers::default(), Marks { kill: None, exit: Some(BootTime(0)) });
        for number in 0..1_000_000 {
            peers.record(
                BootTime(number.into()),
                &change(number, ConnectionChange::Closed { aborted: false }),
                marks,
                64,
            );
            assert!(peers.remembered() <= 128 && peers.recent() <= Peers::RECENT);
        }
        let told = peers.list(marks, Some(Cut::Exit), 64);
        assert_eq!(told.listed.len(), 128);
        let listed: u64 = told.listed.iter().map(|peer| peer.tally.connections).sum();
        let others: u64 = told.others.iter().map(|others| others.tally.connections).sum();
        assert_eq!((listed + others, told.others.len()), (1_000_000, 2));
        assert!(told.listed.iter().all(|peer| peer.tally.late == 1 && peer.tally.cut == 1));
    }

    #[test]
    fn the_busiest_and_those_with_trouble_stay() {
        let mut peers = Peers::default();
        let marks = Marks { kill: Some(BootTime(10_000)), exit: None };
        let busy = |round: u32| change(2, ConnectionChange::Closed { aborted: round.is_multiple_of(2) });
        for round in 0..1_000 {
            peers.record(BootTime(round.into()), &busy(round), marks, 4);
            // Each one a single time.
            peers.record(BootTime(round.into()), &change(1_002 + 14 * round, ConnectionChange::Opened), marks, 4);
        }
        for number in [4, 6] {
            let closed = change(number, ConnectionChange::Closed { aborted: false });
            peers.record(BootTime(20_000), &closed, marks, 4);
        }
        for number in 0..1_000 {
            peers.record(BootTime(5_000), &change(50_000 + 14 * number, ConnectionChange::Opened), marks, 4);
        }
        let told = peers.list(marks, Some(Cut::Kill), 4);
        let named: Vec<u64> = told.listed.iter().map(|peer| peer.tally.cut).collect();
        assert_eq!(named[..2], [1, 1]);
        assert!(told.listed.iter().any(|peer| peer.tally.connections == 1_000), "{told:?}");
    }

    #[test]
    fn out_and_back() {
        let (mut peers, marks) = (Peers::default(), Marks { kill: Some(BootTime(150)), exit: Some(BootTime(200)) });
        for number in 0..300 {
            let changed =
                [ConnectionChange::Opened, ConnectionChange::Closed { aborted: true }, ConnectionChange::Failed]
                    [number as usize % 3];
            peers.record(BootTime(number.into()), &change(number % 11, changed), marks, 4);
        }
        let saved = peers.export(marks, 4);
        let mut reborn = Peers::default();
        reborn.precede(&saved, 4);
        assert_eq!(reborn.list(marks, Some(Cut::Kill), 4), peers.list(marks, Some(Cut::Kill), 4));
        assert_eq!(reborn.export(marks, 4), saved);
    }
}
