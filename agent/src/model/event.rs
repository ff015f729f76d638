//! What the kernel saw, decoded.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{BootTime, CgroupId, Missed, Pid, Signal};

/// One kernel event about one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: BootTime,
    /// The container's cgroup; for cgroup events the cgroup itself.
    pub cgroup: CgroupId,
    /// The container's counters at that moment.
    pub counters: Counters,
    /// What happened.
    pub kind: Kind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A process that entered the container from outside, or its init, has executed a program.
    Exec(Exec),
    /// Such a process has died.
    Exit(Exit),
    /// A signal was sent to the container's init, or SIGKILL to any of its processes.
    SignalSent(SignalSent),
    /// The init took a signal.
    SignalDelivered(SignalDelivered),
    /// The OOM killer has chosen a process of the container.
    OomVictim {
        /// The victim.
        pid: Pid,
        /// Whether it is the container's init.
        init: bool,
    },
    /// A cgroup was made.
    CgroupCreated {
        /// The cgroup above it.
        parent: CgroupId,
        /// Its path from the root of the hierarchy; may be cut, and then is not good for anything but a message.
        path: String,
        /// Whether the path was cut.
        truncated: bool,
    },
    /// The cgroup got its first process, or one below it did.
    CgroupPopulated,
    /// The cgroup lost its last process.
    CgroupEmpty,
    /// The cgroup was removed.
    CgroupRemoved,
    /// The kubelet sent the request of an httpGet hook. Comes with the kubelet's cgroup; the index finds the container.
    HookRequest(HookRequest),
    /// The container answered it.
    HookResponse {
        /// The connection it came over.
        flow: Flow,
        /// HTTP status.
        status: u16,
    },
    /// From now on requests of the kubelet are seen, or are not: it was found, is gone, or runs in another cgroup since
    /// a while. Belongs to no container.
    KubeletWatched(bool),
    /// The connections that containers had before they were tracked are counted now: those of all containers that were
    /// tracked by `began`. Belongs to no container.
    ConnectionsSeeded {
        /// When the search for them began.
        began: BootTime,
    },
    /// Records of the container were lost; [`Counters::lost`] says how many so far.
    Lost,
    /// Since a moment the kernel has left out runs of programs, on the whole node. Belongs to no container.
    Missed {
        /// When there were fewer.
        since: BootTime,
        /// How many more there are.
        missed: Missed,
    },
    /// The container's counters have changed and no record followed: a SYN that is refused leaves none. Read by the agent.
    Counted,
    /// Processes of this node have tried to connect to an address that a pod has left, and could not. Of no container.
    StaleConnections {
        /// The pod's address.
        address: IpAddr,
        /// How many, since the last time it was told.
        count: u64,
    },
    /// A connection of the container has changed. Told of containers that are being watched: see
    /// [`crate::probe::Probe::watch_connections`].
    Connection(Connection),
}

/// A connection between the container and somebody outside of its pod who is not the kubelet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// What became of it.
    pub change: ConnectionChange,
    /// Who began it.
    pub direction: Direction,
    /// The other end, v4-mapped addresses as v4.
    pub peer: SocketAddr,
    /// The container's port.
    pub local_port: u16,
    /// When it was established; `None` when nobody saw that.
    pub opened: Option<BootTime>,
    /// Established after the stop signal.
    pub late: bool,
    /// Bytes of data received until it closed.
    pub received: u64,
    /// Bytes of data sent and acknowledged until it closed.
    pub sent: u64,
}

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionChange {
    /// It was established.
    Opened,
    /// It left ESTABLISHED and CLOSE_WAIT.
    Closed {
        /// By a reset or a timeout, at once.
        aborted: bool,
    },
    /// It could not be established. Outbound ones only.
    Failed,
}

/// Who began a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// A client.
    Inbound,
    /// The container.
    Outbound,
}

/// The request of an httpGet hook, told from probes and everything else by its `User-Agent: kube-lifecycle/…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRequest {
    /// The connection it goes over. It may have carried the postStart hook before.
    pub flow: Flow,
    /// Path with query, as it stands in the request line.
    pub path: String,
    /// Whether the path was cut.
    pub truncated: bool,
}

/// A TCP connection of the kubelet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// The kubelet's end.
    pub client: SocketAddr,
    /// The pod's end, v4-mapped addresses as v4.
    pub server: SocketAddr,
}

