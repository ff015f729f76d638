//! Recordings of a real node.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use serde_json::Value;

/// The lines of a recorded watch.
pub(crate) fn watch(case: &str) -> Vec<Value> {
    lines(case, "watch.jsonl.gz")
}

/// The lines of the watch of events that was recorded beside it.
pub(crate) fn events(case: &str) -> Vec<Value> {
    lines(case, "events-watch.jsonl.gz")
}

fn lines(case: &str, file: &str) -> Vec<Value> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../agent/tests/fixtures/kubernetes-1.36");
    let path = folder.join(case).join(file);
    let mut text = String::new();
    let opened = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    GzDecoder::new(opened).read_to_string(&mut text).expect("the recording can be read");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}
