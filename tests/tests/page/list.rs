//! The live list: it fills by itself, its filters are in its address, and its addresses can be passed on.

use serde_json::{Value, json};

use super::browser::Browser;
use super::demo::Demo;

/// Pods of the rows that are shown.
const PODS: &str = "return [...document.querySelectorAll('.row .pod')].map((link) => link.textContent)";

#[tokio::test]
async fn it_fills_while_it_is_looked_at() {
    let demo = Demo::live();
    let browser = Browser::open(&demo.url()).await;
    browser.until("the stream is open", "return document.querySelector('#status').textContent === 'live'", &[]).await;
    let going = browser
        .until(
            "a pod that is being ended, with its grace growing",
            "const row = document.querySelector('.row.is-in_progress'); \
             if (!row) return null; \
             const used = Number.parseFloat(row.querySelector('.grace-text').textContent); \
             window.before ??= {}; const key = row.dataset.key; const grows = window.before[key] !== undefined && used !== window.before[key]; \
             window.before[key] = used; return grows ? key : null",
            &[],
        )
        .await;
    // Nobody has reloaded anything: the same row, with an outcome.
    browser
        .until(
            "it has ended",
            "const row = document.querySelector(`[data-key=\"${arguments[0]}\"]`); \
             return row && !row.classList.contains('is-in_progress') && row.querySelector('.c3 .word').textContent !== ''",
            std::slice::from_ref(&going),
        )
        .await;
    browser
        .until(
            "what goes on stands on top",
            "const rows = [...document.querySelectorAll('.row')]; const going = rows.filter((row) => row.matches('.is-in_progress')); \
             return rows.length > 3 && going.length > 0 && going.every((row, index) => rows[index] === row)",
            &[],
        )
        .await;
    browser.close(|_| false).await;
}

#[tokio::test]
async fn filters_are_in_the_address() {
    let demo = Demo::played();
    let browser = Browser::open(&demo.url()).await;
    let all = demo.terminations();
    let total = json!(all.len());
    browser.until("all are shown", "return document.querySelectorAll('.row').length === arguments[0]", &[total]).await;

    browser.run("document.querySelector('#f-pod').focus()", &[]).await;
    browser.keys("CUT-conn").await;
    let pods = browser.until("one is left", &format!("{PODS}.length === 1 && {}", &PODS[7..]), &[]).await;
    assert!(pods[0].as_str().unwrap().starts_with("cut-connections-"), "{pods}");
    assert!(browser.url().await.ends_with("/#/?pod=CUT-conn"), "{}", browser.url().await);

    // The address alone shows the same to somebody else.
    for (query, has) in [
        ("outcome=forced", (|one: &Value| one["outcome"] == "forced") as fn(&Value) -> bool),
        ("finding=CONNECTIONS_CUT", |one| {
            one["findings"].as_array().unwrap().iter().any(|it| it["id"] == "CONNECTIONS_CUT")
        }),
        ("workload=sidecar", |one| one["workload"]["name"].as_str().unwrap().contains("sidecar")),
        ("workload=deployment%2Fclean", |one| one["workload"]["name"] == "clean"),
        ("namespace=demo&since=24h", |_| true),
        ("namespace=elsewhere", |_| false),
        ("outcome=graceful&pod=hook", |one| {
            one["outcome"] == "graceful" && one["pod"].as_str().unwrap().contains("hook")
        }),
    ] {
        browser.go("about:blank").await;
        browser.go(&format!("{}#/?{query}", demo.url())).await;
        let mut wanted: Vec<&str> = all.iter().filter(|one| has(one)).map(|one| one["pod"].as_str().unwrap()).collect();
        wanted.sort_unstable();
        let script = format!(
            "{PODS}.sort().join() === arguments[0] && document.querySelector('#status').textContent === 'live'"
        );
        browser.until(query, &script, &[json!(wanted.join(","))]).await;
    }
    let chip = "return document.querySelector('.chip.is-graceful[aria-pressed=true]') !== null";
    browser.until("the fields show what is in the address", chip, &[]).await;
    assert_eq!(browser.run("return document.querySelector('#f-pod').value", &[]).await, "hook");
    browser
        .run("[...document.querySelectorAll('.filters button')].find((it) => it.textContent === 'Clear').click()", &[])
        .await;
    browser
        .until("all are back", "return document.querySelectorAll('.row').length === arguments[0]", &[json!(all.len())])
        .await;
    assert!(browser.url().await.ends_with("/#/"), "{}", browser.url().await);
    browser.close(|_| false).await;
}

