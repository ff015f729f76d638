//! `gracetrace list`: the terminations that an agent keeps, as a table.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Args;
use serde_json::value::RawValue;

use super::broken_pipe;
use super::client::{self, Agent};
use super::text::{Color, Escaped, Paint, name_of};
use crate::http::encode;
use crate::report::Termination;

/// List the terminations that an agent keeps, newest first.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct List {
    #[command(flatten)]
    agent: Agent,
    #[command(flatten)]
    narrow: Narrow,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// One line of JSON per termination, the same as `run` writes
    #[arg(long)]
    json: bool,
    /// Whether to use colours
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    color: Color,
}

const EXAMPLES: &str = "\
Examples:
  gracetrace list --since 1h --outcome forced,oom
  gracetrace list --namespace shop --workload Deployment/cart
  gracetrace list --finding LATE_CONNECTIONS --json | jq .id
  gracetrace list --url http://127.0.0.1:9465     after `kubectl port-forward -n gracetrace POD 9465:9464`";

/// What a list is narrowed to: the API's own parameters.
#[derive(Debug, Args)]
#[command(next_help_heading = "Narrow it down")]
pub(super) struct Narrow {
    /// Of this namespace
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<String>,
    /// Of this pod
    #[arg(long, value_name = "NAME")]
    pod: Option<String>,
    /// Of this workload
    #[arg(long, value_name = "[KIND/]NAME")]
    workload: Option<String>,
    /// With one of these outcomes: completed, graceful, crashed, forced, oom, incomplete
    #[arg(long, value_name = "LIST")]
    outcome: Option<String>,
    /// With one of these findings, such as LATE_CONNECTIONS
    #[arg(long, value_name = "LIST")]
    finding: Option<String>,
    /// For one of these reasons, such as deletion or eviction
    #[arg(long, value_name = "LIST")]
    reason: Option<String>,
    /// In one of these phases: in_hook, stopping, killed, exited, empty
    #[arg(long, value_name = "LIST")]
    phase: Option<String>,
    /// Only those that go on
    #[arg(long)]
    in_progress: bool,
    /// Those that ended then or later: a time of RFC 3339, or so long ago, such as 15m
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Those that began then or earlier
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
}

impl Narrow {
    /// As a query.
    fn query(&self) -> String {
        let in_progress = self.in_progress.then(|| "true".to_owned());
        let given = [
            ("namespace", &self.namespace),
            ("pod", &self.pod),
            ("workload", &self.workload),
            ("outcome", &self.outcome),
            ("finding", &self.finding),
            ("reason", &self.reason),
            ("phase", &self.phase),
            ("in_progress", &in_progress),
            ("since", &self.since),
            ("until", &self.until),
        ];
        let given = given.iter().filter_map(|(name, value)| Some(format!("{name}={}&", encode(value.as_deref()?))));
        given.collect()
    }
}

/// The most that one question is answered with.
const PART: u64 = 1_000;

