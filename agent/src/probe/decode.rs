//! Turns records of the ring buffer into events. Pure, and safe with any bytes: whatever is wrong is an error to be
//! counted.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use gracetrace_ebpf::{self as abi, FLAG_ENTERED, FLAG_INIT, FLAG_TRUNCATED, Header, Hook};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::model::{
    Argv, BootTime, CgroupId, Comm, Connection, ConnectionChange, Counters, Direction, Event, Exec, Exit, Flow,
    HookRequest, Kind, Pid, Signal, SignalDelivered, SignalSent, WaitStatus,
};

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is shorter than a header, or of no hook.
    #[error("a record of no known hook")]
    Hook,
    /// It is not as long as its hook's records are.
    #[error("a record of {} with a wrong length", .0.name())]
    Length(Hook),
    /// A member has a value that it cannot have.
    #[error("a record of {} with an impossible value", .0.name())]
    Value(Hook),
}

impl Malformed {
    /// The hook, if that much can be told.
    pub fn hook(self) -> Option<Hook> {
        match self {
            Malformed::Hook => None,
            Malformed::Length(hook) | Malformed::Value(hook) => Some(hook),
        }
    }
}

/// Decodes one record.
pub fn decode(bytes: &[u8]) -> Result<(Hook, Event), Malformed> {
    let (header, _) = Header::read_from_prefix(bytes).map_err(|_| Malformed::Hook)?;
    let hook = Hook::ALL.into_iter().find(|hook| *hook as u32 == header.hook).ok_or(Malformed::Hook)?;
    let kind = match hook {
        Hook::SchedProcessExec => exec(&record(bytes, hook)?),
        Hook::SchedProcessExit => exit(&record(bytes, hook)?),
        Hook::SignalGenerate => signal_sent(&record(bytes, hook)?)?,
        Hook::SignalDeliver => signal_delivered(&record(bytes, hook)?)?,
        Hook::MarkVictim => {
            let record: abi::MarkVictim = record(bytes, hook)?;
            Kind::OomVictim { pid: Pid(record.pid), init: record.header.flags & FLAG_INIT != 0 }
        }
        Hook::CgroupMkdir => cgroup_created(&record(bytes, hook)?),
        Hook::CgroupRmdir => {
            let _: abi::CgroupEvent = record(bytes, hook)?;
            Kind::CgroupRemoved
        }
        Hook::CgroupNotifyPopulated => {
            let record: abi::CgroupEvent = record(bytes, hook)?;
            if record.populated != 0 { Kind::CgroupPopulated } else { Kind::CgroupEmpty }
        }
        Hook::CgroupSkbEgress => hook_request(&record(bytes, hook)?)?,
        Hook::CgroupSkbIngress => {
            let record: abi::HookResponse = record(bytes, hook)?;
            let status = u16::try_from(record.status).ok().filter(|status| matches!(status, 101 | 200..=999));
            Kind::HookResponse { flow: flow(&record.flow), status: status.ok_or(Malformed::Value(hook))? }
        }
        Hook::InetSockSetState => connection(&record(bytes, hook)?)?,
        // They only count.
        Hook::SchedProcessFork | Hook::TcpSendReset | Hook::IterTaskFile => return Err(Malformed::Hook),
    };
    let event =
        Event { at: BootTime(header.at), cgroup: CgroupId(header.cgroup), counters: counters(&header.counters), kind };
    Ok((hook, event))
}

/// The counters as the model has them.
pub fn counters(counters: &abi::Counters) -> Counters {
    Counters {
        inbound_open: counters.inbound.open(),
        outbound_open: counters.outbound.open(),
        inbound_total: counters.inbound.total(),
        outbound_total: counters.outbound.total(),
        last_inbound: (counters.last_inbound_at != 0).then_some(BootTime(counters.last_inbound_at)),
        late: counters.late,
        forwarded: counters.forwarded,
        lost: counters.lost,
        aborted: counters.aborted,
        outbound_failed: counters.outbound_failed,
        internal: counters.internal,
        kubelet: counters.kubelet,
        refused: counters.refused,
        last_refused: (counters.last_refused_at != 0).then_some(BootTime(counters.last_refused_at)),
        startup_refused: counters.startup_refused,
    }
}

