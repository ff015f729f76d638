//! Where the marks of the timeline stand, against the times that the API has.

use gracetrace_tests::scenario;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::browser::Browser;
use super::demo::Demo;

/// What stands where, in pixels: lines of the axis with their seconds, marks with what they are, bars with both ends.
const PLACES: &str = "
    const svg = document.querySelector('svg.timeline');
    if (!svg || document.querySelector('article h1')?.textContent !== arguments[0]) return null;
    const middle = (element) => { const box = element.getBoundingClientRect(); return (box.left + box.right) / 2; };
    return {
        axis: [...svg.querySelectorAll('.axis line')].map((line) => [Number(line.dataset.tick), middle(line)]),
        marks: [...svg.querySelectorAll('.mark')].map((mark) => ({
            kind: mark.dataset.mark.split(' ')[0], container: mark.closest('[data-container]')?.dataset.container ?? null, x: middle(mark.querySelector('line')),
        })),
        bars: [...svg.querySelectorAll('.lane .bar')].map((bar) => {
            const box = bar.getBoundingClientRect();
            return { kind: bar.dataset.bar, container: bar.closest('[data-container]').dataset.container, left: box.left, right: box.right };
        }),
        badges: [...svg.querySelectorAll('.badge')].map((badge) => Number(badge.dataset.finding)),
        right: svg.getBoundingClientRect().right,
    }";

/// A pixel, and what is lost when it is rounded twice.
const PIXEL: f64 = 1.05;

/// From a time of the API to another one, in seconds.
fn seconds(from: &Value, to: &Value) -> Option<f64> {
    let time = |value: &Value| value.as_str()?.parse::<Timestamp>().ok();
    Some((time(to)?.as_nanosecond() - time(from)?.as_nanosecond()) as f64 / 1e9)
}

#[tokio::test]
async fn marks_stand_at_the_times_of_the_api() {
    let demo = Demo::played();
    let browser = Browser::open(&demo.url()).await;
    let mut seen = Vec::new();
    for (width, scenario) in
        [1280, 400].into_iter().flat_map(|width| scenario::ALL.iter().map(move |one| (width, one.name)))
    {
        let one = demo.termination(scenario);
        browser.resize(width, 800).await;
        browser.go(&format!("{}#/terminations/{}", demo.url(), one["id"].as_str().unwrap())).await;
        let places = browser.until(scenario, PLACES, std::slice::from_ref(&one["pod"])).await;
        seen.extend(check(scenario, &one, &places));
    }
    for kind in
        ["stop_signal", "killed", "exit", "hook from", "hook to", "drain", "grace_end", "cut", "late", "refused"]
    {
        assert!(seen.contains(&kind), "nothing was drawn of {kind}: {seen:?}");
    }
    browser.close(|_| false).await;
}

