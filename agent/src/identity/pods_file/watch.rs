//! inotify(7) on the directories in which a file can change under its name.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches the directory of a file, and that of the file behind it when it is a symlink.
///
/// Any event there is worth a look, whatever name it carries: the way from the file's name to its content can lead over
/// other names (`..data` of a mounted ConfigMap).
#[derive(Debug)]
pub(super) struct Watch {
    fd: AsyncFd<OwnedFd>,
    path: PathBuf,
    /// The directories, with the kernel's numbers for them.
    directories: Vec<(PathBuf, i32)>,
}

impl Watch {
    /// Needs to be called inside a tokio runtime.
    pub(super) fn new(path: &Path) -> io::Result<Watch> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        // SAFETY: an `OwnedFd` is open, and it stays so and the same as long as the `AsyncFd` that it is moved into.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(io::Error::from)?;
        let mut watch = Watch { fd, path: path.to_owned(), directories: Vec::new() };
        for directory in watch.wanted() {
            let number = watch.add(&directory)?;
            watch.directories.push((directory, number));
        }
        Ok(watch)
    }

    /// Waits for an event; whether one of those that came names the file itself, or what is behind it. Without a way to
    /// wait it never comes back, and looking from time to time has to do.
    pub(super) async fn changed(&self) -> bool {
        let Ok(mut ready) = self.fd.readable().await else { return std::future::pending().await };
        let real = self.path.canonicalize().ok();
        let names = [self.path.file_name(), real.as_deref().and_then(Path::file_name)];
        let mut named = false;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(self.fd.get_ref(), &mut buffer);
        while let Ok(event) = events.next() {
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
            named |= event.events().contains(ReadFlags::QUEUE_OVERFLOW) || name.is_some() && names.contains(&name);
        }
        ready.clear_ready();
        named
    }

    /// Watches the directories in which the file is now. One that was removed and made again is another one, so all are
    /// asked for anew; for those already watched the kernel does nothing.
    pub(super) fn renew(&mut self) {
        let mut directories = Vec::new();
        for directory in self.wanted() {
            if let Ok(number) = self.add(&directory) {
                directories.push((directory, number));
            }
        }
        for (_, old) in &self.directories {
            if !directories.iter().any(|(_, number)| number == old) {
                // Fails when the directory is gone, and the kernel has forgotten it already.
                let _ = inotify::remove_watch(self.fd.get_ref(), *old);
            }
        }
        self.directories = directories;
    }

    fn wanted(&self) -> Vec<PathBuf> {
        let directory = |path: &Path| match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
            Some(parent) => parent.to_owned(),
            None => path.to_owned(),
        };
        let mut wanted = vec![directory(&self.path)];
        wanted.extend(self.path.canonicalize().ok().map(|real| directory(&real)));
        wanted.dedup();
        wanted
    }

    fn add(&self, directory: &Path) -> io::Result<i32> {
        let events = WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        Ok(inotify::add_watch(self.fd.get_ref(), directory, events)?)
    }
}