/// A process has executed a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// The process.
    pub pid: Pid,
    /// Its parent at that moment: the runtime, or whatever adopted it.
    pub parent: Pid,
    /// Whether it is the container's init.
    pub init: bool,
    /// Whether its parent is outside the container.
    pub entered: bool,
    /// The program's short name.
    pub comm: Comm,
    /// The path it was executed by, cut to 64 bytes.
    pub filename: String,
    /// Its arguments. Of a script, those of its interpreter.
    pub argv: Argv,
}

impl Exec {
    /// A path as long as this may have been cut.
    const CUT: usize = 63;

    /// Whether this is the execution of `command`.
    ///
    /// A script is executed as its interpreter: the kernel puts that, its argument if any, and the script's path in the
    /// place of the first word, and again if the interpreter is a script (load_script() in fs/binfmt_script.c). The path
    /// it was executed by is still the script's, found along `PATH` by the runtime if the command names none.
    pub fn is_of(&self, command: &[String]) -> bool {
        if self.argv.is(command) {
            return true;
        }
        let Some((first, arguments)) = command.split_first() else { return false };
        let names_path = first.contains('/');
        let path = match self.filename.len() >= Self::CUT {
            // What is missing of it can only be had from the command.
            true if names_path && first.starts_with(&self.filename) => first,
            false if names_path && *first == self.filename => first,
            false if !names_path && self.filename.rsplit_once('/').is_some_and(|(_, name)| name == first) => {
                &self.filename
            }
            _ => return false,
        };
        self.argv.ends_in(path, arguments)
    }
}

/// A process has died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The process.
    pub pid: Pid,
    /// How it ended.
    pub status: WaitStatus,
    /// Whether it is the container's init.
    pub init: bool,
    /// Whether its parent is outside the container.
    pub entered: bool,
    /// The program's short name.
    pub comm: Comm,
    /// CPU time of the process and, if it entered the container, of its descendants that have exited.
    pub cpu: Duration,
    /// Processes ever started in its tree, itself included.
    pub processes: u64,
}

/// A signal was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalSent {
    /// To whom.
    pub pid: Pid,
    /// Whether that is the container's init.
    pub init: bool,
    /// The target's short name.
    pub comm: Comm,
    /// Which signal.
    pub signal: Signal,
    /// `si_code`: 0 by a process, 128 by the kernel.
    pub code: i32,
    /// Whether the target ignored it at once: result 1 of the tracepoint.
    pub ignored: bool,
    /// By whom; meaningless when the kernel sent it.
    pub sender: Pid,
    /// The sender's short name.
    pub sender_comm: Comm,
    /// The container the sender belongs to, if any.
    pub sender_cgroup: Option<CgroupId>,
}

impl SignalSent {
    /// `SI_KERNEL` (include/uapi/asm-generic/siginfo.h).
    pub const SI_KERNEL: i32 = 128;

    /// Whether the kernel itself sent it: the OOM killer, or a dying init of a pid namespace.
    pub fn from_kernel(&self) -> bool {
        self.code == Self::SI_KERNEL
    }
}

/// The init took a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalDelivered {
    /// Who.
    pub pid: Pid,
    /// Which signal.
    pub signal: Signal,
    /// `sa_handler`: 0 `SIG_DFL`, 1 `SIG_IGN`, else a handler.
    pub handler: u64,
}

/// Counters of one container at one moment. All but the `open` ones only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Inbound connections in ESTABLISHED or CLOSE_WAIT.
    pub inbound_open: u64,
    /// Outbound connections in ESTABLISHED or CLOSE_WAIT.
    pub outbound_open: u64,
    /// Inbound connections established since the container is tracked.
    pub inbound_total: u64,
    /// Outbound connections established since the container is tracked.
    pub outbound_total: u64,
    /// When the last inbound connection was established.
    pub last_inbound: Option<BootTime>,
    /// Inbound connections established after the stop signal.
    pub late: u64,
    /// Stop signals that the init passed on to other processes of the container.
    pub forwarded: u64,
    /// Records of the container that were lost.
    pub lost: u64,
    /// Connections that ended by a reset or a timeout.
    pub aborted: u64,
    /// Outbound connections that could not be established, those to a process of the same pod among them.
    pub outbound_failed: u64,
    /// Connections accepted from the pod itself. In none of the counts above.
    pub internal: u64,
    /// Connections accepted from the kubelet: probes and httpGet hooks. In none of the counts above.
    pub kubelet: u64,
    /// SYNs answered with a reset because the container does not listen any more where it did.
    pub refused: u64,
    /// When the last of those was.
    pub last_refused: Option<BootTime>,
    /// SYNs answered with a reset before the container listened there.
    pub startup_refused: u64,
}

