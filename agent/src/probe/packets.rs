//! The programs that see the packets of the kubelet: loaded with the others, attached when and where there is a kubelet.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::programs::cgroup_skb::CgroupSkbLinkId;
use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, ProgramError};
use gracetrace_ebpf::Hook;

use super::HookStatus;
use super::load::{is_permission, reason};
use crate::model::CgroupId;

/// What a program is attached to, by hook. One that was not loaded is not here.
#[derive(Debug, Default)]
pub(super) struct Packets {
    links: BTreeMap<Hook, BTreeMap<CgroupId, CgroupSkbLinkId>>,
}

impl Packets {
    /// Loads one of the programs. It does nothing before it is attached.
    pub(super) fn load(&mut self, programs: &mut Ebpf, hook: Hook) -> Result<(), ProgramError> {
        program(programs, hook)?.load()?;
        self.links.insert(hook, BTreeMap::new());
        Ok(())
    }

    /// Attaches to these cgroups and to no others. A directory that was made anew is another cgroup: the kernel takes a
    /// program off a cgroup that is removed. `otherwise` is why there are none, if so. Tells whether anything changed.
    pub(super) fn attach(
        &mut self,
        programs: &mut Ebpf,
        hooks: &mut [HookStatus],
        dirs: &[PathBuf],
        otherwise: Option<&str>,
    ) -> bool {
        let mut changed = false;
        let mut cause = otherwise.map(str::to_owned);
        let mut wanted = BTreeMap::new();
        for dir in dirs {
            match open(dir) {
                Ok((id, opened)) => drop(wanted.insert(id, (dir, opened))),
                Err(error) => cause = Some(format!("cannot use the kubelet's cgroup {}: {error}", dir.display())),
            }
        }
        for (hook, links) in &mut self.links {
            let mut cause = cause.clone();
            let result = program(programs, *hook).map(|program| {
                let gone: Vec<CgroupId> = links.keys().copied().filter(|id| !wanted.contains_key(id)).collect();
                changed |= !gone.is_empty();
                for link in gone.iter().filter_map(|id| links.remove(id)) {
                    // With its cgroup it may be gone already.
                    let _ = program.detach(link);
                }
                for (id, (dir, opened)) in &wanted {
                    if links.contains_key(id) {
                        continue;
                    }
                    // As a link, with which programs of others stay and run: `cgroup_bpf_link_attach` in
                    // kernel/bpf/cgroup.c takes no flag for it.
                    match program.attach(opened, attach_type(*hook), CgroupAttachMode::Single) {
                        Ok(link) => {
                            changed = true;
                            links.insert(*id, link);
                        }
                        Err(error) => cause = Some(refused(dir, &error)),
                    }
                }
            });
            let cause = result.err().map(|error| reason(&error)).or(cause);
            if let Some(status) = hooks.iter_mut().find(|status| status.hook == *hook) {
                status.missing = if links.is_empty() { cause.or_else(|| Some(NOWHERE.to_owned())) } else { None };
            }
        }
        changed
    }

    /// Whether there is anything to attach.
    pub(super) fn is_loaded(&self) -> bool {
        !self.links.is_empty()
    }
}

/// What a hook that was loaded says until it is attached.
pub(super) const NOWHERE: &str = "it is attached to no cgroup";

fn attach_type(hook: Hook) -> CgroupSkbAttachType {
    match hook {
        Hook::CgroupSkbIngress => CgroupSkbAttachType::Ingress,
        _ => CgroupSkbAttachType::Egress,
    }
}

fn program(programs: &mut Ebpf, hook: Hook) -> Result<&mut CgroupSkb, ProgramError> {
    programs.program_mut(hook.name()).ok_or(ProgramError::NotLoaded)?.try_into()
}

fn open(dir: &Path) -> io::Result<(CgroupId, File)> {
    let opened = File::open(dir)?;
    Ok((CgroupId(opened.metadata()?.ino()), opened))
}

/// `bpf_prog_attach_check_attach_type` in kernel/bpf/syscall.c asks for `CAP_NET_ADMIN`; `__cgroup_bpf_attach` refuses
/// beside a program that was attached to be alone.
fn refused(dir: &Path, error: &ProgramError) -> String {
    let dir = dir.display();
    match is_permission(error) {
        true => format!(
            "no permission to attach to the kubelet's cgroup {dir}: it needs CAP_NET_ADMIN, and no program there or above that was attached to be the only one"
        ),
        false => format!("cannot attach to the kubelet's cgroup {dir}: {}", reason(error)),
    }
}
