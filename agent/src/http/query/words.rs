//! Words of closed lists.

/// One of `all`, by its word.
pub(super) fn one_of<T: Copy>(all: &[T], word: fn(T) -> &'static str, text: &str) -> Result<T, String> {
    all.iter().copied().find(|&item| word(item) == text).ok_or_else(|| {
        let known: Vec<_> = all.iter().map(|&item| word(item)).collect();
        format!("{text:?} is none of {}", known.join(", "))
    })
}

/// Some of `all`, by their words, with commas between them.
pub(super) fn list_of<T: Copy>(all: &[T], word: fn(T) -> &'static str, text: &str) -> Result<Vec<T>, String> {
    text.split(',').map(|text| one_of(all, word, text)).collect()
}
