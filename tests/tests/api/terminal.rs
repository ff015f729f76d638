//! The commands that read the API: `list`, `show`, and `top` in a terminal of tmux.

use std::process::{Command, Output, Stdio};

use gracetrace_tests::agent::{built, output};
use gracetrace_tests::wait;
use serde_json::Value;

use crate::client;
use crate::node::Node;

fn ask(address: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(built());
    command.args(arguments).env("GRACETRACE_URL", format!("http://{address}")).stdin(Stdio::null());
    command.output().expect("the program starts")
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn list_and_show() {
    let node = Node::new("show");
    let mut agent = node.agent();
    let mut container = node.run(1, Some("0.1"));
    container.delete();
    assert!(container.start_hook().wait().expect("it ends").success());
    container.end();
    let told = agent.termination();
    let id = told["id"].as_str().expect("an id");
    let (table, _) = said(&ask(agent.address(), &["list", "--since", "1h"]));
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.starts_with("ID  ") && table.contains("default/pod-1  graceful"), "{table}");
    let (json, _) = said(&ask(agent.address(), &["list", "--json", "--outcome", "graceful"]));
    assert_eq!(serde_json::from_str::<Value>(&json).expect("JSON"), told);
    let none = ask(agent.address(), &["list", "--outcome", "oom"]);
    assert!(none.status.success() && none.stdout.is_empty());
    assert!(said(&none).1.contains("no such termination"));
    let refused = ask(agent.address(), &["list", "--outcome", "dead"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).1.contains("none of completed"), "{refused:?}");
    let (whole, _) = said(&ask(agent.address(), &["show", id]));
    assert!(whole.starts_with("default/pod-1  graceful  ") && whole.contains("preStop hook ends: success"), "{whole}");
    for name in [&id[..12], "pod-1", "default/pod-1"] {
        assert_eq!(said(&ask(agent.address(), &["show", name])).0, whole, "{name}");
    }
    let (painted, _) = said(&ask(agent.address(), &["show", id, "--color", "always"]));
    assert!(painted.contains("\u{1b}[") && !whole.contains('\u{1b}'));
    let nobody = ask(agent.address(), &["show", "nobody"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(said(&nobody).1.contains("gracetrace list"), "{nobody:?}");
    let no_terminal = ask(agent.address(), &["top"]);
    assert_eq!(no_terminal.status.code(), Some(1));
    assert!(said(&no_terminal).1.contains("needs a terminal"), "{no_terminal:?}");
    let address = agent.address().to_owned();
    agent.stop();
    let away = ask(&address, &["list"]);
    assert_eq!((away.status.code(), said(&away).1.lines().count()), (Some(1), 1), "{away:?}");
    assert!(said(&away).1.contains("--url"), "{away:?}");
}

/// A terminal of tmux, with a server of its own. Ends with the test.
struct Terminal {
    _folder: tempfile::TempDir,
    socket: String,
}

impl Terminal {
    /// Runs a shell command in it.
    fn open(command: &str) -> Terminal {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("tmux").to_str().expect("UTF-8").to_owned();
        let terminal = Terminal { _folder: folder, socket };
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", command]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        output(
            Command::new("tmux").args(["-S", &self.socket]).args(arguments).env_remove("TMUX").env("LC_ALL", "C.UTF-8"),
        )
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen has all of this on it.
    fn shows(&self, parts: &[&str]) -> String {
        let mut last = String::new();
        let seen = wait::quietly(|| {
            last = self.screen();
            parts.iter().all(|part| last.contains(part))
        });
        assert!(seen, "{parts:?} are not on the screen:\n{last}");
        last
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-S", &self.socket, "kill-server"]).output();
    }
}

#[test]
fn top_in_a_terminal() {
    let node = Node::new("top");
    let mut agent = node.agent();
    let mut ended = node.run(1, None);
    let mut going_on = node.run(2, Some("1000"));
    let address = agent.address().to_owned();
    let top = |more: &str| format!("{} top --url http://{address} {more}; echo status $?; exec cat", built().display());
    let terminal = Terminal::open(&top(""));
    terminal.shows(&["gracetrace top  live", "Going on: 0", "the agent has seen no pod end so far"]);
    ended.delete();
    ended.end();
    agent.termination();
    terminal.shows(&["Ended: 1", "default/pod-1", "graceful"]);
    going_on.delete();
    let mut hook = going_on.start_hook();
    terminal.shows(&["Going on: 1", "default/pod-2", "in_hook"]);
    terminal.press("Down");
    terminal.press("Enter");
    terminal.shows(&["SIGTERM, handled", "exit code 0", "Esc back"]);
    terminal.press("Escape");
    terminal.shows(&["Going on: 1"]);
    terminal.press("/");
    terminal.press("pod-2");
    terminal.shows(&["/pod-2", "Ended: 0"]);
    terminal.press("Escape");
    terminal.press("?");
    terminal.shows(&["any key: back"]);
    terminal.press("j");
    terminal.tmux(&["resize-window", "-x", "40", "-y", "12"]);
    let narrow = terminal.shows(&["Going on: 1", "default/pod-2"]);
    assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
    terminal.tmux(&["resize-window", "-x", "80", "-y", "24"]);
    hook.kill().expect("it runs");
    hook.wait().expect("it ends");
    going_on.end();
    agent.termination();
    terminal.shows(&["Going on: 0", "Ended: 2"]);
    // The agent goes away: what was known stays on the screen.
    agent.stop();
    terminal.shows(&["disconnected, trying again in", "default/pod-1"]);
    terminal.press("q");
    let left = terminal.shows(&["status 0"]);
    assert!(!left.contains("gracetrace top"), "the screen is given back: {left}");
}

#[test]
fn top_gives_the_terminal_back_when_it_is_ended() {
    for signal in ["TERM", "INT", "HUP"] {
        // Nobody listens there. The shell waits for `top`, and says how it has left the terminal.
        let terminal = Terminal::open(&format!(
            "{} top --url http://127.0.0.1:1; echo status $?; stty -a | grep -ow '.*icanon'; exec cat",
            built().display()
        ));
        terminal.shows(&["gracetrace top", "disconnected"]);
        let shell = terminal.tmux(&["list-panes", "-F", "#{pane_pid}"]).trim().to_owned();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).expect("it runs");
        output(Command::new("kill").args([&format!("-{signal}"), children.trim()]));
        let left = terminal.shows(&["status 0", "icanon"]);
        assert!(!left.contains("-icanon") && !left.contains("gracetrace top  "), "{signal}: {left}");
    }
}

#[test]
fn a_line_of_text_or_of_json() {
    let node = Node::new("log");
    let mut container = node.run(1, None);
    let agent = built().display().to_string();
    let cgroups = node.cgroup_root().display().to_string();
    let command = format!("{agent} run --cri none --listen 127.0.0.1:0 --cgroup-root {cgroups}");
    let terminal = Terminal::open(&command);
    let says = terminal.shows(&[" on http://127.0.0.1:"]);
    let address = says.split_once(" on http://").and_then(|(_, rest)| rest.split_once('/')).expect("its address").0;
    // It says so before it has looked for the containers that are there.
    wait::until("it is ready", || client::is_ready(address));
    container.delete();
    container.end();
    terminal.shows(&["  graceful    pod "]);
}
