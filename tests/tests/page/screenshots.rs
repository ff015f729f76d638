//! Pictures of the page. `cargo xtask screenshots` keeps them.

use std::path::PathBuf;
use std::{env, fs};

use serde_json::json;

use super::browser::Browser;
use super::demo::Demo;

/// Of a file: the README shows them, and nobody wants to wait for that.
const MOST_BYTES: usize = 300_000;

#[tokio::test]
async fn every_view_can_be_shown() {
    let demo = Demo::played();
    let browser = Browser::open(&demo.url()).await;
    let folder = env::var_os("GRACETRACE_SCREENSHOTS").map(PathBuf::from);
    let termination = |scenario: &str| format!("terminations/{}", demo.termination(scenario)["id"].as_str().unwrap());
    let (list, timeline) = ("document.querySelectorAll('.row').length > 10", "document.querySelector('svg.timeline')");
    let pictures = [
        ("list", 1280, 760, String::new(), list),
        ("termination", 1280, 960, termination("endpoint-race"), timeline),
        ("hook", 1280, 820, termination("hook-hangs"), timeline),
        ("sidecar", 1280, 820, termination("sidecar-first"), timeline),
        ("cut", 1280, 820, termination("cut-connections"), timeline),
        ("workloads", 1280, 820, "workloads".to_owned(), "document.querySelector('.workload-table')"),
        (
            "workload",
            1280,
            980,
            "workloads/demo/Deployment/endpoint-race".to_owned(),
            "document.querySelector('.budgets')",
        ),
        ("agent", 1280, 980, "agent".to_owned(), "document.querySelector('.agent table')"),
        ("narrow-list", 390, 844, String::new(), list),
        ("narrow-termination", 390, 844, termination("endpoint-race"), timeline),
    ];
    for scheme in ["light", "dark"] {
        browser.color_scheme(scheme).await;
        for (name, width, height, view, there) in &pictures {
            browser.resize(*width, *height).await;
            browser.go("about:blank").await;
            browser.go(&format!("{}#/{view}", demo.url())).await;
            let live = format!(
                "return Boolean({there}) && document.querySelector('#status').textContent === 'live' && document.fonts.status === 'loaded'"
            );
            browser.until(name, &live, &[]).await;
            let picture = browser.picture().await;
            let size = |at: usize| u32::from_be_bytes(picture[at..at + 4].try_into().unwrap());
            // The first chunk of a PNG file has its width and height.
            assert_eq!(json!([size(16), size(20)]), json!([width, height]), "{name}");
            assert!((5_000..MOST_BYTES).contains(&picture.len()), "{name} takes {} bytes", picture.len());
            if let Some(folder) = &folder {
                fs::create_dir_all(folder).unwrap();
                fs::write(folder.join(format!("{name}-{scheme}.png")), picture).unwrap();
            }
        }
    }
    browser.close(|_| false).await;
}
