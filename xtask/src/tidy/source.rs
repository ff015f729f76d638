//! A Rust file as the rules see it: code without comments and strings, and which lines are tests.

use std::ops::Range;

use super::Finding;

/// One Rust file.
#[derive(Debug)]
pub(super) struct Source<'a> {
    /// Path from the workspace's folder.
    pub(super) path: &'a str,
    /// As it is.
    pub(super) text: &'a str,
    /// Same length and lines, with the contents of comments, strings and character literals replaced by spaces.
    pub(super) code: String,
    /// Bytes of items under `#[cfg(test)]`.
    tests: Vec<Range<usize>>,
    /// Bytes at which lines begin.
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(super) fn new(path: &'a str, text: &'a str) -> Source<'a> {
        let code = mask(text);
        let tests = test_items(&code);
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Source { path, text, code, tests, lines }
    }

    /// Line of a byte, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|&begin| begin <= at)
    }

    /// The text of a line, from 1.
    pub(super) fn text_line(&self, line: usize) -> &str {
        self.text.lines().nth(line - 1).unwrap_or("")
    }

    /// The code of a line, from 1.
    pub(super) fn code_line(&self, line: usize) -> &str {
        self.code.lines().nth(line - 1).unwrap_or("")
    }

    /// Whether the file is nothing but tests.
    pub(super) fn is_test_file(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// Whether a byte is part of a test.
    pub(super) fn is_test(&self, at: usize) -> bool {
        self.is_test_file() || self.tests.iter().any(|range| range.contains(&at))
    }

    /// Lines that are part of tests.
    pub(super) fn test_lines(&self) -> usize {
        self.tests.iter().map(|range| self.line(range.end) - self.line(range.start) + 1).sum()
    }

    /// Bytes at which a word stands in the code: not as a part of a longer word.
    pub(super) fn words<'b>(&'b self, word: &'b str) -> impl Iterator<Item = usize> + 'b {
        self.code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
            let before = self.code[..at].chars().next_back();
            let after = self.code[at + word.len()..].chars().next();
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
    }

    pub(super) fn finding(&self, at: usize, reason: impl Into<String>) -> Finding {
        Finding { path: self.path.to_owned(), line: self.line(at), reason: reason.into() }
    }
}

/// Whether a character can be part of a name.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Replaces what is not code by spaces, byte for byte.
fn mask(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = if rest.starts_with(b"//") {
            at + rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            at + block_comment(rest)
        } else if let Some(length) = raw_string(bytes, at) {
            at + length
        } else if bytes[at] == b'"' {
            at + quoted(rest, b'"')
        } else if let Some(length) = character(rest) {
            at + length
        } else {
            at += 1;
            continue;
        };
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    // Only whole comments and literals were replaced, so what remains is whole characters.
    String::from_utf8_lossy(&code).into_owned()
}

/// Length of a block comment, with those inside it.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// Length of `r"…"` or `r#"…"#`, if one begins here.
fn raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let is_start =
        at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_') || bytes[at - 1] == b'b';
    let hashes = rest.strip_prefix(b"r")?.iter().take_while(|&&byte| byte == b'#').count();
    if !is_start || rest.get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let body = 2 + hashes;
    let end = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let length = rest[body..].windows(end.len()).position(|window| window == end);
    Some(length.map_or(rest.len(), |length| body + length + end.len()))
}

/// Length of a literal from its opening quote to its closing one.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of a character literal, if one begins here; a lifetime is none.
fn character(rest: &[u8]) -> Option<usize> {
    if rest.first() != Some(&b'\'') {
        return None;
    }
    if rest.get(1) == Some(&b'\\') {
        return Some(quoted(rest, b'\''));
    }
    let text = std::str::from_utf8(&rest[1..rest.len().min(6)]);
    let valid = text.as_ref().map_or_else(|error| error.valid_up_to(), |text| text.len());
    let first = std::str::from_utf8(&rest[1..1 + valid]).ok()?.chars().next()?;
    (rest.get(1 + first.len_utf8()) == Some(&b'\'')).then(|| 2 + first.len_utf8())
}

/// Items that are compiled for tests only, from their attribute to their closing brace.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    for (at, attribute) in code.match_indices("#[cfg(test)]") {
        let begin = at + attribute.len();
        let Some(open) = code[begin..].find(['{', ';']) else { continue };
        let end = match code.as_bytes()[begin + open] {
            b'{' => begin + open + matching(&code[begin + open..], '{', '}'),
            _ => begin + open,
        };
        items.push(at..end);
    }
    items
}

/// Length of the text from an opening bracket to the one that closes it.
pub(super) fn matching(code: &str, open: char, close: char) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return at;
            }
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_characters_are_not_code() {
        let text = "a // b \"\n/* c /* d */ e */ f \"g \\\" h\" i r#\"j \" k\"# l '\"' m '\\'' n <'o> p b\"q\"";
        let code = mask(text);
        assert_eq!(code.len(), text.len());
        assert_eq!(code.split_whitespace().collect::<String>(), "afilmn<'o>pb");
        assert_eq!(mask("'é' x 'l: loop"), "     x 'l: loop");
    }

    #[test]
    fn unfinished_literals_do_not_panic() {
        for text in ["\"", "r#\"", "/*", "'", "'\\", "\"\\", "b'", "r", "'é"] {
            assert_eq!(mask(text).len(), text.len(), "{text}");
        }
    }

    #[test]
    fn test_items_reach_to_their_closing_brace() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { x() }\n}\nfn c() {}\n";
        let source = Source::new("agent/src/x.rs", text);
        assert!(!source.is_test(text.find("fn a").unwrap()));
        assert!(source.is_test(text.find("x()").unwrap()));
        assert!(!source.is_test(text.find("fn c").unwrap()));
        assert_eq!(source.test_lines(), 4);
        assert_eq!(source.line(text.find("fn c").unwrap()), 6);
    }

    #[test]
    fn words_are_whole() {
        let source = Source::new("x.rs", "unsafe unsafe_code not_unsafe \"unsafe\"");
        assert_eq!(source.words("unsafe").collect::<Vec<_>>(), [0]);
    }
}
