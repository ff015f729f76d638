//! The agent goes away and comes back.

use serde_json::json;

use super::browser::Browser;
use super::crowd::{Crowd, Names};
use super::proxy::Proxy;

const PODS: [Names<'static>; 2] = [
    Names { namespace: "shop", pod: "cart-0", container: "app", workload: "cart", hook: &[] },
    Names { namespace: "shop", pod: "cart-1", container: "app", workload: "cart", hook: &[] },
];

#[tokio::test]
async fn what_was_known_stays_and_what_was_missed_is_told() {
    let mut crowd = Crowd::start("page-connection", &PODS);
    let mut proxy = Proxy::start(crowd.agent.address()).await;
    let browser = Browser::open(&proxy.url()).await;
    browser
        .until(
            "that there is nothing yet",
            "return document.querySelector('.empty h2')?.textContent === 'No pod has ended yet'",
            &[],
        )
        .await;
    let told = crowd.terminate(1);
    let shown =
        "return [...document.querySelectorAll('.row .pod')].map((pod) => pod.textContent).join() === arguments[0]";
    browser.until("the first one", shown, &[json!("cart-0")]).await;

    proxy.cut().await;
    let banner = "return document.querySelector('#banner').textContent.includes('The agent does not answer') \
                  && document.querySelector('#status').textContent === 'not connected'";
    browser.until("the banner", banner, &[]).await;
    assert_eq!(browser.run(shown, &[json!("cart-0")]).await, true, "what was known stays");
    browser
        .until(
            "when it will be tried again",
            "return /Next try in \\d+ s|Trying/.test(document.querySelector('.retry').textContent)",
            &[],
        )
        .await;
    // Meanwhile one can look at what is there.
    crowd.terminate(1);

    proxy.heal().await;
    browser.until("both", shown, &[json!("cart-1,cart-0")]).await;
    let well = "return document.querySelector('#banner').textContent === '' && document.querySelector('#status').textContent === 'live'";
    browser.until("all is well", well, &[]).await;

    // A page that was opened while nobody answered comes to life by itself, too, and so does one of a termination.
    browser.run("location.hash = `#/terminations/${arguments[0]}`", &[told[0]["id"].clone()]).await;
    browser
        .until("one termination", "return document.querySelector('article h1')?.textContent === 'cart-0'", &[])
        .await;
    proxy.cut().await;
    browser.until("the banner again", banner, &[]).await;
    browser.run("location.hash = '#/workloads'", &[]).await;
    browser.until("that the agent does not answer", "return document.querySelector('.empty h2') !== null", &[]).await;
    proxy.heal().await;
    browser.run("document.querySelector('#banner button')?.click()", &[]).await;
    browser
        .until("the workloads", "return document.querySelector('.workload-table a')?.textContent === 'cart'", &[])
        .await;
    browser.close(|message| message.contains("net::ERR_")).await;
    proxy.cut().await;
    crowd.agent.stop();
}
