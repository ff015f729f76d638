//! What a browser is shown: `/`, and `/assets/…` for what that needs. All of it is in the program, compressed when it was
//! built; its sources are in `agent/page`.

use bytes::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, ETAG, HeaderMap, HeaderValue,
    IF_NONE_MATCH, VARY,
};
use hyper::{Response, StatusCode};

use super::body::{Body, Chunks};
use super::negotiation;
use super::response::response;

/// The page asks nobody but this agent, runs nothing but its own files, and is shown in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
    base-uri 'none'; frame-ancestors 'none'; form-action 'none'";

/// A file of the page.
struct Asset {
    path: &'static str,
    content_type: &'static str,
    etag: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
}

static ASSETS: &[Asset] = &include!(env!("GRACETRACE_PAGE"));

/// The answer, if this path is one of the page's.
pub(super) fn answer(path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
    let asset = ASSETS.iter().find(|asset| asset.path == path)?;
    let mut answer = if is_known(headers, asset.etag) {
        let mut answer = response(StatusCode::NOT_MODIFIED, asset.content_type, Chunks::from(Bytes::new()));
        answer.headers_mut().remove(CONTENT_LENGTH);
        answer
    } else if negotiation::gzip(headers) {
        let mut answer = response(StatusCode::OK, asset.content_type, Chunks::from(Bytes::from_static(asset.gzip)));
        answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        answer
    } else {
        response(StatusCode::OK, asset.content_type, Chunks::from(Bytes::from_static(asset.plain)))
    };
    let fields = answer.headers_mut();
    // A browser may keep it and asks each time: after an upgrade of the agent it has to be all new, or all old.
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    fields.insert(ETAG, HeaderValue::from_static(asset.etag));
    fields.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    fields.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Some(answer)
}

/// Whether the client has it already (RFC 9110, 13.1.2).
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|list| list.split(',')).map(str::trim).any(|known| known == "*" || known == etag)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    /// Bytes of the whole page, compressed.
    const BUDGET: usize = 150_000;

    fn text(asset: &Asset) -> &str {
        std::str::from_utf8(asset.plain).unwrap()
    }

    #[test]
    fn it_is_small() {
        let total: usize = ASSETS.iter().map(|asset| asset.gzip.len()).sum();
        assert!(total < BUDGET, "the page takes {total} bytes");
        for asset in ASSETS {
            let mut plain = Vec::new();
            GzDecoder::new(asset.gzip).read_to_end(&mut plain).unwrap();
            assert!(plain == asset.plain, "{}", asset.path);
        }
    }

    #[test]
    fn it_refers_to_what_is_there_and_to_nobody_else() {
        for asset in ASSETS {
            let words = text(asset).split(['"', '(', ')', '\'', '`']);
            for word in words.clone().filter(|word| word.starts_with("/assets/")) {
                assert!(ASSETS.iter().any(|other| other.path == word), "{} refers to {word}", asset.path);
            }
            for word in words.clone().filter(|word| word.starts_with("./") && word.ends_with(".js")) {
                let path = word.replacen("./", "/assets/", 1);
                assert!(ASSETS.iter().any(|other| other.path == path), "{} refers to {word}", asset.path);
            }
            let foreign = words.filter(|word| word.contains("://") && *word != "http://www.w3.org/2000/svg");
            assert_eq!(foreign.collect::<Vec<_>>(), Vec::<&str>::new(), "{}", asset.path);
        }
    }

    #[test]
    fn texts_become_no_markup_and_styles_are_in_files() {
        const WORDS: [&str; 7] =
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "style=\""];
        for asset in ASSETS {
            for word in WORDS {
                assert!(!text(asset).contains(word), "{} has {word}", asset.path);
            }
        }
    }

    #[test]
    fn a_browser_keeps_what_has_not_changed() {
        let mut headers = HeaderMap::new();
        let first = answer("/", &headers).unwrap();
        assert_eq!(first.status(), StatusCode::OK);
        assert!(!first.headers().contains_key(CONTENT_ENCODING));
        assert!(first.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none'; "));
        headers.insert("accept-encoding", HeaderValue::from_static("br, gzip"));
        assert_eq!(answer("/assets/main.js", &headers).unwrap().headers()[CONTENT_ENCODING], "gzip");
        headers.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
        let again = answer("/", &headers).unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert!(!again.headers().contains_key(CONTENT_LENGTH));
        assert_eq!(answer("/assets/base.css", &headers).unwrap().status(), StatusCode::OK);
        for path in ["/assets/", "/assets/none.js", "/assets/../main.js", "/index.html", "/main.js"] {
            assert!(answer(path, &headers).is_none(), "{path}");
        }
    }
}
