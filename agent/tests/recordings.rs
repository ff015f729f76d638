//! Recordings of the demo's scenarios, replayed: what the agent concludes from them stays what it was.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use gracetrace::correlator::Config;
use gracetrace::input::Input;
use gracetrace::metrics::Metrics;
use gracetrace::model::{BootTime, Sight};
use gracetrace::pipeline::{Action, Pipeline};
use gracetrace::recording::{Reader, Recorder};
use serde_json::Value;

/// Every recording, by the scenario's name. Made by `cargo xtask demo --once --scenario NAME --record NAME.gz`.
fn recordings() -> BTreeMap<String, PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let paths = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let recordings: BTreeMap<_, _> =
        paths.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path)).collect();
    assert!(recordings.len() >= 16, "recordings are missing in {}", folder.display());
    recordings
}

/// What a replay gives.
#[derive(Debug, PartialEq)]
struct Replayed {
    lines: Vec<String>,
    metrics: String,
    inputs: usize,
    truncated: bool,
}

fn replay(path: &Path) -> Replayed {
    let metrics = Arc::new(Metrics::default());
    let mut reader = Reader::open(path).unwrap();
    let config = Config { sight: Sight::without(reader.missing_hooks()), ..Config::default() };
    let mut pipeline = Pipeline::new(config, Arc::default(), Arc::clone(&metrics));
    let (mut lines, mut inputs) = (Vec::new(), 0);
    while let Some(input) = reader.next_input().unwrap() {
        inputs += 1;
        pipeline.handle(&input);
        while let Some(action) = pipeline.poll_action() {
            if let Action::Report(ended) = action {
                lines.push(String::from_utf8(ended.json.to_vec()).unwrap());
            }
        }
    }
    Replayed { lines, metrics: metrics.encode_terminations().unwrap(), inputs, truncated: reader.truncated() }
}

#[test]
fn every_scenario_has_its_timeline() {
    for (scenario, path) in recordings() {
        let replayed = replay(&path);
        assert_eq!(replayed.lines.len(), 1, "{scenario} is one termination");
        let termination: Value = serde_json::from_str(&replayed.lines[0]).unwrap();
        // The order of members is that of whoever builds with or without `preserve_order` of serde_json.
        insta::with_settings!({ sort_maps => true }, { insta::assert_json_snapshot!(scenario, termination) });
    }
}

#[test]
fn twice_the_same() {
    for (scenario, path) in recordings() {
        assert_eq!(replay(&path), replay(&path), "{scenario}");
    }
}

/// An alert on a termination in progress needs numbers that grow while nothing happens.
#[test]
fn what_goes_on_moves_with_time_alone() {
    let metrics = Arc::new(Metrics::default());
    let mut pipeline = Pipeline::new(Config::default(), Arc::default(), Arc::clone(&metrics));
    let mut reader = Reader::open(&recordings()["hook-hangs"]).unwrap();
    let gauge = |name: &str| {
        let text = metrics.encode_terminations().unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("gracetrace_{name}{{")))?;
        line.rsplit(' ').next()?.parse::<f64>().ok()
    };
    while gauge("terminating_oldest_age_seconds").is_none() {
        pipeline.handle(&reader.next_input().unwrap().expect("a termination begins"));
    }
    let mut ages = Vec::new();
    let begin = pipeline.now();
    for seconds in [1, 2] {
        pipeline.handle(&Input::Tick { now: BootTime(begin.0 + seconds * 1_000_000_000), wall_offset_ns: 0 });
        let names = ["terminating_oldest_age_seconds", "terminating_grace_used_ratio", "pods_terminating"];
        ages.push(names.map(|name| gauge(name).unwrap()));
    }
    assert!((ages[1][0] - ages[0][0] - 1.0).abs() < 1e-6, "{ages:?}");
    assert!(ages[1][1] > ages[0][1] && ages[1][2] == 1.0, "{ages:?}");
}

/// Inputs written again are the same inputs, to the byte.
#[test]
fn a_recording_of_a_replay_is_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    for (scenario, path) in recordings() {
        let copy = folder.path().join(&scenario);
        let mut recorder = Recorder::create(&copy).unwrap();
        recorder.begin([]);
        let mut reader = Reader::open(&path).unwrap();
        while let Some(input) = reader.next_input().unwrap() {
            recorder.record(&input);
        }
        recorder.finish();
        // But for the first line, which names the version that wrote it.
        let lines = |path: &Path| unzipped(path).split_once('\n').unwrap().1.to_owned();
        assert_eq!(lines(&copy), lines(&path), "{scenario}");
    }
}

/// An agent that was killed leaves a file without its end: all whole lines before are there.
#[test]
fn a_truncated_recording_is_read_up_to_its_last_whole_line() {
    let folder = tempfile::tempdir().unwrap();
    let whole_path = &recordings()["cut-connections"];
    let (bytes, whole) = (fs::read(whole_path).unwrap(), replay(whole_path));
    let cut_path = folder.path().join("cut.gz");
    let mut last = 0;
    // Before the first compressed block ends there is no header line and so no recording.
    for length in (bytes.len() / 3..bytes.len()).step_by(7) {
        fs::write(&cut_path, &bytes[..length]).unwrap();
        let cut = replay(&cut_path);
        assert!(cut.truncated, "cut at {length} of {}", bytes.len());
        assert!(cut.inputs >= last && cut.inputs <= whole.inputs, "cut at {length}: {} inputs", cut.inputs);
        assert!(whole.lines.starts_with(&cut.lines), "cut at {length}: other lines");
        last = cut.inputs;
    }
    assert!(last > whole.inputs / 2, "only {last} of {} inputs", whole.inputs);

    // A stream that ended well, but in the middle of a line.
    let text = unzipped(whole_path);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&text.as_bytes()[..text.len() - 5]).unwrap();
    fs::write(&cut_path, encoder.finish().unwrap()).unwrap();
    let cut = replay(&cut_path);
    assert!(cut.truncated);
    assert_eq!(cut.inputs, whole.inputs - 1);
}

fn unzipped(path: &Path) -> String {
    let mut text = String::new();
    GzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}