fn record<T: FromBytes + KnownLayout + Immutable>(bytes: &[u8], hook: Hook) -> Result<T, Malformed> {
    // The ring buffer gives out exactly what was reserved.
    T::read_from_bytes(bytes).map_err(|_| Malformed::Length(hook))
}

fn exec(record: &abi::Exec) -> Kind {
    let kept = usize::try_from(record.argv_len).unwrap_or(usize::MAX).min(record.argv.len());
    Kind::Exec(Exec {
        pid: Pid(record.pid),
        parent: Pid(record.parent_pid),
        init: record.header.flags & FLAG_INIT != 0,
        entered: record.header.flags & FLAG_ENTERED != 0,
        comm: comm(record.comm),
        filename: text(&record.filename),
        argv: Argv::new(&record.argv[..kept], record.argv_len),
    })
}

fn exit(record: &abi::Exit) -> Kind {
    Kind::Exit(Exit {
        pid: Pid(record.pid),
        status: WaitStatus(record.status),
        init: record.header.flags & FLAG_INIT != 0,
        entered: record.header.flags & FLAG_ENTERED != 0,
        comm: comm(record.comm),
        cpu: Duration::from_nanos(record.cpu_ns),
        processes: record.processes,
    })
}

fn signal_sent(record: &abi::SignalGenerate) -> Result<Kind, Malformed> {
    Ok(Kind::SignalSent(SignalSent {
        pid: Pid(record.pid),
        init: record.header.flags & FLAG_INIT != 0,
        comm: comm(record.comm),
        signal: signal(record.signal, Hook::SignalGenerate)?,
        code: record.code,
        ignored: record.result == TRACE_SIGNAL_IGNORED,
        sender: Pid(record.sender_pid),
        sender_comm: comm(record.sender_comm),
        sender_cgroup: (record.sender_cgroup != 0).then_some(CgroupId(record.sender_cgroup)),
    }))
}

/// `TRACE_SIGNAL_IGNORED` in include/trace/events/signal.h.
const TRACE_SIGNAL_IGNORED: u32 = 1;

fn signal_delivered(record: &abi::SignalDeliver) -> Result<Kind, Malformed> {
    Ok(Kind::SignalDelivered(SignalDelivered {
        pid: Pid(record.pid),
        signal: signal(record.signal, Hook::SignalDeliver)?,
        handler: record.handler,
    }))
}

fn cgroup_created(record: &abi::CgroupMkdir) -> Kind {
    Kind::CgroupCreated {
        parent: CgroupId(record.parent),
        path: text(&record.path),
        truncated: record.header.flags & FLAG_TRUNCATED != 0,
    }
}

fn hook_request(record: &abi::HookRequest) -> Result<Kind, Malformed> {
    let len = usize::try_from(record.head_len).unwrap_or(usize::MAX);
    let (path, truncated) = record
        .head
        .get(..len)
        .and_then(|head| request_path(head, len < record.head.len()))
        .ok_or(Malformed::Value(Hook::CgroupSkbEgress))?;
    Ok(Kind::HookRequest(HookRequest {
        flow: flow(&record.flow),
        path: String::from_utf8_lossy(path).into_owned(),
        truncated,
    }))
}

/// What stands between method and version in the request line, and whether it was cut. A query may hold blanks: Go
/// sends it as the spec has it.
fn request_path(head: &[u8], complete: bool) -> Option<(&[u8], bool)> {
    const VERSION: &[u8] = b" HTTP/1.";
    let line = head.strip_prefix(b"GET ")?;
    let line_end = line.iter().position(|byte| *byte == b'\r');
    let line = &line[..line_end.unwrap_or(line.len())];
    let (path, truncated) = match line.windows(VERSION.len()).rposition(|window| window == VERSION) {
        Some(end) => (&line[..end], false),
        None if complete || line_end.is_some() => return None,
        // The cut may go through the version.
        None => match (1..VERSION.len()).rev().find_map(|kept| line.strip_suffix(&VERSION[..kept])) {
            Some(path) => (path, false),
            None => (line, true),
        },
    };
    (!path.is_empty()).then_some((path, truncated))
}

