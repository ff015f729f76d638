//! Waiting for a condition, from a test that is not asynchronous.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything may take that is waited for, on a machine that is busy with other things too.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(5);
/// The same where a look costs something.
const PAUSE_OF_MANY: Duration = Duration::from_millis(250);

/// Waits until there is a value.
///
/// # Panics
/// When there is none within 20 s; `what` says what was waited for.
pub fn value<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    looking(PATIENCE, what, look)
}

fn looking<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(PAUSE);
    }
}

/// Waits longer, for what many steps lead to; `look` says what it still misses.
///
/// # Panics
/// When there is none in time, with what was missed last.
pub fn value_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match look() {
            Ok(value) => return value,
            Err(missed) => assert!(Instant::now() < deadline, "not in time: {what}: {missed}"),
        }
        sleep(PAUSE_OF_MANY);
    }
}

/// Waits until a condition holds.
///
/// # Panics
/// As [`value`] does.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    value(what, || condition().then_some(()));
}

/// The same for what takes longer, with the time that it may take.
///
/// # Panics
/// When it does not hold by then.
pub fn within(patience: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    looking(patience, what, || condition().then_some(()));
}

/// Waits until a condition holds, and says whether it did in time: for what cleans up and must not panic.
pub fn quietly(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(PAUSE);
    }
    true
}
