//! Text that may hold anything, without what a terminal would take as a command.

use std::fmt::{self, Formatter, Write};

/// Shows control characters, and those that turn the direction of writing, as escapes: names, commands and messages come
/// from whoever made the pod.
pub(in crate::cli) struct Escaped<'a>(pub(in crate::cli) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                char if char.is_control() => write!(f, "{}", char.escape_default())?,
                '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{61c}'
                | '\u{feff}' => {
                    write!(f, "{}", char.escape_unicode())?;
                }
                char => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_is_shown_and_what_is_text_stays() {
        for (text, expect) in [
            ("web-7 é 日本 😀", "web-7 é 日本 😀"),
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("a\r\n\tb", "a\\r\\n\\tb"),
            ("\u{202e}gnp.exe", "\\u{202e}gnp.exe"),
            ("\u{9b}31m", "\\u{9b}31m"),
        ] {
            assert_eq!(Escaped(text).to_string(), expect);
        }
    }
}
