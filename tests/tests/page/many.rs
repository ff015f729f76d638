//! As many terminations as the agent keeps: 2,000.

use serde_json::json;

use super::browser::Browser;
use super::crowd::Crowd;

const MANY: u32 = 1_999;

/// Goes through the list, as far as it goes, and back in one leap. After each frame the rows must fill what is seen.
const SCROLL: &str = "
    const done = arguments[arguments.length - 1];
    const frame = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    (async () => {
        let most = 0, steps = 0, gaps = [];
        const seen = new Set();
        for (const distance of [0.9 * window.innerHeight, -document.body.scrollHeight]) {
            for (;;) {
                const before = window.scrollY;
                window.scrollBy(0, distance);
                await frame();
                if (window.scrollY === before) break;
                steps += 1;
                const rows = [...document.querySelectorAll('.row')];
                most = Math.max(most, rows.length);
                rows.forEach((row) => seen.add(row.dataset.key));
                const body = document.querySelector('.table-body').getBoundingClientRect();
                for (const y of [0.3, 0.6, 0.95].map((part) => part * window.innerHeight)) {
                    if (y < body.top || y >= body.bottom) continue;
                    const at = document.elementFromPoint(body.left + 200, y);
                    if (!at?.closest('.row, .table-top')) gaps.push([window.scrollY, y]);
                }
            }
        }
        done({ most, steps, gaps: gaps.slice(0, 5), seen: seen.size });
    })();";

#[tokio::test]
async fn the_list_holds_what_is_seen_of_it() {
    let mut crowd = Crowd::start("page-many", &[]);
    crowd.terminate(MANY);
    let browser = Browser::open(&format!("http://{}/", crowd.agent.address())).await;
    let all = "return document.querySelector('.summary').textContent === arguments[0] && document.querySelector('#status').textContent === 'live'";
    browser.until("all are there", all, &[json!("1,999 terminations")]).await;
    for (width, rows) in [(1280, 50), (360, 40)] {
        browser.resize(width, 800).await;
        browser.run("window.scrollTo(0, 0)", &[]).await;
        let went = browser.run_async(SCROLL, &[]).await;
        assert_eq!(went["gaps"], json!([]), "{width}: rows fill what is seen: {went}");
        assert_eq!(went["seen"], MANY, "{width}: each has been there: {went}");
        assert!(went["most"].as_u64().unwrap() <= rows, "{width}: the document stays small: {went}");
    }
    // What comes on top does not move what is being read.
    browser.resize(1280, 800).await;
    browser.run("window.scrollTo(0, 20000)", &[]).await;
    let reading = "const row = [...document.querySelectorAll('.row')].find((row) => row.getBoundingClientRect().top > 100); \
                   return row && [row.dataset.key, Math.round(row.getBoundingClientRect().top)]";
    let before = browser.until("a row in the middle", reading, &[]).await;
    crowd.terminate(1);
    browser.until("the list has the new one", all, &[json!("2,000 terminations")]).await;
    let after = browser.run("const row = document.querySelector(`[data-key=\"${arguments[0]}\"]`); return row && [row.dataset.key, Math.round(row.getBoundingClientRect().top)]", std::slice::from_ref(&before[0])).await;
    assert_eq!(after, before, "what is being read stays where it is");
    browser.close(|_| false).await;
    crowd.agent.stop();
}