fn connection(record: &abi::Connection) -> Result<Kind, Malformed> {
    let change = match record.change {
        abi::CONNECTION_OPENED => ConnectionChange::Opened,
        abi::CONNECTION_CLOSED => ConnectionChange::Closed { aborted: record.flags & abi::CONNECTION_ABORTED != 0 },
        abi::CONNECTION_FAILED => ConnectionChange::Failed,
        _ => return Err(Malformed::Value(Hook::InetSockSetState)),
    };
    let inbound = record.flags & abi::CONNECTION_INBOUND != 0;
    Ok(Kind::Connection(Connection {
        change,
        direction: if inbound { Direction::Inbound } else { Direction::Outbound },
        peer: address(record.peer, record.peer_port),
        local_port: record.local_port,
        opened: (record.opened_at != 0).then_some(BootTime(record.opened_at)),
        late: record.flags & abi::CONNECTION_LATE != 0,
        received: record.received,
        sent: record.sent,
    }))
}

fn flow(flow: &abi::Flow) -> Flow {
    Flow { client: address(flow.client, flow.client_port), server: address(flow.server, flow.server_port) }
}

fn address(words: [u32; 4], port: u16) -> SocketAddr {
    let mut bytes = [0; 16];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    SocketAddr::new(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical(), port)
}

/// Signals are 1 to 64 (`_NSIG`).
fn signal(number: u32, hook: Hook) -> Result<Signal, Malformed> {
    match u8::try_from(number) {
        Ok(number @ 1..=64) => Ok(Signal(number)),
        _ => Err(Malformed::Value(hook)),
    }
}

/// Takes the name as the model keeps it: with a NUL at the end.
fn comm(mut bytes: [u8; abi::COMM_LEN]) -> Comm {
    bytes[abi::COMM_LEN - 1] = 0;
    Comm(bytes)
}

