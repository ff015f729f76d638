//! Names and commands that want to be something else.

use serde_json::json;

use super::browser::Browser;
use super::crowd::{Crowd, Names};

const SCRIPT: &str = "<script>window.pwned = 1</script><img src=x onerror=\"window.pwned = 2\">";
/// Letters from right to left, and a mark that turns what follows.
const TURNED: &str = "\u{202e}gnp.exe \u{2066}שלום";

#[tokio::test]
async fn they_stay_names() {
    let long = "x".repeat(10 << 10);
    // `$0` and what follows are arguments that the hook does not use.
    let hooks = [SCRIPT, TURNED, &long].map(|word| ["sh", "-c", "exit 3", word, word]);
    let pods = [
        Names { namespace: SCRIPT, pod: SCRIPT, container: SCRIPT, workload: SCRIPT, hook: &hooks[0] },
        Names { namespace: TURNED, pod: TURNED, container: TURNED, workload: TURNED, hook: &hooks[1] },
        Names { namespace: &long, pod: &long, container: &long, workload: &long, hook: &hooks[2] },
        Names {
            namespace: "a/b?c#d",
            pod: "%2e%2e/%00'\"`${1}{{2}}",
            container: "javascript:alert(1)",
            workload: "a/b c?d#e%",
            hook: &["sh", "-c", "exit 3", "--password", "hunter2"],
        },
    ];
    let mut crowd = Crowd::start("page-hostile", &pods);
    let mut told = crowd.terminate(u32::try_from(pods.len()).unwrap());
    told.sort_by_key(|one| one["uid"].as_str().unwrap().to_owned());
    for (names, termination) in pods.iter().zip(&told) {
        assert_eq!(termination["pod"], *names.pod, "the agent tells of names as they are");
        let hook = &termination["containers"][0]["hook"];
        assert_eq!((&hook["exit_code"], &hook["inferred"]), (&json!(3), &json!(false)), "{:?}: {hook}", names.hook);
        assert!(!termination.to_string().contains("hunter2"), "arguments may be secrets: {termination}");
    }
    let url = format!("http://{}/", crowd.agent.address());
    let browser = Browser::open(&url).await;
    for width in [1280, 360] {
        browser.resize(width, 800).await;
        browser.go(&format!("{url}#/")).await;
        browser
            .until("the list", "return document.querySelectorAll('.row').length === arguments[0]", &[json!(pods.len())])
            .await;
        let heights = "return [...document.querySelectorAll('.row')].map((row) => row.offsetHeight).every((height, _, all) => height === all[0])";
        assert_eq!(browser.run(heights, &[]).await, true, "every row has its height");
        harmless(&browser, "the list").await;
        for (names, termination) in pods.iter().zip(&told) {
            let id = termination["id"].as_str().unwrap();
            browser.go(&format!("{url}#/terminations/{id}")).await;
            let at = "return document.querySelector('svg.timeline') !== null && document.querySelector('article .raw a').getAttribute('href').endsWith(encodeURIComponent(arguments[0]))";
            browser.until("the termination", at, &[json!(id)]).await;
            browser.run("document.querySelector('details.raw').open = true", &[]).await;
            harmless(&browser, "a termination").await;
            let heading = browser.run("return document.querySelector('h1').textContent", &[]).await;
            let heading = heading.as_str().unwrap();
            match names.pod {
                SCRIPT => assert!(heading.starts_with("<script>window.pwned"), "{heading}"),
                TURNED => assert!(heading.contains("‹U+202E›gnp.exe") && !heading.contains('\u{202e}'), "{heading}"),
                name if name.len() > 1000 => {
                    assert!(heading.len() < 300, "{heading}");
                    browser.run("document.querySelector('h1 .expand').click()", &[]).await;
                    let all = browser.run("return document.querySelector('h1 bdi').textContent", &[]).await;
                    assert_eq!(all, *name, "all of it can be seen");
                    harmless(&browser, "an expanded name").await;
                }
                name => assert_eq!(heading, name),
            }
            let isolated = "return [...document.querySelectorAll('h1 bdi')].every((it) => getComputedStyle(it).unicodeBidi === 'isolate')";
            assert_eq!(browser.run(isolated, &[]).await, true);
            // Its workload: the way there goes through the address.
            browser.run("document.querySelector('.facts a').click()", &[]).await;
            browser.until("the workload", "return document.querySelector('.budgets tbody tr') !== null", &[]).await;
            harmless(&browser, "a workload").await;
        }
        for view in ["workloads", "agent"] {
            browser.go(&format!("{url}#/{view}")).await;
            browser.until(view, "return document.querySelector('main table') !== null", &[]).await;
            harmless(&browser, view).await;
        }
    }
    // Filters with them, and an address that is none.
    for fragment in [
        "?pod=%3Cscript%3E",
        "?namespace=%3Cimg%20src%3Dx%3E",
        "terminations/%",
        "terminations/%3Cscript%3E",
        "workloads/a/b/%E2%80%AE",
    ] {
        browser.go("about:blank").await;
        browser.go(&format!("{url}#/{fragment}")).await;
        browser.until(fragment, "return document.querySelector('#status').textContent === 'live' && document.querySelector('main').textContent !== ''", &[]).await;
        harmless(&browser, fragment).await;
    }
    browser.close(|message| message.contains("404")).await;
    crowd.agent.stop();
}

/// Nothing has run, no element has come of a name, and nothing is wider than the window.
async fn harmless(browser: &Browser, what: &str) {
    let script = "return {
        pwned: window.pwned ?? null, scripts: document.scripts.length, images: document.images.length,
        wide: Math.max(0, document.documentElement.scrollWidth - window.innerWidth),
    }";
    let expect = json!({ "pwned": null, "scripts": 1, "images": 1, "wide": 0 });
    assert_eq!(browser.run(script, &[]).await, expect, "{what} at {}", browser.url().await);
}
