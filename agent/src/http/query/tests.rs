use super::*;
use crate::model::WallTime;

const NOW: BootTime = BootTime(3_600_000_000_000);

#[test]
fn everything_at_once() {
    let query = "namespace=a&pod=b%2Dc&workload=Deployment%2Fweb&outcome=forced,oom&finding=NO_GRACE&reason=eviction\
                 &phase=in_hook,stopping&in_progress=true&since=15m&until=1m&limit=1000&cursor=ff.uid-1";
    let asked = terminations(query, NOW).unwrap();
    let filter = asked.filter;
    assert_eq!(filter.whose.namespace.as_deref(), Some("a"));
    assert_eq!(filter.whose.pod.as_deref(), Some("b-c"));
    assert_eq!(filter.whose.workload, Some(WorkloadFilter { kind: Some("Deployment".into()), name: "web".into() }));
    assert_eq!(filter.outcomes, [Outcome::Forced, Outcome::Oom]);
    assert_eq!(filter.findings, [FindingId::NoGrace]);
    assert_eq!(filter.reasons, [Reason::Eviction]);
    assert_eq!(filter.phases, [Phase::InHook, Phase::Stopping]);
    assert_eq!(filter.in_progress, Some(true));
    assert_eq!(filter.since, Some(Moment::Boot(BootTime(2_700_000_000_000))));
    assert_eq!(filter.until, Some(Moment::Boot(BootTime(3_540_000_000_000))));
    let cursor = Cursor { start: BootTime(255), id: TerminationId::new("uid-1") };
    assert_eq!(asked.page, Page { limit: 1_000, cursor: Some(cursor) });
    for empty in ["", "&&"] {
        let asked = terminations(empty, NOW).unwrap();
        assert_eq!((asked.filter, asked.page.limit), (Filter::default(), DEFAULT_LIMIT));
    }
}

#[test]
fn since_when() {
    let read = |text: &str| moment(text, NOW).ok();
    assert_eq!(read("0s"), Some(Moment::Boot(NOW)));
    assert_eq!(read("1h30m"), Some(Moment::Boot(BootTime(0))));
    assert_eq!(read("1500ms"), Some(Moment::Boot(BootTime(3_598_500_000_000))));
    assert_eq!(read("9999999d"), Some(Moment::Boot(BootTime(0))));
    let wall = Some(Moment::Wall(WallTime(1_700_000_000_000_000_000)));
    assert_eq!(read("2023-11-14T22:13:20Z"), wall);
    assert_eq!(read("2023-11-14T23:13:20+01:00"), wall);
    for bad in [
        "",
        "15",
        "m",
        "15x",
        "-15m",
        "1.5h",
        "99999999999999999999d",
        "18446744073709551615d",
        "yesterday",
        "15m ",
        "é",
    ] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

#[test]
fn what_is_not_understood_is_an_error_that_names_the_parameter() {
    for (query, parameter, part) in [
        ("namespce=a", "namespce", "unknown parameter \"namespce\""),
        ("pod", "pod", "pod is empty"),
        ("pod=a&pod=b", "pod", "twice"),
        ("x=a&x=b", "x", "twice"),
        ("outcome=killed", "outcome", "none of completed, graceful"),
        ("outcome=forced,", "outcome", "\"\" is none of"),
        ("finding=no_grace", "finding", "PRESTOP_FAILED"),
        ("reason=bored", "reason", "eviction"),
        ("phase=dead", "phase", "in_hook"),
        ("in_progress=yes", "in_progress", "true, false"),
        ("since=now", "since", "RFC 3339"),
        ("until=now", "until", "RFC 3339"),
        ("limit=0", "limit", "from 1 to 1000"),
        ("limit=1001", "limit", "from 1 to 1000"),
        ("limit=-1", "limit", "from 1 to 1000"),
        ("cursor=x", "cursor", "Link"),
        ("cursor=+1.uid", "cursor", "Link"),
        ("cursor=1.", "cursor", "Link"),
        ("pod=%", "pod", "percent"),
        ("pod=%zz", "pod", "percent"),
        ("pod=%ff", "pod", "percent"),
        ("%ff=a", "%ff", "percent"),
    ] {
        let error = terminations(query, NOW).unwrap_err();
        assert!(error.detail.contains(part), "{query}: {error}");
        assert_eq!(error.parameter, parameter, "{query}");
    }
    assert_eq!(workloads("pod=a").unwrap_err().parameter, "pod");
    assert_eq!(pods("outcome=forced").unwrap_err().parameter, "outcome");
    assert_eq!(stream("limit=1").unwrap_err().parameter, "limit");
    assert_eq!(nothing("x").unwrap_err().parameter, "x");
}

#[test]
fn a_cursor_goes_into_the_query_it_came_from() {
    let cursor = Cursor { start: BootTime(0xabc), id: TerminationId::new("a b&c-1") };
    let text = cursor_text(&cursor);
    let query = with_cursor("pod=a%20b&cursor=1.x&limit=2", &text);
    assert_eq!(query, "pod=a%20b&limit=2&cursor=abc.a%20b%26c-1");
    assert_eq!(terminations(&query, NOW).unwrap().page, Page { limit: 2, cursor: Some(cursor) });
    assert_eq!(with_cursor("", "x"), "cursor=x");
}
