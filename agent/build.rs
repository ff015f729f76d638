//! Takes the object of the eBPF programs from the environment.
fn main() {
    println!("cargo::rerun-if-env-changed=GRACETRACE_EBPF_FROM");
    let object = std::env::var("GRACETRACE_EBPF_FROM").unwrap_or_else(|_| {
        format!(
            "{}/../target/ebpf/bpfel-unknown-none/release/gracetrace-ebpf",
            std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default()
        )
    });
    println!("cargo::rerun-if-changed={object}");
    println!("cargo::rustc-env=GRACETRACE_EBPF_OBJECT={object}");
}
