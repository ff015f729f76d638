//! Connections that are older than the agent: found by a walk over all open files, in the kernel.
//!
//! sock_diag would need to enter each pod's network namespace, and setns(2) needs `CAP_SYS_ADMIN`. An iterator sees the files
//! of all processes of the reader's pid namespace: the agent shares the host's.

use std::fs::File;
use std::io::{self, Read};

use aya::programs::links::LinkError;
use aya::programs::{Iter, ProgramError};
use aya::{Btf, Ebpf};

/// The programs, in the order in which they run.
pub(super) const PROGRAMS: [&str; 2] = ["seed_listeners", "seed_connections"];
/// What the kernel iterates over.
const FILES: &str = "task_file";

/// A seeding that was begun: one walk for listeners, one for connections.
#[derive(Debug)]
pub struct Seeding {
    walks: [File; 2],
}

pub(super) fn load(programs: &mut Ebpf, kernel_types: &Btf) -> Result<(), ProgramError> {
    PROGRAMS.into_iter().try_for_each(|name| program(programs, name)?.load(FILES, kernel_types))
}

/// Has the programs find out which network namespace is the host's. They don't when the agent does not see the host's
/// processes.
pub(super) fn find_host_netns(programs: &mut Ebpf) -> io::Result<()> {
    walk(open(programs, PROGRAMS[0])?)
}

impl Seeding {
    pub(super) fn open(programs: &mut Ebpf) -> io::Result<Seeding> {
        let [listeners, connections] = PROGRAMS;
        Ok(Seeding { walks: [open(programs, listeners)?, open(programs, connections)?] })
    }

    /// Walks. Blocks as long as it takes: some tenths of a microsecond for each open file of the machine.
    pub fn run(self) -> io::Result<()> {
        self.walks.into_iter().try_for_each(walk)
    }
}

/// Reads an iterator's file to its end, or until a program has had enough. The programs write nothing to it.
fn walk(mut file: File) -> io::Result<()> {
    let mut buffer = [0; 64];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn open(programs: &mut Ebpf, name: &str) -> io::Result<File> {
    let attach = |programs: &mut Ebpf| -> Result<_, ProgramError> {
        let program = program(programs, name)?;
        let link = program.attach()?;
        program.take_link(link)
    };
    let link = attach(programs).map_err(io::Error::other)?;
    link.into_file().map_err(|error: LinkError| io::Error::other(error))
}

fn program<'a>(programs: &'a mut Ebpf, name: &str) -> Result<&'a mut Iter, ProgramError> {
    programs.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}