impl List {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let found = client::run(self.fetch())?;
        let mut output = BufWriter::new(io::stdout().lock());
        let written = match self.json {
            true => found.iter().try_for_each(|json| writeln!(output, "{}", json.get())),
            false => self.table(&found)?.iter().try_for_each(|line| writeln!(output, "{line}")),
        };
        if let Err(error) = written.and_then(|()| output.flush()) {
            return broken_pipe(error);
        }
        if found.is_empty() {
            eprintln!("gracetrace: the agent at {} has no such termination", self.agent.url);
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn fetch(&self) -> anyhow::Result<Vec<Box<RawValue>>> {
        let mut path = format!("/api/v1/terminations?{}limit={}", self.narrow.query(), self.limit.min(PART));
        let mut found: Vec<Box<RawValue>> = Vec::new();
        loop {
            let answer = self.agent.get(&path).await?;
            found.extend(answer.json::<Vec<Box<RawValue>>>()?);
            match answer.next() {
                Some(next) if (found.len() as u64) < self.limit => path = next,
                _ => break,
            }
        }
        found.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    fn table(&self, found: &[Box<RawValue>]) -> anyhow::Result<Vec<String>> {
        let found: Result<Vec<Termination>, _> = found.iter().map(|json| serde_json::from_str(json.get())).collect();
        Ok(table(&found?, self.color.paint()))
    }
}

const HEAD: [&str; 7] = ["ID", "START", "POD", "OUTCOME", "REASON", "GRACE USED", "FINDINGS"];

/// Lines of a table, with its head; none for nothing.
fn table(found: &[Termination], paint: Paint) -> Vec<String> {
    let rows: Vec<[String; 7]> = found.iter().map(|of| row(of, found)).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEAD[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let pad = |column: usize, text: &str| {
        let gap = widths[column].saturating_sub(text.chars().count());
        if column + 1 == HEAD.len() { String::new() } else { " ".repeat(gap + 2) }
    };
    let head: String = (0..HEAD.len()).map(|column| format!("{}{}", HEAD[column], pad(column, HEAD[column]))).collect();
    let mut lines = vec![paint.bold(head)];
    for (row, of) in rows.iter().zip(found) {
        let style = paint.outcome(of.outcome.as_deref().unwrap_or(&of.phase));
        let cell = |column: usize| match column {
            3 => format!("{style}{}{style:#}", row[column]),
            6 => paint.warn(&row[column]),
            _ => row[column].clone(),
        };
        let line: String = (0..HEAD.len()).map(|column| cell(column) + &pad(column, &row[column])).collect();
        lines.push(line.trim_end().to_owned());
    }
    lines
}

fn row(of: &Termination, all: &[Termination]) -> [String; 7] {
    let start = of.start.to_string().replace('T', " ");
    let grace = match (of.grace_used_seconds, of.grace_period_seconds) {
        (Some(used), Some(grace)) => format!("{used:.1}/{grace} s"),
        (Some(used), None) => format!("{used:.1} s"),
        (None, _) => "-".to_owned(),
    };
    let mut findings: Vec<&str> = of.findings.iter().map(|finding| &*finding.id).collect();
    findings.dedup();
    [
        Escaped(short_id(of, all)).to_string(),
        start.get(..19).unwrap_or(&start).to_owned(),
        name_of(of),
        Escaped(of.outcome.as_deref().unwrap_or(&of.phase)).to_string(),
        Escaped(&of.reason).to_string(),
        grace,
        Escaped(&findings.join(" ")).to_string(),
    ]
}

/// As much of an id as tells it from all others, and eight characters at least.
fn short_id<'a>(of: &'a Termination, all: &[Termination]) -> &'a str {
    let common = |other: &Termination| of.id.bytes().zip(other.id.bytes()).take_while(|(one, two)| one == two).count();
    let longest = all.iter().filter(|other| other.id != of.id).map(common).max().unwrap_or_default();
    of.id.get(..(longest + 1).max(8)).unwrap_or(&of.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{at, full, in_progress, unknown_pod};
    use crate::report::termination;

    #[test]
    fn a_table() {
        let mut again = full();
        again.id = crate::model::TerminationId::new("6f1f3f0e-52a5-4c1b-9d0a-0a4d6a1f9f11-200000");
        let found: Vec<Termination> =
            [again, in_progress(), unknown_pod()].iter().map(|timeline| termination(timeline, at(112.3))).collect();
        let lines = table(&found, Paint::plain()).join("\n");
        assert_eq!(
            lines,
            "\
ID                                      START                POD                          OUTCOME     REASON    GRACE USED  FINDINGS
6f1f3f0e-52a5-4c1b-9d0a-0a4d6a1f9f11-2  2023-11-14 22:15:00  default/web-7d9c5b7c4-x2x4q  forced      deletion  32.0/30 s   PRESTOP_TIMEOUT GRACE_EXHAUSTED
6f1f3f0e-52a5-4c1b-9d0a-0a4d6a1f9f11-1  2023-11-14 22:15:00  default/web-7d9c5b7c4-x2x4q  in_hook     deletion  12.3/30 s
0c0ffee0                                2023-11-14 22:15:00  pod 0c0ffee0                 incomplete  unknown   -"
        );
        assert!(table(&found, Paint::coloured())[1].contains("\u{1b}["));
        assert_eq!(table(&[], Paint::plain()), Vec::<String>::new());
    }

    #[test]
    fn flags_become_a_query() {
        let narrow = Narrow {
            namespace: Some("a b".into()),
            pod: None,
            workload: Some("Deployment/web".into()),
            outcome: Some("forced,oom".into()),
            finding: None,
            reason: None,
            phase: None,
            in_progress: true,
            since: Some("2023-11-14T23:13:20+01:00".into()),
            until: None,
        };
        assert_eq!(
            narrow.query(),
            "namespace=a%20b&workload=Deployment%2Fweb&outcome=forced%2Coom&in_progress=true&since=2023-11-14T23%3A13%3A20%2B01%3A00&"
        );
    }
}
