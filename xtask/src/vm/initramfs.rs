//! The guest's file system: an archive that the kernel unpacks into memory (Documentation/driver-api/early-userspace/
//! buffer-format.rst: cpio in the "newc" format, gzip around it).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Type and permission bits of st_mode.
const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;
const CONSOLE: u32 = 0o020_600;

/// An archive being written.
pub(super) struct Initramfs {
    output: GzEncoder<File>,
    inodes: u32,
}

impl Initramfs {
    /// Begins a file.
    pub(super) fn create(path: &Path) -> Result<Initramfs> {
        let file = File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
        let mut archive = Initramfs { output: GzEncoder::new(file, Compression::fast()), inodes: 0 };
        archive.folder("dev")?;
        // Without it the init has no standard output: it runs before anything is mounted.
        archive.entry("dev/console", CONSOLE, (5, 1), &[])?;
        Ok(archive)
    }

    /// Adds a folder. Those above it come first.
    pub(super) fn folder(&mut self, name: &str) -> Result<()> {
        self.entry(name, FOLDER, (0, 0), &[])
    }

    /// Adds a copy of a file, which may be executed.
    pub(super) fn file(&mut self, name: &str, from: &Path) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.entry(name, PROGRAM, (0, 0), &content)
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, name: &str, target: &str) -> Result<()> {
        self.entry(name, LINK, (0, 0), target.as_bytes())
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> Result<()> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        self.output.finish().context("cannot write the archive")?;
        Ok(())
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) -> Result<()> {
        self.inodes += 1;
        write_entry(&mut self.output, self.inodes, name, mode, device, content)
            .with_context(|| format!("cannot add {name}"))
    }
}

fn write_entry(
    output: &mut impl Write,
    inode: u32,
    name: &str,
    mode: u32,
    device: (u32, u32),
    content: &[u8],
) -> io::Result<()> {
    let too_long = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let size = u32::try_from(content.len()).map_err(too_long)?;
    let name_size = u32::try_from(name.len() + 1).map_err(too_long)?;
    // Magic; ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check.
    let mut header = "070701".to_owned();
    for field in [inode, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0] {
        header += &format!("{field:08x}");
    }
    output.write_all(header.as_bytes())?;
    output.write_all(name.as_bytes())?;
    output.write_all(b"\0")?;
    // Name and content begin at multiples of four.
    pad(output, header.len() + name.len() + 1)?;
    output.write_all(content)?;
    pad(output, content.len())
}

fn pad(output: &mut impl Write, length: usize) -> io::Result<()> {
    output.write_all(&[0; 3][..length.next_multiple_of(4) - length])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_aligned() {
        let mut output = Vec::new();
        write_entry(&mut output, 1, "ab", PROGRAM, (0, 0), b"hello").unwrap();
        assert_eq!(output.len() % 4, 0);
        assert!(output.starts_with(b"07070100000001000081ed"));
        let at = 110 + 3;
        assert_eq!(&output[110..at], b"ab\0");
        assert_eq!(&output[at.next_multiple_of(4)..][..5], b"hello");
    }
}
