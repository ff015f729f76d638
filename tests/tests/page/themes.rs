//! Light and dark: as the system is, or as somebody chose.

use serde_json::Value;

use super::browser::Browser;
use super::demo::Demo;

/// How light the ground is, from 0 to 255.
async fn ground(browser: &Browser) -> f64 {
    let script =
        "return getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)";
    let color: Value = browser.run(script, &[]).await;
    color.as_array().unwrap().iter().map(|part| part.as_f64().unwrap()).sum::<f64>() / 3.0
}

#[tokio::test]
async fn as_the_system_is_or_as_was_chosen() {
    let demo = Demo::played();
    let browser = Browser::open(&demo.url()).await;
    browser.until("it is live", "return document.querySelector('#status').textContent === 'live'", &[]).await;
    assert!(ground(&browser).await > 200.0);
    browser.color_scheme("dark").await;
    assert!(ground(&browser).await < 50.0);

    let choose =
        "const button = document.querySelector('#theme'); button.click(); return button.getAttribute('aria-label')";
    assert_eq!(browser.run(choose, &[]).await, "Theme: dark");
    browser.color_scheme("light").await;
    assert!(ground(&browser).await < 50.0, "it was chosen, whatever the system says");
    browser.go(&format!("{}?again", demo.url())).await;
    assert!(ground(&browser).await < 50.0, "it is still chosen the next time");
    assert_eq!(browser.run(choose, &[]).await, "Theme: light");
    assert_eq!(browser.run(choose, &[]).await, "Theme: as the system");
    assert!(ground(&browser).await > 200.0);
    browser.close(|_| false).await;
}
