//! The kernels that gracetrace is tried on.

/// A kernel of the matrix.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kernel {
    /// Its name here.
    pub(super) name: &'static str,
    /// Who runs it.
    pub(super) about: &'static str,
    /// What its package's version begins with; the newest of all without.
    pub(super) version: &'static str,
    /// Suites of Debian's archive that have it; security updates are looked for besides.
    pub(super) suite: &'static str,
    /// Hooks that it does not have.
    pub(super) missing: &'static [&'static str],
}

/// The package that always depends on the newest kernel of its suite.
pub(super) const META_PACKAGE: &str = "linux-image-cloud-amd64";

/// Modules that the pods' network needs, in the order in which they are loaded. A kernel may have them built in.
pub(super) const MODULES: [&str; 6] = ["llc", "stp", "bridge", "veth", "inet_diag", "tcp_diag"];

/// The matrix: one kernel of each long-term series that Debian ships, and the newest.
pub(super) const KERNELS: [Kernel; 4] = [
    Kernel { name: "5.10", about: "Debian 11", version: "5.10.", suite: "bullseye", missing: &[] },
    Kernel { name: "6.1", about: "Debian 12", version: "6.1.", suite: "bookworm", missing: &[] },
    Kernel { name: "6.12", about: "Debian 13", version: "6.12.", suite: "trixie", missing: &[] },
    Kernel { name: "newest", about: "backports to Debian 13", version: "", suite: "trixie-backports", missing: &[] },
];

/// The kernels that were asked for; all without a name.
pub(super) fn chosen(name: Option<&str>) -> anyhow::Result<Vec<&'static Kernel>> {
    let chosen: Vec<&'static Kernel> =
        KERNELS.iter().filter(|kernel| name.is_none_or(|name| name == kernel.name)).collect();
    if chosen.is_empty() {
        let known: Vec<&str> = KERNELS.iter().map(|kernel| kernel.name).collect();
        anyhow::bail!("there is no kernel {}: there are {}", name.unwrap_or_default(), known.join(", "));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_goes_by_its_name() {
        assert_eq!(chosen(None).unwrap().len(), KERNELS.len());
        assert_eq!(chosen(Some("6.1")).unwrap()[0].suite, "bookworm");
        assert!(chosen(Some("2.6")).unwrap_err().to_string().contains("5.10"));
    }
}
