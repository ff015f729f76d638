//! Kernel events as they stand in a recording.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{
    Argv, BootTime, CgroupId, Comm, Connection, ConnectionChange, Counters, Direction, Event, Exec, Exit, Flow,
    HookRequest, Kind, Missed, Pid, Signal, SignalDelivered, SignalSent, WaitStatus,
};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EventLine {
    at: u64,
    cgroup: u64,
    #[serde(flatten)]
    counters: CountersLine,
    #[serde(flatten)]
    kind: KindLine,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct CountersLine {
    #[serde(skip_serializing_if = "is_zero")]
    inbound_open: u64,
    #[serde(skip_serializing_if = "is_zero")]
    outbound_open: u64,
    #[serde(skip_serializing_if = "is_zero")]
    inbound_total: u64,
    #[serde(skip_serializing_if = "is_zero")]
    outbound_total: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_inbound: Option<u64>,
    #[serde(skip_serializing_if = "is_zero")]
    late: u64,
    #[serde(skip_serializing_if = "is_zero")]
    forwarded: u64,
    #[serde(skip_serializing_if = "is_zero")]
    lost: u64,
    #[serde(skip_serializing_if = "is_zero")]
    aborted: u64,
    #[serde(skip_serializing_if = "is_zero")]
    outbound_failed: u64,
    #[serde(skip_serializing_if = "is_zero")]
    internal: u64,
    #[serde(skip_serializing_if = "is_zero")]
    kubelet: u64,
    #[serde(skip_serializing_if = "is_zero")]
    refused: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_refused: Option<u64>,
    #[serde(skip_serializing_if = "is_zero")]
    startup_refused: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it by reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindLine {
    Exec {
        pid: u32,
        parent: u32,
        init: bool,
        entered: bool,
        comm: Bytes,
        filename: String,
        argv: Bytes,
        argv_len: u32,
    },
    Exit {
        pid: u32,
        status: u32,
        init: bool,
        entered: bool,
        comm: Bytes,
        cpu: u64,
        processes: u64,
    },
    SignalSent {
        pid: u32,
        init: bool,
        comm: Bytes,
        signal: u8,
        code: i32,
        ignored: bool,
        sender: u32,
        sender_comm: Bytes,
        sender_cgroup: Option<u64>,
    },
    SignalDelivered {
        pid: u32,
        signal: u8,
        handler: u64,
    },
    OomVictim {
        pid: u32,
        init: bool,
    },
    CgroupCreated {
        parent: u64,
        path: String,
        truncated: bool,
    },
    CgroupPopulated {},
    CgroupEmpty {},
    CgroupRemoved {},
    HookRequest {
        client: SocketAddr,
        server: SocketAddr,
        path: String,
        truncated: bool,
    },
    KubeletWatched {
        watched: bool,
    },
    ConnectionsSeeded {
        began: u64,
    },
    Missed {
        since: u64,
        connections: u64,
        processes: u64,
    },
    HookResponse {
        client: SocketAddr,
        server: SocketAddr,
        status: u16,
    },
    /// By another name than the counter that stands beside it.
    #[serde(rename = "records_lost")]
    Lost {},
    Counted {},
    StaleConnections {
        address: IpAddr,
        count: u64,
    },
    Connection {
        change: Change,
        inbound: bool,
        peer: SocketAddr,
        local_port: u16,
        opened: Option<u64>,
        #[serde(rename = "after_stop")]
        late: bool,
        received: u64,
        sent: u64,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Opened,
    Closed,
    Aborted,
    Failed,
}

/// Bytes of any kind, as text where they are text.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Bytes {
    Text(String),
    Raw(Vec<u8>),
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Bytes {
        match std::str::from_utf8(bytes) {
            Ok(text) => Bytes::Text(text.to_owned()),
            Err(_) => Bytes::Raw(bytes.to_vec()),
        }
    }
}

impl Bytes {
    fn into_bytes(self) -> Vec<u8> {
        match self {
            Bytes::Text(text) => text.into_bytes(),
            Bytes::Raw(bytes) => bytes,
        }
    }

    fn into_comm(self) -> Comm {
        Comm::new(&self.into_bytes())
    }
}

impl From<&Event> for EventLine {
    fn from(event: &Event) -> EventLine {
        EventLine {
            at: event.at.0,
            cgroup: event.cgroup.0,
            counters: (&event.counters).into(),
            kind: (&event.kind).into(),
        }
    }
}

impl From<EventLine> for Event {
    fn from(line: EventLine) -> Event {
        Event {
            at: BootTime(line.at),
            cgroup: CgroupId(line.cgroup),
            counters: line.counters.into(),
            kind: line.kind.into(),
        }
    }
}

impl From<&Counters> for CountersLine {
    fn from(counters: &Counters) -> CountersLine {
        let Counters {
            inbound_open,
            outbound_open,
            inbound_total,
            outbound_total,
            last_inbound,
            late,
            forwarded,
            lost,
            aborted,
            outbound_failed,
            internal,
            kubelet,
            refused,
            last_refused,
            startup_refused,
        } = *counters;
        CountersLine {
            inbound_open,
            outbound_open,
            inbound_total,
            outbound_total,
            last_inbound: last_inbound.map(|at| at.0),
            late,
            forwarded,
            lost,
            aborted,
            outbound_failed,
            internal,
            kubelet,
            refused,
            last_refused: last_refused.map(|at| at.0),
            startup_refused,
        }
    }
}

impl From<CountersLine> for Counters {
    fn from(line: CountersLine) -> Counters {
        Counters {
            inbound_open: line.inbound_open,
            outbound_open: line.outbound_open,
            inbound_total: line.inbound_total,
            outbound_total: line.outbound_total,
            last_inbound: line.last_inbound.map(BootTime),
            late: line.late,
            forwarded: line.forwarded,
            lost: line.lost,
            aborted: line.aborted,
            outbound_failed: line.outbound_failed,
            internal: line.internal,
            kubelet: line.kubelet,
            refused: line.refused,
            last_refused: line.last_refused.map(BootTime),
            startup_refused: line.startup_refused,
        }
    }
}

impl From<&Kind> for KindLine {
    fn from(kind: &Kind) -> KindLine {
        match kind {
            Kind::Exec(exec) => KindLine::Exec {
                pid: exec.pid.0,
                parent: exec.parent.0,
                init: exec.init,
                entered: exec.entered,
                comm: exec.comm.as_bytes().into(),
                filename: exec.filename.clone(),
                argv: exec.argv.bytes().into(),
                argv_len: exec.argv.full_len(),
            },
            Kind::Exit(exit) => KindLine::Exit {
                pid: exit.pid.0,
                status: exit.status.0,
                init: exit.init,
                entered: exit.entered,
                comm: exit.comm.as_bytes().into(),
                cpu: u64::try_from(exit.cpu.as_nanos()).unwrap_or(u64::MAX),
                processes: exit.processes,
            },
            Kind::SignalSent(sent) => KindLine::SignalSent {
                pid: sent.pid.0,
                init: sent.init,
                comm: sent.comm.as_bytes().into(),
                signal: sent.signal.0,
                code: sent.code,
                ignored: sent.ignored,
                sender: sent.sender.0,
                sender_comm: sent.sender_comm.as_bytes().into(),
                sender_cgroup: sent.sender_cgroup.map(|cgroup| cgroup.0),
            },
            Kind::SignalDelivered(delivered) => KindLine::SignalDelivered {
                pid: delivered.pid.0,
                signal: delivered.signal.0,
                handler: delivered.handler,
            },
            Kind::OomVictim { pid, init } => KindLine::OomVictim { pid: pid.0, init: *init },
            Kind::CgroupCreated { parent, path, truncated } => {
                KindLine::CgroupCreated { parent: parent.0, path: path.clone(), truncated: *truncated }
            }
            Kind::CgroupPopulated => KindLine::CgroupPopulated {},
            Kind::CgroupEmpty => KindLine::CgroupEmpty {},
            Kind::CgroupRemoved => KindLine::CgroupRemoved {},
            Kind::HookRequest(request) => KindLine::HookRequest {
                client: request.flow.client,
                server: request.flow.server,
                path: request.path.clone(),
                truncated: request.truncated,
            },
            Kind::KubeletWatched(watched) => KindLine::KubeletWatched { watched: *watched },
            Kind::Missed { since, missed: Missed { connections, processes } } => {
                KindLine::Missed { since: since.0, connections: *connections, processes: *processes }
            }
            Kind::ConnectionsSeeded { began } => KindLine::ConnectionsSeeded { began: began.0 },
            Kind::HookResponse { flow, status } => {
                KindLine::HookResponse { client: flow.client, server: flow.server, status: *status }
            }
            Kind::Lost => KindLine::Lost {},
            Kind::Counted => KindLine::Counted {},
            Kind::StaleConnections { address, count } => {
                KindLine::StaleConnections { address: *address, count: *count }
            }
            Kind::Connection(it) => KindLine::Connection {
                change: match it.change {
                    ConnectionChange::Opened => Change::Opened,
                    ConnectionChange::Closed { aborted: false } => Change::Closed,
                    ConnectionChange::Closed { aborted: true } => Change::Aborted,
                    ConnectionChange::Failed => Change::Failed,
                },
                inbound: it.direction == Direction::Inbound,
                peer: it.peer,
                local_port: it.local_port,
                opened: it.opened.map(|at| at.0),
                late: it.late,
                received: it.received,
                sent: it.sent,
            },
        }
    }
}

impl From<KindLine> for Kind {
    fn from(line: KindLine) -> Kind {
        match line {
            KindLine::Exec { pid, parent, init, entered, comm, filename, argv, argv_len } => Kind::Exec(Exec {
                pid: Pid(pid),
                parent: Pid(parent),
                init,
                entered,
                comm: comm.into_comm(),
                filename,
                argv: Argv::new(argv.into_bytes(), argv_len),
            }),
            KindLine::Exit { pid, status, init, entered, comm, cpu, processes } => Kind::Exit(Exit {
                pid: Pid(pid),
                status: WaitStatus(status),
                init,
                entered,
                comm: comm.into_comm(),
                cpu: Duration::from_nanos(cpu),
                processes,
            }),
            KindLine::SignalSent { pid, init, comm, signal, code, ignored, sender, sender_comm, sender_cgroup } => {
                Kind::SignalSent(SignalSent {
                    pid: Pid(pid),
                    init,
                    comm: comm.into_comm(),
                    signal: Signal(signal),
                    code,
                    ignored,
                    sender: Pid(sender),
                    sender_comm: sender_comm.into_comm(),
                    sender_cgroup: sender_cgroup.map(CgroupId),
                })
            }
            KindLine::SignalDelivered { pid, signal, handler } => {
                Kind::SignalDelivered(SignalDelivered { pid: Pid(pid), signal: Signal(signal), handler })
            }
            KindLine::OomVictim { pid, init } => Kind::OomVictim { pid: Pid(pid), init },
            KindLine::CgroupCreated { parent, path, truncated } => {
                Kind::CgroupCreated { parent: CgroupId(parent), path, truncated }
            }
            KindLine::CgroupPopulated {} => Kind::CgroupPopulated,
            KindLine::CgroupEmpty {} => Kind::CgroupEmpty,
            KindLine::CgroupRemoved {} => Kind::CgroupRemoved,
            KindLine::HookRequest { client, server, path, truncated } => {
                Kind::HookRequest(HookRequest { flow: Flow { client, server }, path, truncated })
            }
            KindLine::KubeletWatched { watched } => Kind::KubeletWatched(watched),
            KindLine::Missed { since, connections, processes } => {
                Kind::Missed { since: BootTime(since), missed: Missed { connections, processes } }
            }
            KindLine::ConnectionsSeeded { began } => Kind::ConnectionsSeeded { began: BootTime(began) },
            KindLine::HookResponse { client, server, status } => {
                Kind::HookResponse { flow: Flow { client, server }, status }
            }
            KindLine::Lost {} => Kind::Lost,
            KindLine::Counted {} => Kind::Counted,
            KindLine::StaleConnections { address, count } => Kind::StaleConnections { address, count },
            KindLine::Connection { change, inbound, peer, local_port, opened, late, received, sent } => {
                Kind::Connection(Connection {
                    change: match change {
                        Change::Opened => ConnectionChange::Opened,
                        Change::Closed => ConnectionChange::Closed { aborted: false },
                        Change::Aborted => ConnectionChange::Closed { aborted: true },
                        Change::Failed => ConnectionChange::Failed,
                    },
                    direction: if inbound { Direction::Inbound } else { Direction::Outbound },
                    peer,
                    local_port,
                    opened: opened.map(BootTime),
                    late,
                    received,
                    sent,
                })
            }
        }
    }
}
