//! An image's name, as people type it and as runtimes keep it
//! (<https://github.com/distribution/reference/blob/v0.6.0/normalize.go>).

use anyhow::{Result, bail};

/// A name with a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    domain: String,
    path: String,
    tag: String,
}

impl Reference {
    /// Reads a name such as `gracetrace`, `team/gracetrace:1` or `registry.example:5000/gracetrace:1`.
    pub(super) fn parse(text: &str) -> Result<Reference> {
        if text.contains('@') {
            bail!("the image's name {text:?} has a digest: that comes from what is in it, give NAME:TAG");
        }
        let (name, tag) = match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (text, "latest"),
        };
        let (domain, path) = match name.split_once('/') {
            Some((domain, path)) if domain.contains(['.', ':']) || domain == "localhost" => (domain, path.to_owned()),
            Some(_) => (DOCKER, name.to_owned()),
            None => (DOCKER, format!("{LIBRARY}{name}")),
        };
        let of = |text: &str, more: &[char]| {
            text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(&c))
        };
        let is_part = |part: &str| {
            let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
            edge(part.chars().next()) && edge(part.chars().next_back()) && of(part, &['.', '_', '-'])
        };
        if !path.split('/').all(is_part) {
            bail!("{text:?} is no name of an image: small letters, digits and . _ - between slashes");
        }
        if !of(&domain.to_ascii_lowercase(), &['.', '-', ':']) {
            bail!("{text:?} is no name of an image: {domain:?} is no host");
        }
        let tag_starts = tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if tag.len() > 128 || !tag_starts || !of(&tag.to_ascii_lowercase(), &['.', '_', '-']) {
            bail!("{text:?} is no name of an image: the tag {tag:?} may be 128 letters, digits and . _ -");
        }
        Ok(Reference { domain: domain.to_owned(), path, tag: tag.to_owned() })
    }

    /// With everything, as containerd and CRI-O keep it.
    pub(super) fn full(&self) -> String {
        format!("{}/{}:{}", self.domain, self.path, self.tag)
    }

    /// As Docker keeps it: without its own host.
    pub(super) fn familiar(&self) -> String {
        let Reference { domain, path, tag } = self;
        match domain.as_str() {
            DOCKER => format!("{}:{tag}", path.strip_prefix(LIBRARY).unwrap_or(path)),
            _ => self.full(),
        }
    }

    /// What comes after the colon.
    pub(super) fn tag(&self) -> &str {
        &self.tag
    }
}

const DOCKER: &str = "docker.io";
const LIBRARY: &str = "library/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (text, full, familiar) in [
            ("gracetrace", "docker.io/library/gracetrace:latest", "gracetrace:latest"),
            ("gracetrace:1.0", "docker.io/library/gracetrace:1.0", "gracetrace:1.0"),
            ("team/gracetrace:x", "docker.io/team/gracetrace:x", "team/gracetrace:x"),
            ("localhost/gracetrace:0.1.0", "localhost/gracetrace:0.1.0", "localhost/gracetrace:0.1.0"),
            ("r.example:5000/a/b_c:V1", "r.example:5000/a/b_c:V1", "r.example:5000/a/b_c:V1"),
            ("r.example:5000/a", "r.example:5000/a:latest", "r.example:5000/a:latest"),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!((reference.full().as_str(), reference.familiar().as_str()), (full, familiar));
        }
    }

    #[test]
    fn no_names() {
        for text in
            ["", ":", "a:", "Gracetrace", "a//b", "-a", "a:b c", "a@sha256:00", "ho st.x/a", "a/", "a:.x", "a b"]
        {
            let error = Reference::parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{text}: {error}");
        }
        assert!(Reference::parse(&format!("a:{}", "x".repeat(129))).is_err());
    }
}
