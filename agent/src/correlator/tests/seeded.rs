//! Connections of containers that are older than the agent: in part counted, until they were searched for.

use super::*;

fn partial(older: bool, script: &str) -> bool {
    let told = Case { older, ..Case::default() }.run(script);
    told.finished[0].containers[0].connections.partial
}

#[test]
fn once_they_were_searched_for_all_are_counted() {
    const END: &str = "5000 app term\n5500 app end 0";
    assert!(!partial(false, END));
    assert!(partial(true, END), "nobody has searched");
    assert!(!partial(true, &format!("2000 app seeded 1900\n{END}")));
    assert!(!partial(true, &format!("2000 app seeded 1900\n4000 app seeded 3900\n{END}")));
    assert!(partial(true, &format!("2000 app seeded 0\n{END}")), "it became known after the search had begun");
}

#[test]
fn a_termination_that_began_before_the_search_was_done() {
    assert!(partial(true, "1000 app term\n2000 app seeded 900\n5500 app end 0"));
    assert!(partial(true, "1000 app hook 50\n2000 app seeded 900\n3000 app term\n5500 app end 0"));
    assert!(!partial(true, "1000 app seeded 900\n1000 app term\n5500 app end 0"));
}
