//! Chromium, driven by WebDriver: the protocol is a standard, and Debian ships the driver that fits the browser.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use gracetrace_tests::node::slice::Slice;
use serde_json::{Value, json};
use thirtyfour::prelude::*;
use thirtyfour::{ChromiumLikeCapabilities, LoggingPrefsLogLevel};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep};

/// How long anything may take that the page does, on a machine that is busy with other things too.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// One browser at a time: they are what takes the processors, and time is what the page is about.
static TURN: Mutex<()> = Mutex::const_new(());

/// As root Chromium runs without its sandbox only. The others keep it from asking hosts that are not part of the test.
const FLAGS: [&str; 11] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--lang=en",
];

/// Notes what the policy forbids, from before the page's first script on.
const WATCH: &str = "window.violations = []; document.addEventListener('securitypolicyviolation', \
    ({ violatedDirective, blockedURI, sourceFile }) => window.violations.push(`${violatedDirective} ${blockedURI} ${sourceFile}`));";

/// A browser with one tab. Whatever it has started ends with it.
pub(crate) struct Browser {
    driver: WebDriver,
    // In this order: who drives goes before the processes, and these before their files.
    _process: Process,
    _profile: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// chromedriver, in a cgroup with all that comes of it.
struct Process {
    child: Child,
    _slice: Slice,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Browser {
    /// Starts one at a page, with a window of 1280 times 800 pixels.
    pub(crate) async fn open(url: &str) -> Browser {
        let turn = TURN.lock().await;
        let (process, address) = start_driver();
        let profile = tempfile::tempdir().unwrap();
        let mut wanted = DesiredCapabilities::chrome();
        for flag in FLAGS {
            wanted.add_arg(flag).unwrap();
        }
        wanted.add_arg(&format!("--user-data-dir={}", profile.path().display())).unwrap();
        wanted.set_binary("/usr/bin/chromium").unwrap();
        wanted.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
        let driver = WebDriver::new(address, wanted).await.expect("chromedriver starts Chromium");
        driver.set_script_timeout(5 * PATIENCE).await.unwrap();
        let browser = Browser { driver, _process: process, _profile: profile, _turn: turn };
        browser.command("Page.enable", json!({})).await;
        browser.before_each_page(WATCH).await;
        browser.resize(1280, 800).await;
        browser.color_scheme("light").await;
        browser.go(url).await;
        browser
    }

    /// Runs a script in each page that is loaded from now on, before its own.
    pub(crate) async fn before_each_page(&self, script: &str) {
        self.command("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await;
    }

    /// Goes to an address.
    pub(crate) async fn go(&self, url: &str) {
        self.driver.goto(url).await.unwrap();
    }

    /// Where it is.
    pub(crate) async fn url(&self) -> String {
        self.driver.current_url().await.unwrap().to_string()
    }

    /// The size of what is seen of the page, in pixels.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// What the system prefers: `light` or `dark`.
    pub(crate) async fn color_scheme(&self, scheme: &str) {
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            // Nothing is in the middle of a movement when it is looked at.
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.command("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Runs a script and gives what it returns.
    pub(crate) async fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.driver
            .execute(script, arguments.to_vec())
            .await
            .unwrap_or_else(|error| panic!("{script}: {error}"))
            .json()
            .clone()
    }

    /// Runs a script that calls its last argument when it is done.
    pub(crate) async fn run_async(&self, script: &str, arguments: &[Value]) -> Value {
        self.driver.execute_async(script, arguments.to_vec()).await.unwrap().json().clone()
    }

    /// Waits until a script gives something else than nothing, and gives that.
    pub(crate) async fn until(&self, what: &str, script: &str, arguments: &[Value]) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.run(script, arguments).await;
            if !matches!(found, Value::Null | Value::Bool(false)) {
                return found;
            }
            if Instant::now() > deadline {
                let page = self.run("return document.body.innerText.slice(0, 2000)", &[]).await;
                panic!("not in time: {what}; the page at {} says:\n{}", self.url().await, page.as_str().unwrap_or(""));
            }
            sleep(PAUSE).await;
        }
    }

    /// Types keys, into whatever has the focus.
    pub(crate) async fn keys(&self, keys: impl Into<thirtyfour::TypingData>) {
        self.driver.action_chain().send_keys(keys).perform().await.unwrap();
    }

    /// What is seen of the page, as a PNG file.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        self.driver.screenshot_as_png().await.unwrap()
    }

    /// Ends it. Nothing may have been complained about; what `expected` says of a message is expected.
    pub(crate) async fn close(self, expected: impl Fn(&str) -> bool) {
        let violations = self.run("return window.violations", &[]).await;
        assert_eq!(violations, json!([]), "the policy forbids what the page does");
        let log = self.driver.browser_log().await.unwrap();
        let told: Vec<String> = log
            .into_iter()
            .filter(|entry| matches!(entry.level.as_str(), "SEVERE" | "WARNING") && !expected(&entry.message))
            .map(|entry| format!("{}: {}", entry.level, entry.message))
            .collect();
        assert_eq!(told, Vec::<String>::new(), "the console of the browser");
        self.driver.quit().await.unwrap();
    }

    async fn command(&self, name: &str, parameters: Value) {
        self.driver.cdp().send_raw(name, parameters).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// Starts chromedriver on a free port, and gives where it listens.
fn start_driver() -> (Process, String) {
    let slice = Slice::new(&format!("chromium-{:x}", fastrand::u32(..)));
    let procs = slice.path().join("cgroup.procs");
    let mut command = Command::new("chromedriver");
    command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // SAFETY: between fork and exec it only opens and writes a file, which is safe in a process with other threads.
    unsafe { command.pre_exec(move || fs::write(&procs, "0")) };
    let mut child = command.spawn().expect("chromedriver is there: Debian's package chromium-driver");
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let process = Process { child, _slice: slice };
    let mut said = String::new();
    let port = loop {
        let before = said.len();
        assert!(output.read_line(&mut said).unwrap() > 0, "chromedriver has ended:\n{said}");
        if let Some((_, port)) = said[before..].split_once("started successfully on port ") {
            break port.trim().trim_end_matches('.').to_owned();
        }
    };
    thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    (process, format!("http://127.0.0.1:{port}"))
}
