//! The agent's page in a real Chromium, with real agents behind it that see real pods end. Needs Debian's packages chromium
//! and chromium-driver, and axe-core, which `cargo xtask test` fetches.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod browser;
mod demo;
mod crowd;
mod proxy;
mod list;
mod timeline;
mod keyboard;
mod themes;
mod connection;
mod hostile;
mod many;
mod accessible;
mod advice;
mod screenshots;
