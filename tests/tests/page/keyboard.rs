//! Without a mouse.

use serde_json::json;
use thirtyfour::Key;

use super::browser::Browser;
use super::demo::Demo;

#[tokio::test]
async fn everything_can_be_reached() {
    let demo = Demo::played();
    let browser = Browser::open(&demo.url()).await;
    let total = json!(demo.terminations().len());
    browser.until("all are shown", "return document.querySelectorAll('.row').length === arguments[0]", &[total]).await;

    // The first stop leads past everything to the content; the filters come first there.
    browser.keys(Key::Tab).await;
    assert_eq!(browser.run("return document.activeElement.className", &[]).await, "skip");
    browser.keys(Key::Enter).await;
    browser.keys(Key::Tab).await;
    assert_eq!(browser.run("return document.activeElement.id", &[]).await, "f-pod");
    browser.keys("late").await;
    browser.until("one is left", "return document.querySelectorAll('.row').length === 1", &[]).await;
    for _ in 0.."late".len() {
        browser.keys(Key::Backspace).await;
    }
    browser.until("all are back", "return document.querySelectorAll('.row').length > 10", &[]).await;

    // To the list, along it, into one, and back to where one was.
    let mut steps = 0;
    while browser.run("return document.activeElement.matches('.row a')", &[]).await != true {
        browser.keys(Key::Tab).await;
        steps += 1;
        assert!(steps < 30, "Tab does not lead to the list");
    }
    let place = "return [...document.querySelectorAll('.row')].indexOf(document.activeElement.closest('.row'))";
    for (key, expect) in [(Key::Down, 1), (Key::Down, 2), (Key::Up, 1), (Key::End, 15), (Key::Home, 0), (Key::Down, 1)]
    {
        browser.keys(key.clone()).await;
        assert_eq!(browser.run(place, &[]).await, expect, "{key:?}");
    }
    let seen = "const box = document.activeElement.getBoundingClientRect(); \
                return box.top >= document.querySelector('.table-head').getBoundingClientRect().bottom - 1 && box.bottom <= innerHeight";
    assert_eq!(browser.run(seen, &[]).await, true, "what has the focus is seen");
    let pod = browser.run("return document.activeElement.textContent", &[]).await;
    browser.keys(Key::Enter).await;
    let open = "return document.querySelector('article h1')?.textContent === arguments[0] && document.activeElement.localName === 'h1'";
    browser.until("it is open, and has the focus", open, std::slice::from_ref(&pod)).await;
    browser.keys(Key::Escape).await;
    let back = "return document.activeElement.matches('.row a') && document.activeElement.textContent === arguments[0]";
    browser.until("back in the list, where it was", back, &[pod]).await;

    // What can be worked shows that it has the focus.
    let outline = browser.run("return getComputedStyle(document.activeElement).outlineStyle", &[]).await;
    assert_eq!(outline, "solid");
    browser.close(|_| false).await;
}
