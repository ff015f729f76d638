//! The programs that run in the kernel. One file a hook in [`probes`]; what they share is in [`state`] (the maps), [`once`]
//! (what is handled once), [`tree`] (processes and their descendants), [`kernel`] (members of kernel structures), [`sock`]
//! (sockets), [`segment`] (packets), [`connections`] (those that are counted), [`sockets`] (where those are kept), [`ports`]
//! (who listens where) and [`gone`] (addresses of pods that have gone).
//!
//! Built for the target `bpfel-unknown-none` this is the object that the agent embeds; built for the host it is empty,
//! so that one `cargo check --workspace` covers everything.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod probes;
#[cfg(target_arch = "bpf")]
mod state;
#[cfg(target_arch = "bpf")]
mod once;
#[cfg(target_arch = "bpf")]
mod tree;
#[cfg(target_arch = "bpf")]
mod connections;
#[cfg(target_arch = "bpf")]
mod sockets;
#[cfg(target_arch = "bpf")]
mod sock;
#[cfg(target_arch = "bpf")]
mod kernel;
#[cfg(target_arch = "bpf")]
mod segment;
#[cfg(target_arch = "bpf")]
mod ports;
#[cfg(target_arch = "bpf")]
mod gone;

/// Helpers such as `bpf_probe_read_kernel` are open to programs under the GPL only (`gpl_only` in
/// kernel/trace/bpf_trace.c); this string is one that the kernel takes for it (`license_is_gpl_compatible`).
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses a program that could get here.
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
