//! Where an agent is: a URL.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;

/// `http://HOST[:PORT][/PREFIX]`. A prefix is what `kubectl proxy` has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Place {
    host: String,
    port: u16,
    authority: String,
    prefix: String,
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Place, &'static str> {
        const FORM: &str = "not a URL like http://127.0.0.1:9464";
        let uri: Uri = text.parse().map_err(|_| FORM)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err("agents speak http; for one behind TLS, forward a port to it and name that"),
            _ => return Err(FORM),
        }
        let authority = uri.authority().ok_or(FORM)?;
        if uri.query().is_some() || authority.as_str().contains('@') {
            return Err("neither a query nor a user's name belongs into it");
        }
        Ok(Place {
            // Without what makes an IPv6 address one.
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: authority.as_str().to_owned(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.prefix)
    }
}

impl Place {
    /// Name or address.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// What goes into the `Host` header.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// Where a path of the API is there.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let place = |text: &str| text.parse::<Place>();
        let plain = place("http://127.0.0.1:9464").unwrap();
        assert_eq!((plain.host(), plain.port(), plain.path("/x").as_str()), ("127.0.0.1", 9464, "/x"));
        assert_eq!(plain.to_string(), "http://127.0.0.1:9464");
        let proxy = place("http://[::1]:8001/api/v1/pods/x:9464/proxy/").unwrap();
        assert_eq!((proxy.host(), proxy.port()), ("::1", 8001));
        assert_eq!((proxy.authority(), proxy.path("/y").as_str()), ("[::1]:8001", "/api/v1/pods/x:9464/proxy/y"));
        assert_eq!(place("http://node1").unwrap().port(), 80);
        for bad in [
            "",
            "127.0.0.1:9464",
            "node1",
            "ftp://x",
            "https://x",
            "http://",
            "http://a@b",
            "http://a/?b",
            "http://a b",
        ] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
