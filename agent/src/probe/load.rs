//! Loads the programs, each hook by itself: one that this kernel lacks or refuses is reported missing and the rest goes
//! on.

use std::error::Error;
use std::path::Path;
use std::{fs, io};

use aya::maps::{Map, MapError, RingBuf};
use aya::programs::{BtfTracePoint, FEntry, ProgramError};
use aya::sys::{Stats, enable_stats};
use aya::{Btf, Ebpf, EbpfError, EbpfLoader, Endianness, VerifierLogLevel, include_bytes_aligned};
use aya_log::EbpfLogger;
use gracetrace_ebpf::{Directed, Globals, Hook, SOCKET_PLACES};
use zerocopy::IntoBytes;

use super::btf::{self, BtfError};
use super::maps::Maps;
use super::offsets::{Offsets, RESET_FUNCTIONS, ResetForm};
use super::packets::{NOWHERE, Packets};
use super::refusals::Refusals;
use super::ring::{Ring, ToTracing};
use super::{HookStatus, Probe, seeding};

static OBJECT: &[u8] = include_bytes_aligned!(env!("GRACETRACE_EBPF_OBJECT"));

/// Where the kernel shows its own types.
const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// The first kernel with the ring buffer (`BPF_MAP_TYPE_RINGBUF`) and `CAP_BPF`.
const OLDEST: (u32, u32) = (5, 8);

/// The most that [`Options::max_connections`] may be: all may be one container's.
pub const MAX_CONNECTIONS: u32 = 2_000_000;
const _: () = assert!((MAX_CONNECTIONS + SOCKET_PLACES) as u64 <= Directed::MAX_OPEN);

/// How to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Size of the ring buffer, rounded up to what the kernel takes: a power of two, a page at least.
    pub ring_bytes: u32,
    /// How many connections of all containers may be open at once, at least: 1 to [`MAX_CONNECTIONS`]. What there is no room
    /// for is counted as lost.
    pub max_connections: u32,
    /// How many connections of one terminating container are told one by one; more are told at a slow pace.
    pub connection_records: u32,
    /// Pass on the programs' own messages.
    pub debug: bool,
    /// Leave these out.
    pub disable: Vec<Hook>,
    /// Let the kernel take the time of each run. It does so for all programs on the machine, and that costs time too.
    pub stats: bool,
    /// Which programs of hooks that have a standby are to run.
    pub standbys: Standbys,
}

/// Which programs of hooks that have a standby run ([`Hook::standby`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Standbys {
    /// Both where the kernel leaves out runs of programs, elsewhere the first alone.
    #[default]
    WhereNeeded,
    /// Both.
    Everywhere,
    /// The standby alone, as if the kernel left out every run of the first.
    Alone,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            ring_bytes: 4 << 20,
            max_connections: 65_536,
            connection_records: 4_096,
            debug: false,
            disable: Vec::new(),
            stats: false,
            standbys: Standbys::default(),
        }
    }
}

