//! `gracetrace show`: the timeline of one termination as text.

use std::io::{self, BufWriter, Read, Write};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::Args;

use super::broken_pipe;
use super::client::{self, Agent};
use super::text::{Color, Text, name_of};
use crate::http::encode;
use crate::report::{self, Termination};

/// Show the timeline of a termination.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Show {
    /// Its id or the beginning of that, or the name of its pod (POD or NAMESPACE/POD; the newest one); - for JSON from
    /// standard input, as `run`, `list --json` and the API give it
    id: String,
    #[command(flatten)]
    agent: Agent,
    /// As one line of JSON
    #[arg(long)]
    json: bool,
    /// Whether to use colours
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    color: Color,
}

const EXAMPLES: &str = "\
Examples:
  gracetrace show web-7d9c5b7c4-x2x4q
  gracetrace show 6f1f3f0e --color always | less -R
  kubectl logs -n gracetrace POD | gracetrace show -";

impl Show {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let found = match self.id.as_str() {
            "-" => read_all(io::stdin().lock()).context("standard input")?,
            _ => vec![client::run(self.find())?],
        };
        let mut output = BufWriter::new(io::stdout().lock());
        let paint = self.color.paint();
        let written = found.iter().try_for_each(|of| match self.json {
            true => writeln!(output, "{}", report::json_line(of)),
            false => write!(output, "{}", Text::painted(of, paint)),
        });
        match written.and_then(|()| output.flush()) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => broken_pipe(error),
        }
    }

    async fn find(&self) -> anyhow::Result<Termination> {
        ensure!(!self.id.is_empty(), "name a termination, or its pod");
        let exact = self.agent.find(&format!("/api/v1/terminations/{}", encode(&self.id))).await?;
        if let Some(answer) = exact {
            return answer.json();
        }
        let (mut by_id, mut by_pod) = (Vec::new(), Vec::new());
        let mut next = Some("/api/v1/terminations?limit=1000".to_owned());
        while let Some(path) = next {
            let answer = self.agent.get(&path).await?;
            for of in answer.json::<Vec<Termination>>()? {
                if of.id.starts_with(&self.id) {
                    by_id.push(of);
                } else if is_pod(&of, &self.id) {
                    by_pod.push(of);
                }
            }
            next = answer.next();
        }
        choose(&self.id, by_id, by_pod)
            .with_context(|| format!("the agent at {}; `gracetrace list` shows what it has", self.agent.url))
    }
}

fn is_pod(of: &Termination, name: &str) -> bool {
    let Some(pod) = &of.pod else { return false };
    pod == name
        || name
            .split_once('/')
            .is_some_and(|(namespace, name)| of.namespace.as_deref() == Some(namespace) && pod == name)
}

/// The one that is meant, of those whose id begins so and those of a pod of that name, both newest first.
fn choose(id: &str, mut by_id: Vec<Termination>, mut by_pod: Vec<Termination>) -> anyhow::Result<Termination> {
    /// How many are named.
    const SHOWN: usize = 5;

    if by_id.len() > 1 {
        let mut names: Vec<String> =
            by_id.iter().take(SHOWN).map(|of| format!("{} ({})", super::text::Escaped(&of.id), name_of(of))).collect();
        if by_id.len() > SHOWN {
            names.push(format!("{} more", by_id.len() - SHOWN));
        }
        bail!("{} terminations begin with {id:?}: {}", by_id.len(), names.join(", "));
    }
    if let Some(of) = by_id.pop() {
        return Ok(of);
    }
    ensure!(!by_pod.is_empty(), "it has no termination whose id begins with {id:?}, nor one of a pod of that name");
    Ok(by_pod.swap_remove(0))
}

/// Objects one after the other, or arrays of them.
fn read_all(mut input: impl Read) -> anyhow::Result<Vec<Termination>> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Item {
        One(Box<Termination>),
        Many(Vec<Termination>),
    }

    let mut text = String::new();
    input.read_to_string(&mut text).context("cannot be read")?;
    let mut found = Vec::new();
    for item in serde_json::Deserializer::from_str(&text).into_iter::<Item>() {
        match item.context("is not JSON of terminations, as `run`, `list --json` and the API give it")? {
            Item::One(of) => found.push(*of),
            Item::Many(of) => found.extend(of),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{at, numbered};
    use crate::report::termination;

    fn of(number: u64) -> Termination {
        termination(&numbered(number), at(500.0))
    }

    #[test]
    fn the_one_that_is_meant() {
        assert_eq!(choose("uid-1", vec![of(1)], vec![of(2)]).unwrap().id, "uid-1");
        assert_eq!(choose("web", Vec::new(), vec![of(3), of(2)]).unwrap().id, "uid-3", "the newest");
        let error = choose("uid", (1..=7).rev().map(of).collect(), Vec::new()).unwrap_err().to_string();
        assert!(error.starts_with("7 terminations begin with \"uid\": uid-7 (default/web-7), "), "{error}");
        assert!(error.ends_with(", 2 more"), "{error}");
        assert!(choose("x", Vec::new(), Vec::new()).unwrap_err().to_string().contains("no termination"));
        assert!(is_pod(&of(1), "web-1") && is_pod(&of(1), "default/web-1"));
        assert!(!is_pod(&of(1), "web") && !is_pod(&of(1), "other/web-1"));
    }

    #[test]
    fn json_in_any_arrangement() {
        let line = report::json_line(&of(1));
        for text in [format!("{line}\n{line}\n"), format!("[{line},{line}]"), format!("{line}{line}"), String::new()] {
            let found = read_all(text.as_bytes()).unwrap();
            assert_eq!(found.len(), if text.is_empty() { 0 } else { 2 });
        }
        assert!(read_all(&b"nonsense"[..]).is_err() && read_all(&b"{\"id\":1}"[..]).is_err());
        assert!(read_all(&b"\xff"[..]).is_err());
    }
}