/// How a process ended, as wait(2) tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitStatus(pub u32);

impl WaitStatus {
    /// The exit code, 0 to 255, if it left by itself.
    pub fn code(self) -> Option<u8> {
        (self.0 & 0x7f == 0).then_some((self.0 >> 8 & 0xff) as u8)
    }

    /// The signal that killed it, if one did.
    pub fn signal(self) -> Option<Signal> {
        let signal = (self.0 & 0x7f) as u8;
        (signal != 0).then_some(Signal(signal))
    }

    /// The exit code as a container runtime reports it: 128 and the signal when killed.
    pub fn reported(self) -> u8 {
        match self.signal() {
            Some(signal) => signal.0 | 0x80,
            None => (self.0 >> 8 & 0xff) as u8,
        }
    }
}

/// A task's `comm`: at most 15 bytes, NUL-padded, any bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Comm(pub [u8; 16]);

impl Comm {
    /// The bytes before the first NUL.
    pub fn as_bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        &self.0[..end]
    }

    /// Takes the first 15 bytes.
    pub fn new(bytes: &[u8]) -> Comm {
        let mut comm = [0; 16];
        let len = bytes.len().min(15);
        comm[..len].copy_from_slice(&bytes[..len]);
        Comm(comm)
    }
}

impl fmt::Display for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&String::from_utf8_lossy(self.as_bytes()), f)
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(self.as_bytes()), f)
    }
}

/// An argument vector as the kernel holds it: NUL-terminated strings one after another, maybe cut.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Argv {
    bytes: Box<[u8]>,
    full_len: u32,
}

impl Argv {
    /// Takes the first bytes of a vector that is `full_len` bytes long.
    pub fn new(bytes: impl Into<Box<[u8]>>, full_len: u32) -> Argv {
        Argv { bytes: bytes.into(), full_len }
    }

    /// The bytes there are.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The full length in bytes, with every NUL.
    pub fn full_len(&self) -> u32 {
        self.full_len
    }

    /// Whether this is the vector of `command`, as far as it was kept: equal length, and equal up to the cut.
    pub fn is(&self, command: &[String]) -> bool {
        let len: usize = command.iter().map(|word| word.len() + 1).sum();
        if command.is_empty() || u32::try_from(len) != Ok(self.full_len) || self.bytes.len() > len {
            return false;
        }
        let wanted = command.iter().flat_map(|word| word.bytes().chain([0]));
        self.bytes.iter().copied().eq(wanted.take(self.bytes.len()))
    }

    /// Whether this is the vector of an interpreter that was handed a script and its arguments, as far as it was kept.
    fn ends_in(&self, script: &str, arguments: &[String]) -> bool {
        let words = || [script].into_iter().chain(arguments.iter().map(String::as_str));
        let len: usize = words().map(|word| word.len() + 1).sum();
        let Some(front) = usize::try_from(self.full_len).ok().and_then(|full| full.checked_sub(len)) else {
            return false;
        };
        let Some((interpreter, kept)) = self.bytes.split_at_checked(front) else { return false };
        let wanted = words().flat_map(|word| word.bytes().chain([0]));
        // A word and its end at least; and something of the script, or nothing was compared.
        interpreter.len() > 1
            && interpreter.ends_with(&[0])
            && !kept.is_empty()
            && kept.iter().copied().eq(wanted.take(kept.len()))
    }

    /// The arguments, what is not UTF-8 replaced, the last one maybe cut.
    pub fn words(&self) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
        let bytes = self.bytes.strip_suffix(&[0]).unwrap_or(&self.bytes);
        bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy)
    }
}