/// Why nothing works.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No BTF.
    #[error("this kernel does not describe its types ({KERNEL_BTF}: {0}): it must be built with CONFIG_DEBUG_INFO_BTF")]
    NoBtf(#[source] io::Error),
    /// Too old.
    #[error("the kernel {0} is too old: {major}.{minor} or later is needed", major = OLDEST.0, minor = OLDEST.1)]
    TooOld(String),
    /// BTF of another kind.
    #[error("cannot read the types in {KERNEL_BTF}: {0}")]
    BadBtf(#[from] BtfError),
    /// No permission.
    #[error("no permission to load eBPF programs: run as root, or with CAP_BPF and CAP_PERFMON")]
    Permission(#[source] Box<dyn Error + Send + Sync>),
    /// Maps or globals.
    #[error("cannot set up the eBPF programs: {}", reason(.0))]
    SetUp(#[from] EbpfError),
    /// A map is not what it should be.
    #[error("cannot use the map {map} of the eBPF programs: {source}")]
    Map {
        /// Its name.
        map: &'static str,
        /// Why.
        source: MapError,
    },
    /// No hook at all.
    #[error("none of the hooks works on this kernel; {}: {cause}", hook.name())]
    NoHook {
        /// The first one.
        hook: Hook,
        /// Why it does not work.
        cause: String,
    },
    /// The runtime.
    #[error("cannot wait for records: {0}")]
    Wait(#[source] io::Error),
    /// Open files.
    #[error("cannot walk over open files: {0}")]
    Walk(#[source] io::Error),
    /// Standbys.
    #[error("this kernel does not say which thread is a process's last (Linux 6.16): hooks can't have standbys")]
    NoStandbys,
    /// Statistics.
    #[error("cannot have the kernel take the time of the programs: {}", reason(.0))]
    Stats(#[source] aya::sys::SyscallError),
}

pub(super) fn load(options: &Options) -> Result<Probe, LoadError> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    if parse_release(&release).is_some_and(|version| version < OLDEST) {
        return Err(LoadError::TooOld(release));
    }
    let kernel_btf = fs::read(Path::new(KERNEL_BTF)).map_err(LoadError::NoBtf)?;
    let offsets = Offsets::resolve(&btf::Btf::parse(&kernel_btf)?);
    let kernel_types =
        Btf::parse(&kernel_btf, Endianness::default()).map_err(|error| LoadError::SetUp(EbpfError::BtfError(error)))?;
    drop(kernel_btf);
    load_with(options, &offsets, &kernel_types)
}

fn load_with(options: &Options, offsets: &Offsets, kernel_types: &Btf) -> Result<Probe, LoadError> {
    if options.standbys != Standbys::WhereNeeded && !offsets.can_have_standbys() {
        return Err(LoadError::NoStandbys);
    }
    allow_memory();
    let mut programs = set_up(options, offsets).map_err(refused)?;
    let stats = if options.stats { Some(enable_stats(Stats::RunTime).map_err(LoadError::Stats)?) } else { None };

    let (mut hooks, mut packets) = (Vec::new(), Packets::default());
    for hook in Hook::ALL {
        let missing = if options.disable.contains(&hook) {
            Some("switched off".to_owned())
        } else if let Some(what) = offsets.missing(hook) {
            Some(format!("this kernel has no {what}"))
        } else {
            let loaded = match hook {
                Hook::IterTaskFile => seeding::load(&mut programs, kernel_types).map(|()| None),
                _ if hook.sees_packets() => packets.load(&mut programs, hook).map(|()| Some(NOWHERE.to_owned())),
                _ => attach(&mut programs, hook, options, offsets, kernel_types).map(|()| None),
            };
            match loaded {
                Ok(missing) => missing,
                Err(error)
                    if is_permission(&error) && hooks.iter().all(|status: &HookStatus| status.missing.is_some()) =>
                {
                    return Err(LoadError::Permission(Box::new(error)));
                }
                Err(error) => Some(program_reason(&error)),
            }
        };
        hooks.push(HookStatus { hook, missing });
    }
    if let Some(HookStatus { hook, missing: Some(cause) }) = hooks.first()
        && hooks.iter().all(|status| status.missing.is_some())
    {
        return Err(LoadError::NoHook { hook: *hook, cause: cause.clone() });
    }

    let messages = match options.debug {
        true => EbpfLogger::init_with_logger(&mut programs, ToTracing).ok(),
        false => None,
    };
    let events = RingBuf::try_from(take_map(&mut programs, "EVENTS")?)
        .map_err(|source| LoadError::Map { map: "EVENTS", source })?;
    let maps = Maps::take(&mut programs)?;
    if hooks.iter().any(|status| status.hook == Hook::IterTaskFile && status.missing.is_none()) {
        seeding::find_host_netns(&mut programs).map_err(LoadError::Walk)?;
    }
    let refusals = Refusals::take(&mut programs)?;
    let ring = Ring::new(events, messages).map_err(LoadError::Wait)?;
    Ok(Probe { ring, maps, hooks, packets, refusals, programs, _stats: stats })
}

pub(super) fn take_map(programs: &mut Ebpf, map: &'static str) -> Result<Map, LoadError> {
    programs.take_map(map).ok_or_else(|| LoadError::Map { map, source: MapError::InvalidName { name: map.to_owned() } })
}

fn set_up(options: &Options, offsets: &Offsets) -> Result<Ebpf, EbpfError> {
    let globals = Globals {
        connection_records: options.connection_records,
        standbys: u32::from(has_standbys(options, offsets)),
        socket_places: u32::from(has_socket_places(options)),
        ..offsets.globals
    };
    // `Level::Debug` of aya-log, or lower than any: then the programs are verified without their messages.
    let level = if options.debug { aya_log::Level::Debug as u8 } else { 0 };
    let page = u32::try_from(rustix::param::page_size()).unwrap_or(4096);
    let ring_bytes = options.ring_bytes.clamp(page, 1 << 30).next_power_of_two();
    EbpfLoader::new()
        // aya asks for it only when a program was refused, in a second try. Without, the second try is another error.
        .verifier_log_level(VerifierLogLevel::DEBUG)
        .override_global("GLOBALS", globals.as_bytes(), true)
        .override_global("AYA_LOG_LEVEL", &level, true)
        .map_max_entries("EVENTS", ring_bytes)
        .map_max_entries("SOCKETS", options.max_connections.clamp(1, MAX_CONNECTIONS))
        .map_max_entries("PLACES", if has_socket_places(options) { SOCKET_PLACES } else { 1 })
        .load(OBJECT)
}

fn has_standbys(options: &Options, offsets: &Offsets) -> bool {
    options.standbys != Standbys::WhereNeeded || offsets.preempts
}

/// Whether connections may have places of their own: where other CPUs see words in the order in which they were written.
/// Who makes room for fewer than usual wants less memory to be taken.
fn has_socket_places(options: &Options) -> bool {
    cfg!(target_arch = "x86_64") && options.max_connections >= SOCKET_PLACES
}

/// Attaches a hook's program, and its standby where there is to be one: both, or none of them.
fn attach(
    programs: &mut Ebpf,
    hook: Hook,
    options: &Options,
    offsets: &Offsets,
    kernel_types: &Btf,
) -> Result<(), ProgramError> {
    if hook == Hook::TcpSendReset && offsets.reset == ResetForm::Functions {
        return attach_functions(programs, kernel_types);
    }
    let standby = hook.standby().filter(|_| has_standbys(options, offsets));
    let first = if standby.is_some() && options.standbys == Standbys::Alone { None } else { Some(hook.name()) };
    // Programs run in the order in which they were attached (`func_add` in kernel/tracepoint.c).
    let names = [first, standby].into_iter().flatten();
    for name in names.clone() {
        let attached = tracepoint(programs, name).and_then(|program| {
            program.load(hook.name(), kernel_types)?;
            program.attach()
        });
        if let Err(error) = attached {
            for name in names {
                // One that was never loaded says so.
                let _ = tracepoint(programs, name).and_then(|program| program.unload());
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Where the tracepoint does not tell of SYNs without a socket. IPv6 may be a module or not there at all, and its function
/// in no types that are known here: then IPv4 is seen by itself.
fn attach_functions(programs: &mut Ebpf, kernel_types: &Btf) -> Result<(), ProgramError> {
    for (index, function) in RESET_FUNCTIONS.into_iter().enumerate() {
        let program: &mut FEntry = programs.program_mut(function).ok_or(ProgramError::NotLoaded)?.try_into()?;
        match program.load(function, kernel_types) {
            Err(ProgramError::Btf(error)) if index > 0 => {
                tracing::warn!("refused connections over IPv6 are not seen: {error}");
                break;
            }
            result => result?,
        }
        program.attach()?;
    }
    Ok(())
}

fn tracepoint<'a>(programs: &'a mut Ebpf, name: &str) -> Result<&'a mut BtfTracePoint, ProgramError> {
    programs.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

/// Before 5.11 maps count as locked memory, of which little is allowed. Where that cannot be changed, creating the maps
/// tells.
fn allow_memory() {
    let unlimited = rustix::process::Rlimit { current: None, maximum: None };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Memlock, unlimited);
}

fn refused(error: EbpfError) -> LoadError {
    if is_permission(&error) { LoadError::Permission(Box::new(error)) } else { LoadError::SetUp(error) }
}

/// Whether EPERM is at the bottom of it. (EACCES is how the verifier refuses a program.)
pub(super) fn is_permission(error: &(dyn Error + 'static)) -> bool {
    root(error)
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()))
}

fn root<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

/// In one line.
pub(super) fn reason(error: &(dyn Error + 'static)) -> String {
    let root = root(error);
    let (outer, inner) = (error.to_string(), root.to_string());
    if outer.contains(&inner) { outer } else { format!("{outer}: {inner}") }
}

/// In one line: the verifier's last words, not its whole log.
fn program_reason(error: &ProgramError) -> String {
    let ProgramError::LoadError { io_error, verifier_log } = error else { return reason(error) };
    match last_words(&verifier_log.to_string()) {
        Some(words) => format!("the kernel refuses the program ({io_error}): {words}"),
        None => format!("the kernel refuses the program ({io_error}) and does not say why"),
    }
}

/// How many lines of the verifier's log are shown, and how many bytes of all of them.
const WORDS_LINES: usize = 3;
const WORDS_BYTES: usize = 400;

/// The end of the verifier's log: the reason comes last, after the instruction that it is about and the registers as they
/// were before it.
fn last_words(log: &str) -> Option<String> {
    let is_said = |line: &&str| !line.is_empty() && !STATISTICS.iter().any(|begin| line.starts_with(begin));
    let mut lines: Vec<&str> = log.lines().rev().map(str::trim).filter(is_said).take(WORDS_LINES).collect();
    lines.reverse();
    let mut words = lines.join("; ");
    if words.len() > WORDS_BYTES {
        let cut = words.char_indices().map(|(at, _)| at).find(|at| words.len() - at <= WORDS_BYTES)?;
        words = format!("… {}", &words[cut..]);
    }
    (!words.is_empty()).then_some(words)
}

/// What the verifier adds after its reason (`print_verification_stats` in kernel/bpf/verifier.c).
const STATISTICS: [&str; 4] = ["processed ", "verification time ", "stack depth ", "insns processed "];

/// Major and minor version of a kernel release such as `6.1.0-18-cloud-amd64`.
fn parse_release(release: &str) -> Option<(u32, u32)> {
    let (major, rest) = release.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        assert_eq!(parse_release("6.18.44-fc"), Some((6, 18)));
        assert_eq!(parse_release("5.10.0-28-cloud-amd64"), Some((5, 10)));
        assert_eq!(parse_release("4.19+"), Some((4, 19)));
        assert_eq!(parse_release("7.0-rc1"), Some((7, 0)));
        assert_eq!(parse_release("strange"), None);
        assert_eq!(parse_release(""), None);
    }

    #[test]
    fn messages_are_one_sentence() {
        let error = LoadError::TooOld("4.19.0".to_owned());
        assert_eq!(error.to_string(), "the kernel 4.19.0 is too old: 5.8 or later is needed");
        let error = LoadError::NoHook { hook: Hook::SchedProcessExec, cause: "switched off".to_owned() };
        assert_eq!(error.to_string(), "none of the hooks works on this kernel; sched_process_exec: switched off");
    }
    #[test]
    fn the_verifiers_last_words_are_short() {
        let log = "func#0 @0\n0: R1=ctx() R10=fp0\n; load(self.0)\n9: (61) r1 = *(u32 *)(r6 +32752)\n\
                   access beyond struct task_struct at off 32752 size 4\nprocessed 10 insns (limit 1000000)\n\n";
        let words = last_words(log).unwrap();
        assert_eq!(
            words,
            "; load(self.0); 9: (61) r1 = *(u32 *)(r6 +32752); access beyond struct task_struct at off 32752 size 4"
        );
        let long = last_words(&format!("R1={}\nthe reason\n", "é".repeat(10_000))).unwrap();
        assert!(long.len() < 2 * WORDS_BYTES && long.starts_with('…') && long.ends_with("the reason"), "{long}");
        assert_eq!(last_words(""), None);
        assert_eq!(last_words("processed 0 insns\n"), None);
    }

    #[test]
    fn a_program_that_is_refused_takes_no_other_with_it() {
        assert!(rustix::process::geteuid().is_root(), "this test loads programs into the kernel: run it as root");
        let kernel_btf = fs::read(KERNEL_BTF).unwrap();
        let mut offsets = Offsets::resolve(&btf::Btf::parse(&kernel_btf).unwrap());
        // Far outside of the structure, and read by one hook alone.
        offsets.globals.sigaction_handler = 0x7ff0;
        let kernel_types = Btf::parse(&kernel_btf, Endianness::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _context = runtime.enter();
        let probe = load_with(&Options::default(), &offsets, &kernel_types).unwrap();
        for status in probe.hooks() {
            let cause = status.missing.as_deref().unwrap_or_default();
            match status.hook {
                Hook::SignalDeliver => {
                    assert!(cause.starts_with("the kernel refuses the program (Permission denied"), "{cause}");
                    assert!(cause.contains("k_sigaction") && cause.contains("32752"), "{cause}");
                    assert!(!cause.contains('\n') && cause.len() < 2 * WORDS_BYTES, "{cause}");
                }
                hook if hook.sees_packets() => assert_eq!(cause, NOWHERE),
                hook => assert_eq!(cause, "", "{}", hook.name()),
            }
        }
    }
}