#[tokio::test]
async fn an_address_can_be_passed_on() {
    let demo = Demo::played();
    let termination = demo.termination("hook-hangs");
    let id = termination["id"].as_str().unwrap();
    let browser = Browser::open(&format!("{}#/terminations/{id}", demo.url())).await;
    let heading = "return document.querySelector('article h1')?.textContent";
    assert_eq!(browser.until("its name", heading, &[]).await, termination["pod"]);
    let title = browser.run("return document.title", &[]).await;
    assert!(title.as_str().unwrap().starts_with(termination["pod"].as_str().unwrap()), "{title}");
    // Every finding stands there with its advice, and the story tells of the hook.
    let words = browser.run("return document.querySelector('article').textContent", &[]).await;
    for finding in termination["findings"].as_array().unwrap() {
        for part in ["id", "message", "advice"] {
            assert!(words.as_str().unwrap().contains(finding[part].as_str().unwrap()), "{finding:#}");
        }
    }
    assert!(
        words.as_str().unwrap().contains("Its preStop hook was still running when the stop signal came"),
        "{words}"
    );
    let raw = browser.run("const raw = document.querySelector('details.raw'); raw.open = true; return null", &[]).await;
    assert_eq!(raw, Value::Null);
    browser.until("the JSON", "return document.querySelector('.raw pre').textContent !== ''", &[]).await;
    let same = "const done = arguments[1]; const shown = JSON.stringify(JSON.parse(document.querySelector('.raw pre').textContent)); \
                fetch(`/api/v1/terminations/${arguments[0]}`).then((answer) => answer.json()).then((is) => done(shown === JSON.stringify(is)))";
    assert_eq!(browser.run_async(same, &[json!(id)]).await, true, "it is what the API has");

    browser.go(&format!("{}#/terminations/none-of-them", demo.url())).await;
    browser
        .until(
            "that it is gone",
            "return document.querySelector('h1')?.textContent === 'This termination is not known here'",
            &[],
        )
        .await;
    // The agent's 404 is in the browser's log, as every one is.
    browser.close(|message| message.contains("none-of-them") && message.contains("404")).await;
}

#[tokio::test]
async fn workloads_and_the_agent() {
    let demo = Demo::played();
    let browser = Browser::open(&format!("{}#/workloads", demo.url())).await;
    let all = demo.terminations();
    let rows = "return document.querySelectorAll('.workload-table tbody tr').length === arguments[0]";
    browser.until("a row for each workload", rows, &[json!(all.len())]).await;
    browser
        .run(
            "[...document.querySelectorAll('.workload-table a')].find((it) => it.textContent === 'long-lived').click()",
            &[],
        )
        .await;
    let id = demo.termination("long-lived")["id"].clone();
    let bar = "return document.querySelector(`.budgets a[href=\"#/terminations/${encodeURIComponent(arguments[0])}\"]`) !== null \
               && document.querySelectorAll('.budget .drain').length === 1";
    browser.until("the use of its grace", bar, &[id]).await;
    // One is not enough to give advice.
    let advice = browser.run("return document.querySelector('.advice-list').textContent", &[]).await;
    assert!(advice.as_str().unwrap().contains("5 are needed"), "{advice}");

    browser.go(&format!("{}#/agent", demo.url())).await;
    let hooks = "return [...document.querySelectorAll('.agent th code')].map((hook) => hook.textContent)";
    let hooks = browser.until("its hooks", &format!("{hooks}.join() || null"), &[]).await;
    for hook in ["sched_process_exec", "signal_generate", "inet_sock_set_state"] {
        assert!(hooks.as_str().unwrap().split(',').any(|it| it == hook), "{hooks}");
    }
    let text = browser.run("return document.querySelector('.agent').textContent", &[]).await;
    let kernel = rustix::system::uname();
    assert!(text.as_str().unwrap().contains(&*kernel.release().to_string_lossy()), "{text}");
    browser.close(|_| false).await;
}
