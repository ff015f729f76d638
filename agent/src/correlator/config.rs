//! The correlator's limits and thresholds, each with its reason.

use std::time::Duration;

use crate::model::Sight;

/// What the correlator waits for, remembers and finds worth telling.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What the kernel side can see.
    pub sight: Sight,
    /// How long after a container's cgroup is removed its verdict is final. Records come from one buffer per CPU and
    /// overtake each other by microseconds; the wait covers a slow reader too, and nobody misses a quarter second.
    pub settle: Duration,
    /// How long the removal of an empty cgroup is waited for. `runc delete` follows an exit by some milliseconds, on a busy node by more.
    pub removal_wait: Duration,
    /// A kill stamped this much after an exit still counts as before it: clocks of two CPUs may differ by microseconds.
    /// `runc kill --all 9` follows an exit by 2 ms or more and must stay outside.
    pub skew: Duration,
    /// An exec of the hook's command is the hook, without a known deletion, when the stop signal comes while it runs or
    /// within this after its end. The kubelet stops at once; this covers a slow runtime.
    pub hook_follow: Duration,
    /// A run of a command or request that the postStart handler has too is the postStart when the container was started
    /// this shortly before: the kubelet runs it at once, on a busy node within seconds.
    pub post_start_within: Duration,
    /// Without a known deletion, a container that the kubelet stopped waits this long for others of its pod to follow:
    /// native sidecars are stopped only once the runtime has told of the main containers' ends.
    pub join: Duration,
    /// The grace period where none is known: Kubernetes' default.
    pub default_grace: Duration,
    /// What a stop may take over the grace period: 2 s that the kubelet grants after a hook, and a runtime that restarts.
    /// A signal after which nothing has ended for grace and margin was no stop.
    pub margin: Duration,
    /// A stop signal that comes this much before grace is over came because it is over: timers are late, hooks begin a
    /// little after the request.
    pub grace_slack: Duration,
    /// How far the API server's clock may be from the node's, and a second for deletion times being whole seconds.
    pub clock_skew: Duration,
    /// How long after the kubelet's first act on a container somebody is asked for the reason. The watch of pods that
    /// tells of a deletion may be a little later than the act itself, and then there is nothing to ask.
    pub ask_after: Duration,
    /// How long after the end of a termination an answer is waited for. The kubelet's events come within a second.
    pub answer_wait: Duration,
    /// How long after the request for a pod's deletion, and after what its hooks may take unseen, its kubelet should have
    /// done something. A busy kubelet with a hundred pods to stop takes seconds.
    pub silence: Duration,
    /// So many pods of a node that begin to terminate within `mass_window` are a mass: more than a rollout replaces on
    /// one node at once.
    pub mass_pods: usize,
    /// See `mass_pods`.
    pub mass_window: Duration,
    /// How long after the init's exit the record of an empty cgroup is waited for before it counts as lost. Processes in
    /// uninterruptible sleep may hold a cgroup for long, but seldom for a minute.
    pub empty_wait: Duration,
    /// How long a reported container is remembered when the removal of its cgroup is never seen.
    pub forget_after: Duration,
    /// How long evidence about a removed cgroup waits for somebody to tell whose it was.
    pub identity_wait: Duration,
    /// The OOM killer's choice of another process explains an end of the init within this time.
    pub oom_window: Duration,

    /// How often a termination is told of anew at most, while nothing but its connections changes.
    pub connections_every: Duration,
    /// A last connection this shortly before the exit may have been one of many that were still coming.
    pub traffic_window: Duration,
    /// A sidecar that ended less than this before the application left with it, not before it.
    pub sidecar_lead_min: Duration,

    /// Containers remembered. A node runs some hundreds; a lost removal costs one until `forget_after`.
    pub max_containers: usize,
    /// Cgroups with evidence and without identity.
    pub max_unknown: usize,
    /// Records of processes that entered one container: the living and the last few ended.
    pub max_entered: usize,
    /// Signals, kills, deliveries and OOM victims remembered per container, each.
    pub max_signals: usize,
    /// Records of httpGet hooks remembered per container: a postStart, a preStop, and what a kubelet that restarts repeats.
    pub max_exchanges: usize,
    /// Peers of one container that are told of one by one, in each direction. The others are summed.
    pub max_peers: usize,
    /// Points of a container's curve of open connections.
    pub max_curve: usize,
    /// Pods whose last begin is remembered, to tell that many end at once.
    pub max_wave: usize,
    /// Times remembered in which the kernel left out runs of programs. Older ones are taken together.
    pub max_misses: usize,
    /// Pods remembered as deleted and reported, so that a container that turns up late is not reported again.
    pub max_reported: usize,

    /// More of the grace period used than this is nearly all: one slow request more and it is a kill.
    pub nearly_exhausted: f64,
    /// A hook that keeps a core busy for more than this part of its time is costly: hooks should wait, not compute.
    pub costly_cpu: f64,
    /// Less CPU time than this is never costly.
    pub costly_cpu_min: Duration,
    /// More processes than this are costly: a loop that starts programs.
    pub costly_processes: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            sight: Sight::default(),
            settle: Duration::from_millis(250),
            removal_wait: Duration::from_secs(2),
            skew: Duration::from_millis(1),
            hook_follow: Duration::from_secs(2),
            post_start_within: Duration::from_secs(10),
            join: Duration::from_secs(2),
            default_grace: Duration::from_secs(30),
            margin: Duration::from_secs(30),
            grace_slack: Duration::from_secs(1),
            clock_skew: Duration::from_secs(5),
            ask_after: Duration::from_millis(500),
            answer_wait: Duration::from_secs(2),
            silence: Duration::from_secs(15),
            mass_pods: 10,
            mass_window: Duration::from_secs(60),
            empty_wait: Duration::from_secs(60),
            forget_after: Duration::from_secs(60),
            identity_wait: Duration::from_secs(10),
            oom_window: Duration::from_secs(10),
            connections_every: Duration::from_millis(250),
            traffic_window: Duration::from_secs(1),
            sidecar_lead_min: Duration::from_millis(100),
            max_containers: 4096,
            max_unknown: 1024,
            max_entered: 48,
            max_signals: 16,
            max_exchanges: 16,
            max_peers: 64,
            max_curve: 64,
            max_wave: 1024,
            max_misses: 256,
            max_reported: 1024,
            nearly_exhausted: 0.8,
            costly_cpu: 0.2,
            costly_cpu_min: Duration::from_millis(500),
            costly_processes: 50,
        }
    }
}