/// The text before the first NUL, what is not UTF-8 replaced.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use gracetrace_ebpf::Directed;
    use proptest::prelude::*;
    use zerocopy::IntoBytes;

    use super::*;

    fn header(hook: Hook, flags: u32) -> Header {
        let counters = abi::Counters {
            inbound: Directed(8 * Directed::TOTAL + 3 * Directed::OPEN),
            last_inbound_at: 5,
            lost: 1,
            ..abi::Counters::default()
        };
        Header { at: 7, cgroup: 42, hook: hook as u32, flags, counters }
    }

    fn padded<const N: usize>(text: &[u8]) -> [u8; N] {
        let mut bytes = [0; N];
        bytes[..text.len()].copy_from_slice(text);
        bytes
    }

    #[test]
    fn connections_of_a_direction() {
        let read = |word: u64| (Directed(word).total(), Directed(word).open());
        let (one, open) = (Directed::TOTAL, Directed::OPEN);
        assert_eq!(read(0), (0, 0));
        assert_eq!(read(7 * one + 5 * open), (7, 5));
        assert_eq!(read(7 * one + Directed::MAX_OPEN), (7, Directed::MAX_OPEN));
        // An end is seen before what it is the end of.
        assert_eq!(read(7 * one - open), (7, 0));
        assert_eq!(read(open.wrapping_neg()), (0, 0));
    }

    #[test]
    fn an_exec() {
        let record = abi::Exec {
            header: header(Hook::SchedProcessExec, FLAG_ENTERED),
            pid: 10,
            parent_pid: 9,
            ns_pid: 2,
            argv_len: 8,
            comm: padded(b"sleep"),
            filename: padded(b"/bin/\xffsleep"),
            argv: padded(b"sleep\x003\0"),
        };
        let (hook, event) = decode(record.as_bytes()).unwrap();
        assert_eq!(hook, Hook::SchedProcessExec);
        assert_eq!((event.at, event.cgroup), (BootTime(7), CgroupId(42)));
        assert_eq!((event.counters.inbound_open, event.counters.inbound_total), (3, 8));
        assert_eq!(event.counters.last_inbound, Some(BootTime(5)));
        let Kind::Exec(exec) = event.kind else { panic!("{event:?}") };
        assert_eq!((exec.pid, exec.parent, exec.entered, exec.init), (Pid(10), Pid(9), true, false));
        assert_eq!(exec.filename, "/bin/\u{fffd}sleep");
        assert!(exec.argv.is(&["sleep".to_owned(), "3".to_owned()]));
    }

    #[test]
    fn a_cut_argv_keeps_its_full_length() {
        let record = abi::Exec {
            header: header(Hook::SchedProcessExec, FLAG_INIT),
            pid: 10,
            parent_pid: 9,
            ns_pid: 1,
            argv_len: 100_000,
            comm: [b'x'; 16],
            filename: [b'y'; abi::FILENAME_LEN],
            argv: [b'z'; abi::ARGV_LEN],
        };
        let (_, event) = decode(record.as_bytes()).unwrap();
        let Kind::Exec(exec) = event.kind else { panic!("{event:?}") };
        assert_eq!((exec.argv.bytes().len(), exec.argv.full_len()), (abi::ARGV_LEN, 100_000));
        assert_eq!(exec.comm.as_bytes(), [b'x'; 15]);
        assert_eq!(exec.filename.len(), abi::FILENAME_LEN);
    }

    #[test]
    fn signals() {
        let mut record = abi::SignalGenerate {
            header: header(Hook::SignalGenerate, FLAG_INIT),
            pid: 10,
            sender_pid: 9,
            sender_cgroup: 0,
            signal: 15,
            code: 0,
            result: 1,
            reserved: 0,
            comm: padded(b"app"),
            sender_comm: padded(b"runc"),
        };
        let (_, event) = decode(record.as_bytes()).unwrap();
        let Kind::SignalSent(sent) = event.kind else { panic!("{event:?}") };
        assert_eq!((sent.signal, sent.ignored, sent.sender_cgroup), (Signal::TERM, true, None));
        for impossible in [0, 65, 256 + 15, u32::MAX] {
            record.signal = impossible;
            assert_eq!(decode(record.as_bytes()), Err(Malformed::Value(Hook::SignalGenerate)));
        }
    }

    #[test]
    fn cgroups() {
        let record = abi::CgroupMkdir {
            header: header(Hook::CgroupMkdir, FLAG_TRUNCATED),
            parent: 41,
            path: [b'a'; abi::PATH_LEN],
        };
        let (_, event) = decode(record.as_bytes()).unwrap();
        assert!(matches!(
            event.kind,
            Kind::CgroupCreated { parent: CgroupId(41), path, truncated: true } if path.len() == abi::PATH_LEN
        ));
        let mut record = abi::CgroupEvent { header: header(Hook::CgroupNotifyPopulated, 0), populated: 1, reserved: 0 };
        assert_eq!(decode(record.as_bytes()).unwrap().1.kind, Kind::CgroupPopulated);
        record.populated = 0;
        assert_eq!(decode(record.as_bytes()).unwrap().1.kind, Kind::CgroupEmpty);
        record.header.hook = Hook::CgroupRmdir as u32;
        assert_eq!(decode(record.as_bytes()).unwrap().1.kind, Kind::CgroupRemoved);
    }

    #[test]
    fn requests_and_responses_of_hooks() {
        let flow = abi::Flow {
            client: [0, 0, 0xffff_u32.to_be(), u32::from_be_bytes([10, 88, 0, 1]).to_be()],
            server: [0xfd00_0000_u32.to_be(), 0, 0, 1_u32.to_be()],
            client_port: 34908,
            server_port: 8080,
        };
        let response = abi::HookResponse { header: header(Hook::CgroupSkbIngress, 0), flow, status: 503 };
        let Kind::HookResponse { flow: seen, status } = decode(response.as_bytes()).unwrap().1.kind else { panic!() };
        assert_eq!((seen.client.to_string().as_str(), status), ("10.88.0.1:34908", 503));
        assert_eq!(seen.server.to_string(), "[fd00::1]:8080");
        for impossible in [0, 100, 199, 1000, u32::MAX] {
            let response = abi::HookResponse { status: impossible, ..response };
            assert_eq!(decode(response.as_bytes()), Err(Malformed::Value(Hook::CgroupSkbIngress)));
        }

        let request = |head: &[u8]| {
            let header = header(Hook::CgroupSkbEgress, 0);
            let kept = &head[..head.len().min(abi::HEAD_LEN)];
            let record =
                abi::HookRequest { header, flow, head_len: u32::try_from(kept.len()).unwrap(), head: padded(kept) };
            decode(record.as_bytes()).map(|(_, event)| match event.kind {
                Kind::HookRequest(HookRequest { flow: of, path, truncated }) if of == seen => (path, truncated),
                kind => panic!("{kind:?}"),
            })
        };
        let is = |path: &str, truncated| Ok((path.to_owned(), truncated));
        assert_eq!(request(b"GET /prestop?sleep=2 HTTP/1.1\r\nHost: x HTTP/1.1\r\n"), is("/prestop?sleep=2", false));
        assert_eq!(request(b"GET /a?b c HTTP/1. HTTP/1.1\r\nHost"), is("/a?b c HTTP/1.", false));
        for len in [200, 240, 244, 245, 251, 252, 253, 260, 400] {
            let path = format!("/{}", "x".repeat(len - 1));
            let told = request(format!("GET {path} HTTP/1.1\r\nHost: x").as_bytes());
            let kept = abi::HEAD_LEN - 4;
            assert_eq!(told, if len < kept { is(&path, false) } else { is(&path[..kept], true) }, "{len}");
        }
        for wrong in [&b""[..], b"GET ", b"GET  HTTP/1.1\r\n", b"POST / HTTP/1.1\r\n", b"GET /\r\n HTTP/1.1", b"GET /x"]
        {
            assert_eq!(request(wrong), Err(Malformed::Value(Hook::CgroupSkbEgress)), "{wrong:?}");
        }
    }

    #[test]
    fn a_connection() {
        let record = abi::Connection {
            header: header(Hook::InetSockSetState, 0),
            peer: [0, 0, 0xffff_u32.to_be(), u32::from_ne_bytes([10, 0, 0, 7])],
            peer_port: 40_000,
            local_port: 8080,
            change: abi::CONNECTION_CLOSED,
            flags: abi::CONNECTION_INBOUND | abi::CONNECTION_ABORTED,
            reserved: 0,
            opened_at: 0,
            received: 5,
            sent: 7,
        };
        let told = Connection {
            change: ConnectionChange::Closed { aborted: true },
            direction: Direction::Inbound,
            peer: "10.0.0.7:40000".parse().unwrap(),
            local_port: 8080,
            opened: None,
            late: false,
            received: 5,
            sent: 7,
        };
        assert_eq!(decode(record.as_bytes()).unwrap().1.kind, Kind::Connection(told));
        let wrong = abi::Connection { change: 4, ..record };
        assert_eq!(decode(wrong.as_bytes()), Err(Malformed::Value(Hook::InetSockSetState)));
    }

    #[test]
    fn wrong_lengths_and_hooks() {
        let record = abi::MarkVictim { header: header(Hook::MarkVictim, 0), pid: 1, reserved: 0 };
        let bytes = record.as_bytes();
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "{len}");
        }
        assert_eq!(decode(&[bytes, &[0; 8]].concat()), Err(Malformed::Length(Hook::MarkVictim)));
        let counted = Header { hook: Hook::TcpSendReset as u32, ..record.header };
        assert_eq!(decode(counted.as_bytes()), Err(Malformed::Hook));
        let unknown = Header { hook: 99, ..record.header };
        assert_eq!(decode(unknown.as_bytes()), Err(Malformed::Hook));
    }

    proptest! {
        #[test]
        fn never_panics(hook in 0u32..15, mut bytes in proptest::collection::vec(any::<u8>(), 0..1000), length in 0usize..12) {
            let lengths = [
                bytes.len(),
                size_of::<abi::Exec>(),
                size_of::<abi::Exit>(),
                size_of::<abi::SignalGenerate>(),
                size_of::<abi::SignalDeliver>(),
                size_of::<abi::MarkVictim>(),
                size_of::<abi::CgroupMkdir>(),
                size_of::<abi::CgroupEvent>(),
                size_of::<abi::HookRequest>(),
                size_of::<abi::HookResponse>(),
                size_of::<abi::Connection>(),
                size_of::<Header>(),
            ];
            bytes.resize(lengths[length], 0xa5);
            if let Some(place) = bytes.get_mut(16..20) {
                place.copy_from_slice(&hook.to_ne_bytes());
            }
            if let Ok((_, event)) = decode(&bytes) {
                // What it holds can be shown, and is not longer than its record.
                let shown = format!("{event:?}");
                prop_assert!(shown.len() < 20_000);
            }
        }
    }
}
