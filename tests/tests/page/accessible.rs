//! axe-core looks at every view, in both themes, wide and narrow.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::browser::Browser;
use super::demo::Demo;

/// Where `cargo xtask test` puts axe-core.
fn axe() -> String {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let own = || workspace.join("target/tools/axe-core/axe.min.js");
    let path = env::var_os("GRACETRACE_AXE").map_or_else(own, PathBuf::from);
    fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("no axe-core at {}: {error}; `cargo xtask test` fetches it", path.display()))
}

/// What is wrong: rule, how bad, and the first elements.
const LOOK: &str = "
    const done = arguments[arguments.length - 1];
    axe.run({ resultTypes: ['violations'] }).then(({ violations, passes }) => done({
        passes: passes.length,
        violations: violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.slice(0, 4).map(({ html, failureSummary }) => [html.slice(0, 200), failureSummary]) })),
    }), (error) => done({ error: String(error) }));";

#[tokio::test]
async fn nothing_is_in_the_way() {
    let demo = Demo::played();
    let axe = axe();
    let browser = Browser::open(&demo.url()).await;
    let termination = |scenario: &str| format!("terminations/{}", demo.termination(scenario)["id"].as_str().unwrap());
    let views = [
        (String::new(), "return document.querySelectorAll('.row').length > 10"),
        ("?pod=nothing-is-called-so".to_owned(), "return document.querySelector('.empty button') !== null"),
        (termination("endpoint-race"), "return document.querySelector('svg.timeline') !== null"),
        (termination("sidecar-first"), "return document.querySelector('svg.timeline') !== null"),
        (termination("cut-connections"), "return document.querySelector('svg.timeline') !== null"),
        ("workloads".to_owned(), "return document.querySelector('.workload-table') !== null"),
        ("workloads/demo/Deployment/hook-hangs".to_owned(), "return document.querySelector('.budgets') !== null"),
        ("agent".to_owned(), "return document.querySelector('.agent table') !== null"),
    ];
    // As a script of the browser's driver it is none of the page, which the policy would forbid.
    browser.before_each_page(&axe).await;
    for (width, scheme) in [(1280, "light"), (1280, "dark"), (360, "light")] {
        browser.resize(width, 800).await;
        browser.color_scheme(scheme).await;
        browser.go("about:blank").await;
        for (view, there) in &views {
            browser.go(&format!("{}#/{view}", demo.url())).await;
            let live = format!("{there} && document.querySelector('#status').textContent === 'live'");
            browser.until(view, &live, &[]).await;
            browser.run("const raw = document.querySelector('details.raw'); if (raw) raw.open = true", &[]).await;
            let found = browser.run_async(LOOK, &[]).await;
            assert!(found["passes"].as_u64().is_some_and(|passes| passes > 10), "{view}: axe did not look: {found:#}");
            assert_eq!(found["violations"], json!([]), "{view}, {scheme}, {width} pixels wide: {found:#}");
            let wide = "return Math.max(0, document.documentElement.scrollWidth - window.innerWidth)";
            assert_eq!(browser.run(wide, &[]).await, Value::from(0), "{view} is wider than {width} pixels");
        }
    }
    browser.close(|_| false).await;
}