impl fmt::Debug for Argv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.words()).finish()?;
        if self.full_len as usize > self.bytes.len() { write!(f, "…{}", self.full_len) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn wait_status() {
        assert_eq!(WaitStatus(0x700).code(), Some(7));
        assert_eq!(WaitStatus(0x700).signal(), None);
        assert_eq!(WaitStatus(9).signal(), Some(Signal::KILL));
        assert_eq!(WaitStatus(9).code(), None);
        assert_eq!(WaitStatus(0x8b).signal(), Some(Signal(11)), "the core bit is not the signal");
        assert_eq!(WaitStatus(9).reported(), 137);
    }

    #[test]
    fn argv_matches_whole_words_only() {
        let argv = Argv::new(*b"sleep\x003\x00", 8);
        assert!(argv.is(&command(&["sleep", "3"])));
        assert!(!argv.is(&command(&["sleep", "30"])));
        assert!(!argv.is(&command(&["sleep"])));
        assert!(!argv.is(&command(&["sleep\x003"])) || command(&["sleep\x003"]).concat().contains('\0'));
        assert!(!Argv::default().is(&[]));
    }

    #[test]
    fn a_cut_argv_matches_by_its_start_and_length() {
        let long = "x".repeat(600);
        let argv = Argv::new([b"sh\0-c\0".as_slice(), &[b'x'; 506]].concat(), 607);
        assert!(argv.is(&command(&["sh", "-c", &long])));
        assert!(!argv.is(&command(&["sh", "-c", &long[1..]])), "another length");
        assert!(!argv.is(&command(&["sh", "-e", &long])), "another start");
    }

    #[test]
    fn a_script_is_executed_as_its_interpreter() {
        let exec = |filename: &str, argv: &[&str]| {
            let bytes: Vec<u8> = argv.iter().flat_map(|word| word.bytes().chain([0])).collect();
            let argv = Argv::new(&bytes[..bytes.len().min(512)], u32::try_from(bytes.len()).unwrap());
            let (pid, parent, comm) = (Pid(2), Pid(1), Comm::new(b"x"));
            Exec { pid, parent, init: false, entered: true, comm, filename: filename.to_owned(), argv }
        };
        let is = |filename: &str, argv: &[&str], words: &[&str]| exec(filename, argv).is_of(&command(words));
        assert!(is("/bin/sleep", &["sleep", "3"], &["sleep", "3"]));
        assert!(is("/a/b.sh", &["/bin/sh", "/a/b.sh", "3"], &["/a/b.sh", "3"]));
        assert!(is("/a/b.sh", &["/usr/bin/env", "sh -e", "/a/b.sh"], &["/a/b.sh"]));
        assert!(is("./b.sh", &["/bin/sh", "./b.sh"], &["./b.sh"]));
        assert!(is("/bin/b.sh", &["/bin/sh", "/bin/b.sh", "3"], &["b.sh", "3"]), "found along PATH");
        assert!(!is("/bin/sh", &["sh", "/a/b.sh"], &["/a/b.sh"]), "by hand");
        assert!(!is("/a/b.sh", &["/bin/sh", "/a/b.sh", "4"], &["/a/b.sh", "3"]));
        assert!(!is("/a/b.sh", &["/bin/sh", "/a/b.sh", "3"], &["/a/b.sh"]));
        assert!(!is("/a/b.sh", &["/a/b.sh", "4"], &["/a/b.sh", "3"]));
        assert!(!is("/a/ab.sh", &["/bin/sh", "/a/ab.sh"], &["b.sh"]));
        assert!(!is("/a/b.sh", &["/bin/sh", "/a/b.sh"], &["/b.sh"]));
        assert!(!is("/a/b.sh", &["/bin/sh", "/a/b.sh"], &[]));
        assert!(!is("", &[], &["x"]));

        let deep = format!("/{}/drain.sh", "d".repeat(70));
        let cut = &deep[..63];
        assert!(is(cut, &["/bin/sh", &deep], &[&deep]), "a path that was cut");
        assert!(!is(cut, &["/bin/sh", &deep], &["drain.sh"]), "cut, it does not tell its end");
        assert!(!is(cut, &["/bin/sh", &deep.replace("drain", "other")], &[&deep]));
        let long = "x".repeat(600);
        assert!(is("/b.sh", &["/bin/sh", "/b.sh", &long], &["/b.sh", &long]), "arguments that were cut");
        assert!(!is("/b.sh", &[&long, "/b.sh"], &["/b.sh"]), "nothing of the script was kept");
    }

    #[test]
    fn words_of_odd_bytes() {
        assert_eq!(Argv::new(*b"a\xff\0\0b", 5).words().collect::<Vec<_>>(), ["a\u{fffd}", "", "b"]);
        assert_eq!(Argv::default().words().count(), 1);
    }
}
