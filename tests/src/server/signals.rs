//! Stop signals as something to wait for beside connections: signalfd(2).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd};

use anyhow::{Context, Result};

/// SIGTERM of this process.
pub(super) struct Signals(File);

impl Signals {
    /// Keeps SIGTERM from ending the process. Threads and children inherit that. Children that end are not waited for.
    pub(super) fn take() -> Result<Signals> {
        // SAFETY: an all-zero sigset_t is one, and the calls only use it; SIG_IGN is no function.
        let fd = unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGTERM);
            libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            libc::signal(libc::SIGCHLD, libc::SIG_IGN);
            libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error()).context("no signalfd");
        }
        // SAFETY: it is open, and nobody else's.
        Ok(Signals(unsafe { File::from_raw_fd(fd) }))
    }

    /// Takes those that wait: one, for they do not queue.
    pub(super) fn read(&self) -> Result<u32> {
        let mut info = [0; size_of::<libc::signalfd_siginfo>()];
        (&self.0).read_exact(&mut info)?;
        Ok(1)
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
