//! Debian's packages without installing them: apt with a state of its own, so that neither root nor the machine's own
//! lists are touched. Mirror and keys are the machine's.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::command;

/// The keys of every release that Debian still signs.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt with a state of its own.
#[derive(Debug)]
pub(crate) struct Apt {
    dir: PathBuf,
    /// Codename of the machine's own release.
    pub(crate) own: String,
    /// Packages for another kind of machine can be had too.
    foreign: Option<&'static str>,
}

impl Apt {
    /// Prepares it for the machine's own release and others, such as `bullseye`, each with its security updates, and loads
    /// their lists.
    pub(crate) fn open(dir: &Path, suites: &BTreeSet<String>, foreign: Option<&'static str>) -> Result<Apt> {
        for program in ["apt-get", "apt-cache", "dpkg-deb"] {
            ensure!(
                command::find_on_path(program).is_some(),
                "this takes Debian's packages, and {program} is not there: run it on Debian"
            );
        }
        for part in ["lists/partial", "cache/archives/partial", "debs"] {
            fs::create_dir_all(dir.join(part)).with_context(|| format!("cannot make {part} in {}", dir.display()))?;
        }
        let own = codename(&fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?)
            .context("/etc/os-release names no release")?;
        let mirrors = Mirrors::of_machine(&own)?;
        let mut suites = suites.clone();
        suites.extend([own.clone(), format!("{own}-backports")]);
        fs::write(dir.join("sources.list"), mirrors.sources(&suites))?;
        fs::write(dir.join("own-release"), never(suites.iter().filter(|suite| !is_of(suite, &own))))?;
        // What the machine has need not be loaded again.
        fs::copy("/var/lib/dpkg/status", dir.join("status")).context("cannot copy the list of installed packages")?;
        let apt = Apt { dir: dir.to_path_buf(), own, foreign };
        eprintln!("loading the package lists of {}", suites.into_iter().collect::<Vec<_>>().join(", "));
        let output = apt.command("apt-get").args(["update", "-q"]).stdin(Stdio::null()).output()?;
        if !output.status.success() {
            // Suites leave a mirror one by one. Whoever misses one says so.
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            eprintln!("not every package list can be had; going on with the others");
        }
        Ok(apt)
    }

