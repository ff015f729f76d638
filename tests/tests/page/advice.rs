//! What the page advises, and when it says nothing: its own modules, asked in the browser.

use serde_json::{Value, json};

use super::browser::Browser;
use super::crowd::Crowd;

/// Calls a function of a module, for each of a list of arguments.
const CALL: &str = "
    const [module, name, lists, done] = arguments;
    import(`/assets/${module}.js`).then((it) => done(lists.map((list) => it[name](...list))), (error) => done(String(error)));";

/// A workload whose terminations all went alike.
fn workload(count: usize, grace: u64, wait: f64, drain: Option<f64>, tail: Option<f64>, findings: Value) -> Value {
    let one = json!({
        "complete": true, "grace_period_seconds": grace, "grace_used_seconds": wait + drain.unwrap_or(grace as f64),
        "prestop_wait_seconds": wait, "drain_seconds": drain, "traffic_tail_seconds": tail, "killed": drain.is_none(),
    });
    let tails = tail.map(|tail| json!({ "count": count, "p50": tail, "p95": tail, "p99": tail, "max": tail }));
    json!({ "recent": vec![one; count], "findings": findings, "terminations": count, "traffic_tail_seconds": tails })
}

#[tokio::test]
async fn advice_is_given_when_there_is_enough_to_give_it() {
    let crowd = Crowd::start("page-advice", &[]);
    let browser = Browser::open(&format!("http://{}/", crowd.agent.address())).await;
    let cases = [
        (workload(4, 30, 0.0, Some(1.0), Some(3.0), json!({})), vec!["Not enough to say"]),
        // Clients come for three seconds and a half, and nobody waits for them; 4 s and 20 s of drain do not fit into 22.
        (
            workload(8, 10, 0.0, Some(1.0), Some(3.5), json!({})),
            vec!["Have preStop wait 4 s", "Grace period: 10 s is right"],
        ),
        (
            workload(8, 22, 0.0, Some(20.0), Some(3.5), json!({})),
            vec!["Have preStop wait 4 s", "Raise the grace period to 30 s"],
        ),
        (
            workload(8, 30, 5.0, Some(10.0), Some(3.5), json!({})),
            vec!["preStop wait: 5.00 s is enough", "Grace period: 30 s is right"],
        ),
        (
            workload(25, 60, 5.0, Some(1.0), Some(3.5), json!({})),
            vec!["preStop wait: 5.00 s is enough", "Grace period: 60 s is plenty"],
        ),
        (
            workload(6, 30, 0.0, None, None, json!({ "STOP_SIGNAL_IGNORED": 6 })),
            vec!["Handle the stop signal", "preStop wait", "Grace period: later"],
        ),
        (
            workload(6, 30, 0.0, None, None, json!({})),
            vec!["preStop wait", "Raise the grace period above 30 s, or drain faster"],
        ),
    ];
    let lists: Vec<Value> = cases.iter().map(|(workload, _)| json!([workload])).collect();
    let said = browser.run_async(CALL, &[json!("advice"), json!("advise"), json!(lists)]).await;
    for ((workload, expect), lines) in cases.iter().zip(said.as_array().unwrap_or_else(|| panic!("{said}"))) {
        let titles: Vec<&str> = lines.as_array().unwrap().iter().map(|line| line["title"].as_str().unwrap()).collect();
        assert_eq!(titles, *expect, "{lines:#} of {:#}", workload["recent"][0]);
    }

    // Times of the API have nanoseconds; numbers of the page have what fits.
    let lists = json!([
        ["2026-11-20T22:59:46Z", "2026-11-20T22:59:46.000001500Z"],
        ["2026-11-20T22:59:46.9Z", "2026-11-21T00:00:00+01:00"],
        ["2026-11-20T22:59:46Z", "yesterday"],
    ]);
    let said = browser.run_async(CALL, &[json!("format"), json!("between"), lists]).await;
    assert_eq!(said, json!([0.000_001_5, 13.1, null]));
    let lists = json!([[null], [0], [0.0004], [0.0312], [1.234], [59.96], [-0.5], [3700]]);
    let said = browser.run_async(CALL, &[json!("format"), json!("seconds"), lists]).await;
    assert_eq!(said, json!(["–", "0 s", "0.4 ms", "31 ms", "1.23 s", "1 min 00 s", "−0.50 s", "1 h 01 min"]));
    browser.close(|_| false).await;
    crowd.agent.stop();
}
