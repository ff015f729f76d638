//! `gracetrace replay`: the pipeline fed from a file.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;

use super::broken_pipe;
use super::metrics::MetricsSettings;
use super::text::Text;
use crate::correlator::Config;
use crate::metrics::Metrics;
use crate::model::Sight;
use crate::pipeline::{Action, Ended, Pipeline};
use crate::recording::Reader;
use crate::report;

/// Show the terminations of a recording.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The recording, made by `gracetrace run --record FILE`
    file: PathBuf,
    /// One line of JSON per termination, the same as `run` writes
    #[arg(long)]
    json: bool,
    /// The metrics of the terminations as they stood at the end
    #[arg(long, conflicts_with = "json")]
    metrics: bool,
    #[command(flatten)]
    settings: MetricsSettings,
}

impl Replay {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut reader = Reader::open(&self.file)?;
        let config = Config { sight: Sight::without(reader.missing_hooks()), ..Config::default() };
        let metrics = Arc::new(Metrics::new(&self.settings.into()));
        let mut pipeline = Pipeline::new(config, Arc::default(), Arc::clone(&metrics));
        let mut output = BufWriter::new(io::stdout().lock());
        let mut terminations = 0u64;
        while let Some(input) = reader.next_input()? {
            pipeline.handle(&input);
            while let Some(action) = pipeline.poll_action() {
                // A recording has no kernel to be told what to track.
                if let Action::Report(ended) = action {
                    terminations += 1;
                    if let Err(error) = self.write(&mut output, &ended, &pipeline) {
                        return broken_pipe(error);
                    }
                }
            }
        }
        if self.metrics {
            let text = metrics.encode_terminations().context("cannot encode the metrics")?;
            if let Err(error) = output.write_all(text.as_bytes()) {
                return broken_pipe(error);
            }
        }
        if let Err(error) = output.flush() {
            return broken_pipe(error);
        }
        let file = self.file.display();
        if reader.truncated() {
            eprintln!("gracetrace: {file} ends in the middle of a line: shown is what was written before");
        }
        if reader.missing() > 0 {
            eprintln!("gracetrace: {file} lacks {} inputs: what is shown may be wrong", reader.missing());
        }
        if terminations == 0 {
            eprintln!("gracetrace: no termination ended in {file}");
        }
        Ok(ExitCode::SUCCESS)
    }

    fn write(&self, output: &mut impl Write, ended: &Ended, pipeline: &Pipeline) -> io::Result<()> {
        if self.json {
            output.write_all(&ended.json)?;
            writeln!(output)
        } else if self.metrics {
            Ok(())
        } else {
            write!(output, "{}", Text::plain(&report::termination(&ended.timeline, pipeline.now())))
        }
    }
}