    /// Versions of a package, the newest first.
    pub(crate) fn versions(&self, package: &str) -> Result<Vec<String>> {
        let output = self.command("apt-cache").args(["madison", package]).output().context("cannot run apt-cache")?;
        Ok(parse_madison(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Names of the packages that one needs.
    pub(crate) fn dependencies(&self, package: &str, version: &str) -> Result<Vec<String>> {
        let mut show = self.command("apt-cache");
        let output = show.args(["show", &format!("{package}={version}")]).output().context("cannot run apt-cache")?;
        Ok(parse_depends(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Loads a package and unpacks it into a folder.
    pub(crate) fn unpack(&self, package: &str, version: &str, folder: &Path) -> Result<()> {
        let debs = self.dir.join("debs").join(package);
        fs::create_dir_all(&debs)?;
        let mut download = self.command("apt-get");
        download.args(["download", "-q", &format!("{package}={version}")]).current_dir(&debs);
        command::run_quietly(&mut download)?;
        for deb in files(&debs)? {
            extract(&deb, folder)?;
        }
        fs::remove_dir_all(&debs).with_context(|| format!("cannot remove {}", debs.display()))
    }

    /// Loads a package of a suite of the machine's own release with all that it needs and this machine lacks, and unpacks
    /// them into a folder. Other releases are left alone: what comes of a mixture runs nowhere.
    pub(crate) fn unpack_with_dependencies(&self, package: &str, suite: &str, folder: &Path) -> Result<()> {
        let debs = self.dir.join("cache/archives");
        for left in debs.read_dir()?.flatten().filter(|entry| is_package(&entry.path())) {
            // Of a run that did not get to its end.
            fs::remove_file(left.path())?;
        }
        let mut install = self.command("apt-get");
        install.args(["-o", &format!("Dir::Etc::Preferences={}", self.dir.join("own-release").display())]);
        install.args(["install", "--download-only", "-q", "-y", "--no-install-recommends", "-t", suite, package]);
        command::run_quietly(&mut install)?;
        for deb in files(&debs)?.iter().filter(|path| is_package(path)) {
            extract(deb, folder)?;
            fs::remove_file(deb)?;
        }
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let dir = self.dir.display();
        for option in [
            format!("Dir::State={dir}"),
            format!("Dir::State::lists={dir}/lists"),
            format!("Dir::State::status={dir}/status"),
            format!("Dir::Cache={dir}/cache"),
            format!("Dir::Etc::SourceList={dir}/sources.list"),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            "Dir::Etc::Preferences=/dev/null".to_owned(),
            "Dir::Etc::PreferencesParts=/dev/null".to_owned(),
            // The user that apt otherwise loads as may not enter the workspace.
            "APT::Sandbox::User=".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        if let Some(foreign) = self.foreign {
            // Its own kind first: the first is what this machine is.
            let own = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
            command.args([
                "-o",
                &format!("APT::Architectures::={own}"),
                "-o",
                &format!("APT::Architectures::={foreign}"),
            ]);
        }
        command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
        command
    }
}

/// Where the machine gets its packages from.
#[derive(Debug, PartialEq, Eq)]
struct Mirrors {
    archive: String,
    security: Option<String>,
}

impl Mirrors {
    fn of_machine(own: &str) -> Result<Mirrors> {
        let mut targets = Command::new("apt-get");
        targets.args(["indextargets", "--format", "$(REPO_URI) $(RELEASE) $(CODENAME)", "Created-By: Packages"]);
        let output = targets.output().context("cannot run apt-get")?;
        let mirrors = Mirrors::parse(&String::from_utf8_lossy(&output.stdout), own);
        mirrors.with_context(|| {
            format!("this machine's apt has no source for {own}, whose mirror would have the packages")
        })
    }

    fn parse(targets: &str, own: &str) -> Option<Mirrors> {
        let find = |suite: &str| {
            let mut lines = targets.lines().map(|line| line.split(' ').collect::<Vec<_>>());
            lines.find_map(|fields| fields[1..].contains(&suite).then(|| fields[0].to_owned()))
        };
        Some(Mirrors { archive: find(own)?, security: find(&format!("{own}-security")) })
    }

    fn sources(&self, suites: &BTreeSet<String>) -> String {
        let options = if Path::new(KEYRING).exists() { format!("[signed-by={KEYRING}] ") } else { String::new() };
        let mut text = String::new();
        for suite in suites {
            text += &format!("deb {options}{} {suite} main\n", self.archive);
            if let Some(security) = self.security.as_deref().filter(|_| !suite.contains('-')) {
                text += &format!("deb {options}{security} {suite}-security main\n");
            }
        }
        text
    }
}

fn extract(deb: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    command::run_quietly(Command::new("dpkg-deb").arg("-x").arg(deb).arg(folder))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    if files.is_empty() {
        bail!("apt has put nothing into {}", folder.display());
    }
    Ok(files)
}

fn is_package(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "deb")
}

/// Whether a suite is a release or belongs to it, as `bookworm-backports` does to `bookworm`.
fn is_of(suite: &str, release: &str) -> bool {
    suite.strip_prefix(release).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Preferences (apt_preferences(5)) that keep suites and their security updates out.
fn never<'a>(suites: impl Iterator<Item = &'a String>) -> String {
    suites.fold(String::new(), |text, suite| {
        let pin = |name: &str| format!("Package: *\nPin: release n={name}\nPin-Priority: -1\n\n");
        text + &pin(suite) + &pin(&format!("{suite}-security"))
    })
}

fn codename(os_release: &str) -> Option<String> {
    let name = os_release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(name.trim_matches('"').to_owned())
}

/// `package | version | source` a line, the newest first.
fn parse_madison(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| Some(line.split('|').nth(1)?.trim().to_owned())).collect()
}

/// Package names of a `Depends:` field; of alternatives the first.
fn parse_depends(text: &str) -> Vec<String> {
    let Some(field) = text.lines().find_map(|line| line.strip_prefix("Depends: ")) else { return Vec::new() };
    field.split(',').filter_map(|each| Some(each.split_whitespace().next()?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_the_machines() {
        let targets = "http://mirror.example/debian/ bookworm bookworm\n\
                       http://mirror.example/debian/ bookworm-updates bookworm-updates\n\
                       http://mirror.example/security/ stable-security bookworm-security\n";
        let mirrors = Mirrors::parse(targets, "bookworm").unwrap();
        assert_eq!(mirrors.security.as_deref(), Some("http://mirror.example/security/"));
        let sources = mirrors.sources(&BTreeSet::from(["bullseye".to_owned(), "trixie-backports".to_owned()]));
        let ends: Vec<&str> =
            sources.lines().filter_map(|line| line.split_once("http://mirror.example/")).map(|it| it.1).collect();
        assert_eq!(
            ends,
            ["debian/ bullseye main", "security/ bullseye-security main", "debian/ trixie-backports main"]
        );
        assert_eq!(Mirrors::parse(targets, "noble"), None);
    }

    #[test]
    fn other_releases_are_kept_out() {
        assert!(is_of("bookworm", "bookworm") && is_of("bookworm-backports", "bookworm"));
        assert!(!is_of("trixie-backports", "bookworm") && !is_of("bookworms", "bookworm"));
        let text = never(["trixie".to_owned()].iter());
        assert!(text.contains("Pin: release n=trixie\nPin-Priority: -1\n"), "{text}");
        assert!(text.contains("Pin: release n=trixie-security\n"), "{text}");
    }

    #[test]
    fn apts_answers_are_read() {
        let madison =
            "linux | 7.2.13-1 | http://mirror.example sid/main\nlinux | 5.10.262-1 | http://mirror.example x\n";
        assert_eq!(parse_madison(madison), ["7.2.13-1", "5.10.262-1"]);
        let show = "Package: x\nDepends: linux-image-7 (= 7.2), dracut | initramfs-tools (>= 0.1), kmod\nSize: 1\n";
        assert_eq!(parse_depends(show), ["linux-image-7", "dracut", "kmod"]);
        assert_eq!(codename("ID=debian\nVERSION_CODENAME=bookworm\n").as_deref(), Some("bookworm"));
    }
}
