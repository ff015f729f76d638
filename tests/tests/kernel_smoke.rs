use gracetrace::probe::*;
#[tokio::test]
async fn smoke() {
    let probe = Probe::load(&Options { stats: true, debug: std::env::var_os("DBG").is_some(), ..Options::default() }).unwrap_or_else(|e| panic!("{e} {e:?}"));
    for h in probe.hooks() { println!("{:?}", h); }
    for _ in 0..50 { std::process::Command::new("true").status().unwrap(); }
    println!("{:#?}", probe.usage());
}
