//! Static programs of a few instructions, so that what is measured is the kernel's work and not a loader's.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

/// `_exit(0)`
#[cfg(target_arch = "x86_64")]
pub(super) const NOOP: &[u8] = &[
    0x31, 0xff, // xor edi, edi
    0xb8, 0x3c, 0x00, 0x00, 0x00, // mov eax, 60 (exit)
    0x0f, 0x05, // syscall
];

/// `pause()`
#[cfg(target_arch = "x86_64")]
pub(super) const PAUSE: &[u8] = &[
    0xb8, 0x22, 0x00, 0x00, 0x00, // mov eax, 34 (pause)
    0x0f, 0x05, // syscall
    0x0f, 0x0b, // ud2
];

/// `_exit(0)`
#[cfg(target_arch = "aarch64")]
pub(super) const NOOP: &[u8] = &[
    0x00, 0x00, 0x80, 0xd2, // mov x0, 0
    0xa8, 0x0b, 0x80, 0xd2, // mov x8, 93 (exit)
    0x01, 0x00, 0x00, 0xd4, // svc 0
];

/// `ppoll(NULL, 0, NULL, NULL)`
#[cfg(target_arch = "aarch64")]
pub(super) const PAUSE: &[u8] = &[
    0x00, 0x00, 0x80, 0xd2, // mov x0, 0
    0x01, 0x00, 0x80, 0xd2, // mov x1, 0
    0x02, 0x00, 0x80, 0xd2, // mov x2, 0
    0x03, 0x00, 0x80, 0xd2, // mov x3, 0
    0x28, 0x09, 0x80, 0xd2, // mov x8, 73 (ppoll)
    0x01, 0x00, 0x00, 0xd4, // svc 0
];

const MACHINE: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
const HEADERS: u64 = 64 + 56;
/// Where the program is in memory.
const BASE: u64 = 0x40_0000;

/// Writes instructions as an executable file.
pub(super) fn write(path: &Path, instructions: &[u8]) -> Result<()> {
    fs::write(path, elf(instructions)).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(path, Permissions::from_mode(0o755)).context("cannot make a program executable")
}

/// The smallest ELF file there is for them: a header and one segment (elf(5)).
fn elf(instructions: &[u8]) -> Vec<u8> {
    let size = HEADERS + instructions.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend([2u16, MACHINE].iter().flat_map(|half| half.to_le_bytes()));
    file.extend(1u32.to_le_bytes());
    // Entry point, program headers, no section headers.
    file.extend([BASE + HEADERS, 64, 0].iter().flat_map(|word| word.to_le_bytes()));
    file.extend(0u32.to_le_bytes());
    // Sizes and counts: this header, the program header and one of it, no section headers.
    file.extend([64u16, 56, 1, 0, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
    // PT_LOAD, readable and executable.
    file.extend([1u32, 5].iter().flat_map(|word| word.to_le_bytes()));
    file.extend([0, BASE, BASE, size, size, 0x1000].iter().flat_map(|word| word.to_le_bytes()));
    file.extend(instructions);
    file
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::process::{Child, Command};

    use super::*;
    use crate::wait;

    /// Starts a program that was just written. A process that another test is about to start has our open file until its
    /// exec, and as long as a program is open for writing it cannot be run.
    fn start(path: &Path) -> Child {
        wait::value("nobody has the program open for writing", || match Command::new(path).spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => None,
            started => Some(started.unwrap()),
        })
    }

    #[test]
    fn the_program_that_does_nothing_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("noop");
        write(&path, NOOP).unwrap();
        assert!(start(&path).wait().unwrap().success());
    }

    #[test]
    fn the_program_that_waits_ends_by_a_signal() {
        use std::os::unix::process::ExitStatusExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pause");
        write(&path, PAUSE).unwrap();
        let mut child = start(&path);
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