/// Compares all that is drawn of a termination with it. Gives what was there to compare.
fn check(scenario: &str, one: &Value, places: &Value) -> Vec<&'static str> {
    let axis: Vec<(f64, f64)> = serde_json::from_value(places["axis"].clone()).unwrap();
    let [first, .., last] = axis[..] else { panic!("{scenario}: too few lines on the axis: {axis:?}") };
    let at = |second: f64| first.1 + (second - first.0) / (last.0 - first.0) * (last.1 - first.1);
    let mut seen = Vec::new();
    let mut compare = |kind: &'static str, container: &Value, second: f64, x: f64| {
        let wanted = at(second);
        assert!((x - wanted).abs() <= PIXEL, "{scenario}: {kind} of {container} is at {x}, {second} s are at {wanted}");
        seen.push(kind);
    };
    let mark = |kind: &str, container: &Value| {
        let mut marks = places["marks"].as_array().unwrap().iter();
        marks
            .find(|mark| mark["kind"] == kind && mark["container"] == *container)
            .map(|mark| mark["x"].as_f64().unwrap())
    };
    let bar = |kind: &str, container: &Value| {
        let mut bars = places["bars"].as_array().unwrap().iter();
        let bar = bars.find(|bar| bar["kind"] == kind && bar["container"] == *container)?;
        Some((bar["left"].as_f64().unwrap(), bar["right"].as_f64().unwrap()))
    };
    let start = &one["start"];
    for container in one["containers"].as_array().unwrap() {
        let (name, connections) = (&container["name"], &container["connections"]);
        let stop = seconds(start, &container["stop_signal"]["at"]);
        let exit = seconds(start, &container["exit"]["at"]);
        let killed = seconds(start, &container["killed_at"]);
        for (kind, time) in [("stop_signal", stop), ("killed", killed), ("exit", exit)] {
            match (time, mark(kind, name)) {
                (Some(time), Some(x)) => compare(kind, name, time, x),
                (None, None) => {}
                (time, x) => panic!("{scenario}: {kind} of {name} is at {time:?} in the API, and drawn at {x:?}"),
            }
        }
        if let (Some(stop), Some(exit)) = (stop, exit) {
            let (left, right) = bar("drain", name).unwrap();
            compare("drain", name, stop, left);
            // A bar of no length would not be seen.
            compare("drain", name, exit, right.min(left.max(at(exit))));
        }
        if !container["hook"].is_null() {
            let (left, right) = bar("hook", name).unwrap();
            compare("hook from", name, seconds(start, &container["hook"]["start"]).unwrap(), left);
            compare("hook to", name, seconds(start, &container["hook"]["end"]).unwrap(), right);
        }
        if connections["zombie"]["inbound"].as_u64().unwrap_or(0) > 0 {
            compare("cut", name, killed.or(exit).unwrap(), mark("cut", name).unwrap());
        }
        if connections["late"].as_u64().unwrap_or(0) > 0 {
            compare("late", name, connections["traffic_tail_seconds"].as_f64().unwrap(), mark("late", name).unwrap());
        }
        if connections["refused"].as_u64().unwrap_or(0) > 0 {
            compare(
                "refused",
                name,
                connections["refused_tail_seconds"].as_f64().unwrap(),
                mark("refused", name).unwrap(),
            );
        }
    }
    if let Some(x) = mark("grace_end", &Value::Null) {
        compare("grace_end", &Value::Null, one["grace_period_seconds"].as_f64().unwrap(), x);
    }
    // Each finding about a container stands where it happened.
    let badges: Vec<u64> = serde_json::from_value(places["badges"].clone()).unwrap();
    for (number, finding) in (1..).zip(one["findings"].as_array().unwrap()) {
        let count = badges.iter().filter(|&&badge| badge == number).count();
        assert_eq!(count, usize::from(!finding["container"].is_null()), "{scenario}: marks of {finding:#}");
    }
    for place in places["marks"].as_array().unwrap() {
        let (x, right) = (place["x"].as_f64().unwrap(), places["right"].as_f64().unwrap());
        assert!(x < right, "{scenario}: {place} is outside");
    }
    seen
}

#[tokio::test]
async fn findings_and_their_marks_lead_to_each_other() {
    let demo = Demo::played();
    let one = demo.termination("endpoint-race");
    let browser = Browser::open(&format!("{}#/terminations/{}", demo.url(), one["id"].as_str().unwrap())).await;
    browser.until("the timeline", PLACES, std::slice::from_ref(&one["pod"])).await;
    let findings = one["findings"].as_array().unwrap();
    for (number, _) in (1..).zip(findings).filter(|(_, finding)| !finding["container"].is_null()) {
        let number = json!(number);
        let script = "document.querySelector(`button.show-mark[data-finding=\"${arguments[0]}\"]`).click(); \
                      return document.activeElement.matches(`.timeline .badge[data-finding=\"${arguments[0]}\"]`)";
        assert_eq!(browser.run(script, std::slice::from_ref(&number)).await, true, "{number}");
        browser.keys(thirtyfour::Key::Enter).await;
        let script = "return document.activeElement.id === `finding-${arguments[0]}`";
        browser.until("the finding has the focus", script, &[number]).await;
    }
    browser.close(|_| false).await;
}
