//! Sidecars and the application they serve.

use super::*;

const POD: [(&str, Role); 3] = [("app", Role::App), ("proxy", Role::Sidecar), ("other", Role::App)];

fn pod(script: &str) -> Timeline {
    let told = Case { hook: None, ..Case::with(&POD) }.run(&format!(
        "0 app start\n0 proxy start\n0 other start\n900 app deleted\n1000 app term\n1000 other term\n{script}"
    ));
    assert_eq!(told.finished.len(), 1, "{}", told.text());
    told.finished[0].clone()
}

fn of<'a>(timeline: &'a Timeline, name: &str) -> &'a ContainerTimeline {
    timeline.containers.iter().find(|it| it.name.as_deref() == Some(name)).unwrap()
}

fn found(timeline: &Timeline) -> Vec<&str> {
    timeline.findings.iter().map(|finding| finding.id.as_str()).collect()
}

#[test]
fn the_last_main_container_counts() {
    let timeline = pod("1000 proxy term\n1200 app end 0\n1500 proxy end 0\n4000 other end 0");
    let lead = of(&timeline, "proxy").sidecar_lead.unwrap();
    assert_eq!((lead.without(), lead.alone()), (Duration::from_millis(2500), Duration::ZERO));
    assert_eq!((of(&timeline, "app").sidecar_lead, of(&timeline, "other").sidecar_lead), (None, None));
    assert_eq!(found(&timeline), ["SIDECAR_EXITED_FIRST"]);
}

#[test]
fn in_the_right_order() {
    let timeline = pod("1200 app end 0\n4000 other end 0\n4100 proxy term\n4500 proxy end 0");
    let lead = of(&timeline, "proxy").sidecar_lead.unwrap();
    assert_eq!((lead.without(), lead.alone()), (Duration::ZERO, Duration::from_millis(500)));
    assert_eq!(found(&timeline), [] as [&str; 0]);
}

#[test]
fn together_is_not_before() {
    let timeline = pod("1000 proxy term\n1200 app end 0\n1210 proxy end 0\n1300 other end 0");
    assert_eq!(of(&timeline, "proxy").sidecar_lead.unwrap().without(), Duration::from_millis(90));
    assert_eq!(found(&timeline), [] as [&str; 0]);
}

#[test]
fn one_that_crashes_alone_left_nobody_yet() {
    let told = Case { hook: None, ..Case::with(&POD) }
        .run("0 app start\n0 proxy start\n0 other start\n1000 proxy end SIGSEGV");
    assert_eq!(of(&told.finished[0], "proxy").sidecar_lead, None);
}

/// It ends, is started again, and outlives the application.
#[test]
fn a_restarted_one_is_the_one_that_counts() {
    let timeline = pod(
        "1100 proxy dead 1\n1101 proxy empty\n1200 proxy populated\n1200 proxy start\n1300 app end 0\n1400 other end 0
         1500 proxy term\n1600 proxy end 0",
    );
    let leads: Vec<bool> = timeline.containers.iter().map(|it| it.sidecar_lead.is_some()).collect();
    assert_eq!(leads.iter().filter(|has| **has).count(), 1, "{timeline:#?}");
    assert!(!found(&timeline).contains(&"SIDECAR_EXITED_FIRST"));
}

#[test]
fn outbound_failures_before_and_after() {
    let timeline = pod("1000 proxy term
         1100 app conns failed=2
         1100 app refusal 10.9.0.1:80
         1500 proxy end 0
         1600 app conns failed=3
         1600 app refusal 10.9.0.1:80
         1700 app conns failed=5
         1700 app refusal 10.9.0.1:80
         2000 app end 0
         2000 other end 0");
    let app = &of(&timeline, "app").connections;
    assert_eq!((app.outbound_failed, app.outbound_failed_after_sidecar), (Some(5), Some(3)));
    assert_eq!(of(&timeline, "other").connections.outbound_failed_after_sidecar, Some(0));
    assert_eq!(found(&timeline), ["SIDECAR_EXITED_FIRST", "OUTBOUND_FAILED_AFTER_SIDECAR"]);
}

#[test]
fn failures_that_came_before_its_end_are_not_its_fault() {
    let timeline =
        pod("1000 proxy term\n1100 app conns failed=2\n1100 app refusal 10.9.0.1:80\n1500 proxy end 0\n2000 app end 0
         2000 other end 0");
    assert_eq!(of(&timeline, "app").connections.outbound_failed_after_sidecar, Some(0));
    assert_eq!(found(&timeline), ["SIDECAR_EXITED_FIRST"]);
    let timeline = pod("1100 app conns failed=2\n2000 app end 0\n2000 other end 0\n2100 proxy term\n2200 proxy end 0");
    assert_eq!(of(&timeline, "app").connections.outbound_failed_after_sidecar, None, "it was there to the end");
}
